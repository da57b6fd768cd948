namespace Godwit.Core.Loads;

/// <summary>
/// What an agent counts of its own work, for metrics. It comes with its host's load, so nobody needs to reach an agent who could
/// not before. Numbers that only grow begin at 0 with each agent.
/// </summary>
public sealed record AgentCounts
{
    /// <summary>QEMU processes of VMs now.</summary>
    public int Qemus { get; init; }
    /// <summary>Moves under way in which this host has a part.</summary>
    public int MovesOpen { get; init; }
    /// <summary>Measurements of guests' memory.</summary>
    public long MemoryLooks { get; init; }
    /// <summary>Seconds that reading and packing took in them, without the waits between.</summary>
    public double MemoryLookSeconds { get; init; }
    /// <summary>Move records written; intents are not counted: they are written in a pause, where nothing is measured.</summary>
    public long JournalWrites { get; init; }

    /// <summary>An agent that began anew counts less than the one before it.</summary>
    public bool IsAnewAfter(AgentCounts before) => MemoryLooks < before.MemoryLooks || JournalWrites < before.JournalWrites
        || MemoryLookSeconds < before.MemoryLookSeconds;
}
