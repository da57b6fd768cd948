namespace Godwit.Core.Consolidation;

/// <summary>
/// The newest loads of each VM, and what a set of VMs is to be reckoned with. The windows of those on a host are added up first:
/// peaks at different moments do not need room at the same time. All in a host's unit of processing.
/// </summary>
public sealed class LoadWindows
{
    private readonly double[] loads;
    private readonly double[] untold;
    private readonly ConsolidationPolicy policy;
    /// <summary>Of the VM that is known longest.</summary>
    private int known = 1;

    public LoadWindows(int vms, ConsolidationPolicy policy) => (loads, untold, this.policy, Points) =
        (new double[vms * policy.WindowPoints], new double[vms], policy, policy.WindowPoints);

    public int Points { get; }

    /// <param name="shares">Of the VM's own processors, newest first; more than a window holds are left aside.</param>
    /// <param name="cpu">The VM's processors.</param>
    /// <param name="clusterShare">Share of all VMs' processors in use now: what a VM of which little is known tends to.</param>
    public void Set(int vm, ReadOnlySpan<double> shares, double cpu, double clusterShare)
    {
        var window = loads.AsSpan(vm * Points, Points);
        var points = Math.Min(shares.Length, Points);
        known = Math.Max(known, points);
        var (sum, typical) = (0.0, policy.TypicalSpread * cpu);
        for (var i = 0; i < points; i++) sum += shares[i];
        var before = (sum + policy.MeanPoints * clusterShare) / (points + policy.MeanPoints);
        for (var i = 0; i < Points; i++) window[i] = cpu * (i < points ? shares[i] : before);
        untold[vm] = typical * typical * policy.TypicalPoints / Math.Max(points + policy.TypicalPoints, 1);
    }

    public ReadOnlySpan<double> Of(int vm) => loads.AsSpan(vm * Points, Points);

    public double Now(int vm) => loads[vm * Points];

    /// <summary>
    /// What to expect of the VM's surprises beyond those in its window, squared. These add up where VMs are on one host.
    /// </summary>
    public double Untold(int vm) => untold[vm];

    /// <summary>The mean, and how far the load has come above it before: the root of the mean square of past surprises.</summary>
    /// <param name="untoldOfAll">Sum of <see cref="Untold"/> of those whose windows are added up here.</param>
    public (double Mean, double Spread) Reckon(ReadOnlySpan<double> window, double untoldOfAll)
    {
        var (mean, surprises) = (window[^1], 0.0);
        for (var i = window.Length - 2; i >= 0; i--)
        {
            var surprise = window[i] - mean;
            if (surprise > 0) surprises += surprise * surprise;
            mean += surprise * policy.Follow;
        }
        return (mean, Math.Sqrt(surprises / (known + policy.TypicalPoints) + Math.Max(untoldOfAll, 0)));
    }
}
