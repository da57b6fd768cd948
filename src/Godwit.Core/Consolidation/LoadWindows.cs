namespace Godwit.Core.Consolidation;

/// <summary>
/// The newest loads of each VM, and what a set of VMs is to be reckoned with. The windows of those on a host are added up first:
/// peaks at different moments do not need room at the same time. All in a host's unit of processing.
/// </summary>
public sealed class LoadWindows
{
    private readonly double[] loads;
    private readonly ConsolidationPolicy policy;

    public LoadWindows(int vms, ConsolidationPolicy policy) =>
        (loads, this.policy, Points) = (new double[vms * policy.WindowPoints], policy, policy.WindowPoints);

    public int Points { get; }

    /// <param name="shares">Of the VM's own processors, newest first; more than a window holds are left aside.</param>
    /// <param name="cpu">The VM's processors.</param>
    /// <param name="clusterShare">Share of all VMs' processors in use now: what a VM of which little is known tends to.</param>
    public void Set(int vm, ReadOnlySpan<double> shares, double cpu, double clusterShare)
    {
        var window = loads.AsSpan(vm * Points, Points);
        if (shares.Length == 0)
        {
            window.Fill(cpu * clusterShare);
            return;
        }
        var trust = policy.TrustInShortRecord;
        for (var i = 0; i < Points; i++)
            window[i] = cpu * (i < shares.Length ? shares[i] : trust * shares[^1] + (1 - trust) * clusterShare);
    }

    public ReadOnlySpan<double> Of(int vm) => loads.AsSpan(vm * Points, Points);

    public double Now(int vm) => loads[vm * Points];

    /// <summary>The short mean, and what is to be reckoned with: the mean and what has come on top of it before.</summary>
    public (double Mean, double Reckoned) Reckon(ReadOnlySpan<double> window)
    {
        var (mean, surprises) = (window[^1], 0.0);
        for (var i = window.Length - 2; i >= 0; i--)
        {
            var surprise = window[i] - mean;
            if (surprise > 0) surprises += surprise * surprise;
            mean += surprise * policy.Follow;
        }
        return (mean, mean + policy.Surprises * Math.Sqrt(surprises / window.Length));
    }
}
