namespace Godwit.Core.Replay;

/// <summary>The replayed cluster at one moment: who is where, who asks for what and who is given what.</summary>
internal sealed class ReplayWorld
{
    public readonly ReplayCluster Cluster;
    public readonly ReplayRules Rules;
    public double Now;

    public readonly int[] HostOf;
    public readonly bool[] IsMoving;
    public readonly double[] Request;
    /// <summary>VMs of each host in the order they came, with those on their way to it.</summary>
    public readonly List<int>[] On;
    public readonly List<int>[] Incoming;
    /// <summary>What a host does, now and when it was looked at before; what is not spoken for.</summary>
    public readonly double[] Used, UsedBefore, Free;
    private readonly double[] history;
    private readonly int[] historyCount;
    private readonly ReplayMeter meter;

    public ReplayWorld(ReplayCluster cluster, ReplayRules rules, IReadOnlyList<int> firstHosts, ReplayMeter meter)
    {
        (Cluster, Rules, this.meter) = (cluster, rules, meter);
        var (hosts, vms) = (cluster.Hosts.Count, cluster.Vms.Count);
        HostOf = [.. firstHosts];
        (IsMoving, Request, historyCount) = (new bool[vms], new double[vms], new int[vms]);
        history = new double[vms * rules.HistoryPoints];
        (On, Incoming) = (new List<int>[hosts], new List<int>[hosts]);
        (Used, UsedBefore, Free) = (new double[hosts], new double[hosts], new double[hosts]);
        for (var h = 0; h < hosts; h++) (On[h], Incoming[h]) = ([], []);
        for (var v = 0; v < vms; v++) On[HostOf[v]].Add(v);
    }

    public ReadOnlySpan<double> History(int vm) => history.AsSpan(vm * Rules.HistoryPoints, historyCount[vm]);

    public double Share(double used, int host)
    {
        var share = used / Cluster.Hosts[host].Cpu;
        return share is > 1 and < 1.01 ? 1 : share;
    }

    /// <summary>Every VM asks for what its record says of this moment.</summary>
    public void TakeRequests()
    {
        for (var v = 0; v < HostOf.Length; v++)
            if (HostOf[v] >= 0) Request[v] = Cluster.Vms[v].LoadAt(Now, Cluster.StepSeconds) * Cluster.Vms[v].Cpu;
    }

    /// <summary>Adds this tick to what policies see.</summary>
    public void TakeHistory()
    {
        var points = Rules.HistoryPoints;
        for (var v = 0; v < HostOf.Length; v++)
        {
            if (HostOf[v] < 0) continue;
            Array.Copy(history, v * points, history, v * points + 1, points - 1);
            history[v * points] = Cluster.Vms[v].LoadAt(Now, Cluster.StepSeconds);
            historyCount[v] = Math.Min(points, historyCount[v] + 1);
        }
    }

    /// <summary>Gives the host's guests their shares, and tells the meter.</summary>
    public void Serve(int host)
    {
        UsedBefore[host] = Used[host];
        var on = On[host];
        var (cpu, core) = (Cluster.Hosts[host].Cpu, Cluster.Hosts[host].CpuOfOneCore);
        var (free, asked, isOverfull) = (cpu, 0.0, false);
        foreach (var v in on)
        {
            var share = Math.Min(Request[v], core);
            if (IsIncoming(host, v)) share *= Rules.ReservedAtTarget;
            asked += share;
            if (isOverfull) continue;
            if (free >= share) free -= share;
            else (isOverfull, free) = (true, 0);
        }
        Free[host] = free;
        var scale = isOverfull ? cpu / asked : 1;
        var (used, requested) = (0.0, 0.0);
        foreach (var v in on)
        {
            var isIncoming = IsIncoming(host, v);
            var given = Math.Min(Request[v], core);
            if (isIncoming) given = given * Rules.ReservedAtTarget * scale;
            else given = IsMoving[v] ? given * scale * Rules.KeptWhileMoving : given * scale;
            if (isOverfull && Rules.WholeUnits) given = Math.Floor(given);
            if (!isIncoming)
            {
                meter.Vm(v, Now, given, Request[v], IsMoving[v]);
                // What a guest loses by being copied, its host works all the same.
                if (IsMoving[v]) given /= Rules.KeptWhileMoving;
            }
            used += given;
            requested += Request[v];
        }
        Used[host] = used;
        meter.Host(host, Now, used, requested);
    }

    public void RemoveIdle()
    {
        for (var h = 0; h < On.Length; h++)
            for (var i = On[h].Count - 1; i >= 0; i--)
                if (On[h][i] is var v && !IsMoving[v] && Request[v] == 0)
                {
                    On[h].RemoveAt(i);
                    HostOf[v] = -1;
                }
    }

    public bool HasMemoryFor(int vm, int host)
    {
        var bytes = Cluster.Vms[vm].MemoryBytes;
        foreach (var v in On[host]) bytes += Cluster.Vms[v].MemoryBytes;
        return bytes <= Cluster.Hosts[host].MemoryBytes;
    }

    public void Start(ReplayMove move)
    {
        IsMoving[move.Vm] = true;
        if (IsIncoming(move.To, move.Vm)) return;
        Incoming[move.To].Add(move.Vm);
        On[move.To].Add(move.Vm);
        Serve(move.To);
        Serve(HostOf[move.Vm]);
    }

    public void Land(ReplayMove move)
    {
        On[HostOf[move.Vm]].Remove(move.Vm);
        Incoming[move.To].Remove(move.Vm);
        On[move.To].Remove(move.Vm);
        On[move.To].Add(move.Vm);
        HostOf[move.Vm] = move.To;
        IsMoving[move.Vm] = false;
    }

    private bool IsIncoming(int host, int vm) => Incoming[host].Count > 0 && Incoming[host].Contains(vm);
}
