namespace Godwit.Core.Consolidation;

/// <summary>
/// How closely VMs are packed, and how reluctantly they are moved. Shares are of a host's processors. The defaults were chosen on
/// three recorded days of the PlanetLab network and on the same days with their records dealt to other VMs, by the replays of
/// <c>bench/planetlab</c>.
/// </summary>
public sealed record ConsolidationPolicy
{
    /// <summary>How many times its spread a host is reckoned with above its mean when hosts are counted that carry the load.</summary>
    public double Spreads { get; init; } = 2.27;
    /// <summary>And when one VM more is put on a host: some may be fuller than others.</summary>
    public double SpreadsToFit { get; init; } = 1.2;
    /// <summary>
    /// Room of that many hosts is kept beside: for one that dies, and so that the next peak does not undo what was just
    /// done.
    /// </summary>
    public double SpareHosts { get; init; } = 0.6;
    /// <summary>A host takes a VM only where no more than this is asked for with it now.</summary>
    public double FitNow { get; init; } = 0.95;
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
    public double LoadPlus { get; init; } = 0.09;
    /// <summary>Two moves that relieve a host are taken for so many times as dear as they are by load and memory.</summary>
    public double PairFactor { get; init; } = 1.5;

    /// <summary>Newest loads of a VM that count.</summary>
    public int WindowPoints { get; init; } = 60;
    /// <summary>
    /// How far the mean goes towards the newer load at each point. On the recorded days the newest load said next to nothing of the
    /// next one that the mean of hours did not say.
    /// </summary>
    public double Follow { get; init; } = 0.08;
    /// <summary>Root mean square of the surprises of a VM of which nothing is known, as a share of its own processors.</summary>
    public double TypicalSpread { get; init; } = 0.079;
    /// <summary>As many loads of its own are worth as much as what is typical.</summary>
    public double TypicalPoints { get; init; } = 30;
    /// <summary>As many loads of a VM say as much of its mean as the mean of the whole cluster does.</summary>
    public double MeanPoints { get; init; } = 0.35;
}
