namespace Godwit.Server.Agents;

/// <summary>
/// How long the server waits for one answer. A missed deadline decides nothing: it is
/// <see cref="Core.Ports.AgentUnreachableException"/>, and the caller asks again.
/// </summary>
public sealed record AgentDeadlines
{
    /// <summary>Facts, lists, status: answered from memory, files and QMP.</summary>
    public TimeSpan Question { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>Leases are renewed for all hosts in turn: who is silent must not make the others wait.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Starts and ends processes, settles moves.</summary>
    public TimeSpan Step { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>The guest takes part: ACPI power button and the wait for it.</summary>
    public TimeSpan GuestStop { get; init; } = TimeSpan.FromMinutes(3);
    /// <summary>Reads and writes the tables of a disk, which say where its content lies: some GiB where the disk has many TiB.</summary>
    public TimeSpan DiskTables { get; init; } = TimeSpan.FromMinutes(15);
    /// <summary>Reads or writes a guest's whole memory or a whole disk.</summary>
    public TimeSpan WholeFile { get; init; } = TimeSpan.FromHours(6);
    /// <summary>Longest silence in a watched move (reports come every 250 ms), then the agent counts as gone.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(10);
}
