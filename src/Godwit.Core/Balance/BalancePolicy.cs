using Godwit.Core.Placement;

namespace Godwit.Core.Balance;

/// <summary>
/// What is weighed against what. The score counts guests' seconds: those in which a guest waits for what its host lacks,
/// within <see cref="Horizon"/>; a move costs such seconds too.
/// </summary>
public sealed record BalancePolicy
{
    /// <summary>A move must gain this many times what it costs; twice that for a VM that was moved within <see cref="Cooldown"/>.</summary>
    public double MinGainRatio { get; init; } = 2;
    public int MovesMax { get; init; } = int.MaxValue;
    /// <summary>The plan also tells why the others stay.</summary>
    public bool TellsStays { get; init; }
    /// <summary>False only mends rules and relieves hosts: an uneven cluster in which no guest waits is left alone.</summary>
    public bool LevelsToo { get; init; } = true;
    /// <summary>As long as a VM may not go back to a host it left; a drain does not ask.</summary>
    public TimeSpan Cooldown { get; init; } = TimeSpan.FromMinutes(60);
    /// <summary>How long an uneven load is taken to last.</summary>
    public TimeSpan Horizon { get; init; } = TimeSpan.FromHours(1);
    /// <summary>What one move has of the link.</summary>
    public double LinkBytesPerSecond { get; init; } = 117e6;
    /// <summary>Share of its work that a guest loses while it is copied.</summary>
    public double Slowdown { get; init; } = 0.1;
    public TimeSpan Pause { get; init; } = TimeSpan.FromMilliseconds(300);
    /// <summary>Moves out of, and moves into, one host at the same time.</summary>
    public int MovesAtOncePerHost { get; init; } = 1;
    /// <summary>Placements tried at random in a small cluster: fewer where many plans are made, as in a replay.</summary>
    public int TrialsMax { get; init; } = 1_000_000;
    /// <summary>Load share of a host from which its guests begin to wait.</summary>
    public double Knee { get; init; } = 0.7;

    /// <summary>Twenty guests at a tenth of their speed lost is a host at its end: 0.3 above the knee, squared.</summary>
    private const double GuestsSlowedAtFull = 2 / 0.09;
    /// <summary>Levelling breaks ties and makes headroom even; the knee is what guests feel: some hundred times more.</summary>
    private const double GuestsSlowedByUnevenness = GuestsSlowedAtFull / 400;

    internal Search.BalanceObjective Objective()
    {
        var (weight, knee, steepness) = (new double[Amounts.Count], new double[Amounts.Count], new double[Amounts.Count]);
        foreach (var resource in Enum.GetValues<Resource>())
        {
            var k = (int)resource;
            if (LevelsToo) weight[k] = Importance(resource) * GuestsSlowedByUnevenness * Horizon.TotalSeconds;
            // Promised memory and vCPUs make nobody wait; what is used does.
            var isFelt = resource is not (Resource.Memory or Resource.Vcpus);
            knee[k] = isFelt ? Knee : double.PositiveInfinity;
            steepness[k] = isFelt ? GuestsSlowedAtFull * Horizon.TotalSeconds : 0;
        }
        return new() { Levelling = Search.Levelling.Squares, Weight = weight, Knee = knee, Steepness = steepness };
    }

    private static double Importance(Resource resource) => resource switch
    {
        Resource.Cpu => 1,
        Resource.Memory or Resource.MemoryActive or Resource.Network => 0.5,
        Resource.Disk => 0.25,
        _ => 0,
    };

    /// <summary>How long the copy takes; infinite where the guest changes its memory faster than the link carries it.</summary>
    public double CopySeconds(PlacementVm vm) => vm.DirtyBytesPerSecond >= LinkBytesPerSecond * 0.95 ? double.PositiveInfinity
        : vm.Demand.MemoryBytes / LinkBytesPerSecond / (1 - vm.DirtyBytesPerSecond / LinkBytesPerSecond);

    /// <summary>Guest-seconds lost by moving it once.</summary>
    public double Cost(PlacementVm vm) => CopySeconds(vm) * Slowdown + Pause.TotalSeconds;
}
