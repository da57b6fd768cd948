namespace Godwit.Core.Balance.Automatic;

/// <summary>How much a balancer does by itself.</summary>
public enum BalanceMode
{
    /// <summary>It does not look.</summary>
    Off,
    /// <summary>It recommends; a person applies.</summary>
    Manual,
    /// <summary>Mends rules and relieves hosts by itself where the move is short and well measured; else it asks.</summary>
    Partial,
    /// <summary>Everything it would recommend it does.</summary>
    Automatic,
}

/// <summary>What people set. One record for the cluster.</summary>
public sealed record BalancerSettings
{
    public const int VmModesMax = 10_000;

    public BalanceMode Mode { get; init; } = BalanceMode.Manual;
    /// <summary>VMs with a mode of their own. It holds against the cluster's, except where that is <see cref="BalanceMode.Off"/>.</summary>
    public IReadOnlyDictionary<VmId, BalanceMode> VmModes { get; init; } = new Dictionary<VmId, BalanceMode>();
    /// <summary>What a move must gain, in units of what it costs.</summary>
    public double MinGainRatio { get; init; } = 2;
    /// <summary>False: hosts on which no guest waits are left alone, however uneven.</summary>
    public bool LevelsToo { get; init; } = true;
    /// <summary>Load share of a host (0 to 1) above which its guests are taken to wait for each other.</summary>
    public double BusyAbove { get; init; } = 0.7;
    /// <summary>
    /// So many hosts may die together, and every VM marked <c>ha</c> still has a place: what would break that is not started, and no
    /// host is switched off. 0 asks for none.
    /// </summary>
    public int SpareHosts { get; init; }
    /// <summary>Moves of the balancer that go on at the same time, in the whole cluster.</summary>
    public int MovesAtOnceMax { get; init; } = 2;
    /// <summary>Partial: a copy that takes longer is asked for.</summary>
    public double MaxCopySeconds { get; init; } = 120;
    /// <summary>Set by the balancer itself, and cleared by a person: why it moves nothing by itself for now.</summary>
    public string? PausedBecause { get; init; }
    /// <summary>When a person last let it go on: what hurt before does not count again.</summary>
    public DateTimeOffset? ResumedAt { get; init; }

    public BalanceMode ModeOf(VmId vm) =>
        Mode == BalanceMode.Off ? BalanceMode.Off : VmModes.TryGetValue(vm, out var own) ? own : Mode;
}

/// <summary>
/// How long a minute of the balancer is: one knob for all its times, so that a test runs half an hour of it in one minute.
/// </summary>
public sealed record BalancerPace(TimeSpan Minute)
{
    public static BalancerPace Real { get; } = new(TimeSpan.FromMinutes(1));

    public TimeSpan Minutes(double count) => Minute * count;

    /// <summary>Between two looks at the cluster.</summary>
    public TimeSpan LookEvery => Minutes(1);
    /// <summary>Between two samples of the loads, and how far back they are kept.</summary>
    public TimeSpan SampleEvery => Minutes(1) / 6;
    public TimeSpan Window => Minutes(30);
    /// <summary>
    /// As long as a VM does not go back to a host it left, is dearer to move again, and is not recommended again once dismissed.
    /// </summary>
    public TimeSpan Cooldown => Minutes(60);
}
