namespace Godwit.Core.Replay;

/// <summary>A host of a replay. Processing is in any one unit (cores, MHz, MIPS), the same throughout a replay.</summary>
/// <param name="Cpu">All processors together.</param>
/// <param name="CpuOfOneCore">More than this no VM of one virtual processor can have.</param>
public sealed record ReplayHost(double Cpu, double CpuOfOneCore, double MemoryBytes, PowerCurve Power);

/// <summary>A VM and its recorded load.</summary>
/// <param name="Cpu">What it can use at most.</param>
/// <param name="Load">
/// Share of <see cref="Cpu"/> that it asked for, a value each <see cref="ReplayCluster.StepSeconds"/>, from 0 s on.
/// </param>
public sealed record ReplayVm(double Cpu, double MemoryBytes, double[] Load)
{
    /// <summary>At a moment: linear between two values; after the last one it stays.</summary>
    public double LoadAt(double seconds, double stepSeconds)
    {
        var at = seconds / stepSeconds;
        var before = (int)Math.Floor(at);
        if (before >= Load.Length - 1) return Load[^1];
        // In this order of operations the result is the same to the last bit as other programs' on the same load.
        var slope = (Load[before + 1] - Load[before]) / stepSeconds;
        return Load[before] + slope * (seconds - before * stepSeconds);
    }
}

/// <summary>What is replayed: hosts, VMs, and how far apart the recorded values are.</summary>
public sealed record ReplayCluster(IReadOnlyList<ReplayHost> Hosts, IReadOnlyList<ReplayVm> Vms, double StepSeconds);

/// <summary>How the replayed world behaves. The defaults are plain; other programs' worlds differ in the named ways.</summary>
public sealed record ReplayRules
{
    /// <summary>When the policy is asked first, and how far apart after that.</summary>
    public double FirstTickSeconds { get; init; } = 300;
    public double TickSeconds { get; init; } = 300;
    /// <summary>No tick at this moment or later; moves under way are waited for.</summary>
    public double EndSeconds { get; init; } = 86400;
    /// <summary>What one move has of the link. Moves do not slow each other down.</summary>
    public double CopyBytesPerSecond { get; init; } = 62.5e6;
    /// <summary>What a guest keeps of its share while it is copied.</summary>
    public double KeptWhileMoving { get; init; } = 0.9;
    /// <summary>What its target reserves for it in that time.</summary>
    public double ReservedAtTarget { get; init; } = 0.1;
    /// <summary>Shares of an overfull host are whole units.</summary>
    public bool WholeUnits { get; init; }
    /// <summary>A VM that asks for nothing at any moment the world is looked at is gone for good.</summary>
    public bool IdleVmsVanish { get; init; }
    /// <summary>A move to a host without room for the VM's memory, with what is on its way there, is not made.</summary>
    public bool MemoryIsHard { get; init; } = true;
    /// <summary>How long a host that slept draws its full power before the first copy to it can begin.</summary>
    public double WakeSeconds { get; init; }
    /// <summary>False: a host without work goes on drawing its idle power, as one that nobody switches off.</summary>
    public bool EmptyHostsSleep { get; init; } = true;
    /// <summary>A move that made guests wait for less than this, in the replay's unit of processing, did not hurt.</summary>
    public double HurtNoise { get; init; } = 0.02;
    /// <summary>Newest loads of a VM that the policy sees, taken at ticks.</summary>
    public int HistoryPoints { get; init; } = 60;
}

/// <summary>Where a VM shall go.</summary>
public readonly record struct ReplayMove(int Vm, int To);

/// <summary>Decides at every tick. It is shown the past and the present, never what is yet to come.</summary>
public interface IReplayPolicy
{
    IReadOnlyList<ReplayMove> Decide(ReplayView view);
}

/// <summary>Leaves everything where it is.</summary>
public sealed class NoMoves : IReplayPolicy
{
    public IReadOnlyList<ReplayMove> Decide(ReplayView view) => [];
}
