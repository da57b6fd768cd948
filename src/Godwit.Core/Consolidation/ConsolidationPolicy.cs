namespace Godwit.Core.Consolidation;

/// <summary>How closely VMs are packed, and how reluctantly they are moved. Shares are of a host's processors.</summary>
public sealed record ConsolidationPolicy
{
    /// <summary>A host takes a VM only if it stays under this share, by <see cref="LoadWindows"/> of all that would be there.</summary>
    public double Ceiling { get; init; } = 0.88;
    /// <summary>A host above this gives VMs away.</summary>
    public double ReliefAbove { get; init; } = 0.97;
    public double NowAbove { get; init; } = 9;
    public double ReliefFit { get; init; } = 0.9;
    public double Sigma { get; init; } = 0;
    public double Fill { get; init; } = 1;
    public double Bias { get; init; } = 0;
    public double Delta { get; init; } = 0;
    public double Gain { get; init; } = 0;
    public double Want { get; init; } = 0.04;
    public double Alpha { get; init; } = 0.06;
    public double MemPower { get; init; } = 1;
    public double Slack { get; init; } = 0;
    public double PackTo { get; init; } = 0.8;
    public bool WorstFitRelief { get; init; } = true;
    public bool WorstFitEmpty { get; init; } = true;
    public int Order { get; init; } = 1;
    /// <summary>How far it is relieved.</summary>
    public double ReliefTo { get; init; } = 0.88;
    /// <summary>Hosts emptied in one run, once the cluster is packed; while it is not, as many as can be.</summary>
    public int EmptiedAtOnceMax { get; init; } = 2;
    /// <summary>A host that took VMs lately is not emptied yet.</summary>
    public double HostRestSeconds { get; init; } = 1800;
    /// <summary>As long as a VM does not go back to a host that it left.</summary>
    public double NoReturnSeconds { get; init; } = 3600;
    /// <summary>Newest loads of a window that count.</summary>
    public int WindowPoints { get; init; } = 6;
    /// <summary>How much of the way to the newest load the short mean goes at each point.</summary>
    public double Follow { get; init; } = 0.5;
    /// <summary>Which of the window's loads counts, beside the short mean.</summary>
    public double Percentile { get; init; } = 0.75;
    /// <summary>Hosts with spare room for which others stay awake: as much as that many of the largest active hosts is kept free.</summary>
    public double SpareHosts { get; init; }
    /// <summary>A host is emptied only where each move saves this many watts.</summary>
    public double WattsPerMove { get; init; } = 4;
}
