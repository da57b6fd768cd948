namespace Godwit.Core.Migration;

/// <summary>Named wishes, for people who would rather not weigh figures. What is said beside a preset wins over it.</summary>
public static class MovePreset
{
    public static readonly IReadOnlyDictionary<string, MoveLimits> All = new Dictionary<string, MoveLimits>
    {
        // As if nothing had been said or kept.
        ["usual"] = new(),
        // It stays at home rather than pause for longer than a packet's retransmission.
        ["minimal-pause"] = new(MaxPauseMs: 100),
        // It ends within ten minutes: slowed at first, stopped for the rest at last.
        ["must-finish"] = new() { DeadlineSeconds = 600, MayQuick = true, MaxSlowdownPercent = 50 },
        // Others on the network and the guest itself feel it least; it takes as long as it takes.
        ["gentle"] = new(BandwidthBytesPerSecond: 32 << 20),
    };
}
