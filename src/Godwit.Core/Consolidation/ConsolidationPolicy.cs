namespace Godwit.Core.Consolidation;

/// <summary>
/// How closely VMs are packed, and how reluctantly they are moved. Shares are of a host's processors. The defaults were chosen on
/// three recorded days of the PlanetLab network, by the replays of <c>bench/planetlab</c>.
/// </summary>
public sealed record ConsolidationPolicy
{
    /// <summary>A host is emptied only if those that stay awake would be under this share, by what their VMs are reckoned with.</summary>
    public double PackTo { get; init; } = 0.89;
    /// <summary>
    /// Room of that many hosts is kept beside: for one that dies, and so that the next peak does not undo what was just
    /// done.
    /// </summary>
    public double SpareHosts { get; init; } = 0.5;
    /// <summary>A host takes VMs of an emptied one only up to this share.</summary>
    public double Ceiling { get; init; } = 0.9;
    /// <summary>A host that is asked for more than this gives VMs away until it is not.</summary>
    public double ReliefAbove { get; init; } = 1;
    /// <summary>
    /// A VM that leaves an overloaded host goes where the short mean stays under this; where that is nowhere, a host is
    /// woken.
    /// </summary>
    public double ReliefFit { get; init; } = 0.79;
    /// <summary>Hosts emptied in one run once the cluster is packed.</summary>
    public int EmptiedAtOnceMax { get; init; } = 2;
    /// <summary>As long as a host that took a VM is not emptied.</summary>
    public double HostRestSeconds { get; init; } = 1800;
    /// <summary>As long as a VM does not go back to a host that it left.</summary>
    public double NoReturnSeconds { get; init; } = 3600;
    /// <summary>Watts of an idle host that each move of emptying it has to save.</summary>
    public double WattsPerMove { get; init; } = 2;
    /// <summary>
    /// What is added to a VM's load, as a share of its host, before moves are compared by load × memory: memory is what
    /// takes long.
    /// </summary>
    public double LoadPlus { get; init; } = 0.11;

    /// <summary>Newest loads of a VM that count.</summary>
    public int WindowPoints { get; init; } = 18;
    /// <summary>How far the short mean goes towards the newer load at each point.</summary>
    public double Follow { get; init; } = 0.35;
    /// <summary>How many times the root mean square of past surprises is reckoned with above the short mean.</summary>
    public double Surprises { get; init; } = 2;
    /// <summary>Of a VM with a short record, the rest of the window is its oldest load by this share, and the cluster's mean.</summary>
    public double TrustInShortRecord { get; init; } = 0.8;

    /// <summary>
    /// Share of the awake hosts that may be overloaded when they are looked at; with more of them, packing becomes looser.
    /// </summary>
    public double OverloadedWanted { get; init; } = 0.03;
    /// <summary>By how much packing becomes looser or tighter for each share of hosts above or below it.</summary>
    public double OverloadGain { get; init; } = 4;
    /// <summary>And never by more than this.</summary>
    public double AdjustMax { get; init; } = 0.1;
    /// <summary>How fast the share of overloaded hosts follows what is seen.</summary>
    public double OverloadFollow { get; init; } = 0.06;
}
