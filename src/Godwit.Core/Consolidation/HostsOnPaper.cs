namespace Godwit.Core.Consolidation;

/// <summary>Who would be where, and what each host would have to be reckoned with, while a plan is made.</summary>
internal sealed class HostsOnPaper
{
    private readonly ConsolidationPicture picture;
    private readonly LoadWindows loads;
    private readonly double spreads;
    private readonly int points;
    /// <summary>By host: windows added up, and what they do not tell.</summary>
    private readonly double[] sums, untold;
    private readonly int[] incoming;

    /// <param name="spreads">So many spreads above its mean a host is reckoned with.</param>
    public HostsOnPaper(ConsolidationPicture picture, double spreads)
    {
        (this.picture, loads, points, this.spreads) = (picture, picture.Loads, picture.Loads.Points, spreads);
        var hosts = picture.HostCpu.Length;
        (On, HostOf) = (new List<int>[hosts], [.. picture.HostOf]);
        (sums, untold, Memory) = (new double[hosts * points], new double[hosts], new double[hosts]);
        (Mean, Spread, TakesNone, incoming) = (new double[hosts], new double[hosts], [.. picture.IsClosed], new int[hosts]);
        for (var h = 0; h < hosts; h++) On[h] = [];
        for (var v = 0; v < HostOf.Length; v++)
            if (HostOf[v] >= 0) Put(v, HostOf[v]);
        for (var h = 0; h < hosts; h++) Reckon(h);
    }

    public List<int>[] On { get; }
    public int[] HostOf { get; }
    public double[] Memory { get; }
    public double[] Mean { get; }
    public double[] Spread { get; }
    public bool[] TakesNone { get; }

    /// <summary>Gets a VM by this plan: its guests have to do with a copy anyway.</summary>
    public bool Receives(int host) => incoming[host] > 0;

    public double Now(int host) => sums[host * points];

    public double Reckoned(int host) => Mean[host] + spreads * Spread[host];

    /// <summary>What a VM by itself is to be reckoned with.</summary>
    public double ReckonedAlone(int vm)
    {
        var (mean, spread) = loads.Reckon(loads.Of(vm), loads.Untold(vm));
        return mean + spreads * spread;
    }

    /// <param name="fitNow">No more than this share of the host may be asked for now.</param>
    /// <param name="spreadsToFit">So many spreads above its mean have room on the host.</param>
    public bool Fits(int vm, int host, double fitNow, double spreadsToFit)
    {
        if (loads.Now(vm) > picture.HostCore[host] || Now(host) + loads.Now(vm) > fitNow * picture.HostCpu[host]) return false;
        if (Memory[host] + picture.VmMemoryBytes[vm] > picture.HostMemoryBytes[host]) return false;
        if (picture.LeftLately[vm].Contains(host)) return false;
        Span<double> with = stackalloc double[points];
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) with[i] = sums[host * points + i] + window[i];
        var (mean, spread) = loads.Reckon(with, untold[host] + loads.Untold(vm));
        return mean + spreadsToFit * spread <= picture.HostCpu[host];
    }

    public void Move(int vm, int to)
    {
        var from = HostOf[vm];
        On[from].Remove(vm);
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) sums[from * points + i] -= window[i];
        Memory[from] -= picture.VmMemoryBytes[vm];
        untold[from] -= loads.Untold(vm);
        if (from != picture.HostOf[vm]) incoming[from]--;
        Reckon(from);
        Put(vm, to);
        Reckon(to);
        HostOf[vm] = to;
        if (to != picture.HostOf[vm]) incoming[to]++;
    }

    private void Put(int vm, int host)
    {
        On[host].Add(vm);
        var window = loads.Of(vm);
        for (var i = 0; i < points; i++) sums[host * points + i] += window[i];
        Memory[host] += picture.VmMemoryBytes[vm];
        untold[host] += loads.Untold(vm);
    }

    private void Reckon(int host) => (Mean[host], Spread[host]) =
        On[host].Count == 0 ? (0, 0) : loads.Reckon(sums.AsSpan(host * points, points), untold[host]);
}
