using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Hosts;
using Godwit.Core.Loads;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Observing;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Loads;

/// <summary>
/// Asks every host that answers what it takes, every 10 s, keeps the last half hour in memory, and rolls five minutes at a
/// time up into the store. Lost with the server: half an hour of points; they come again.
/// </summary>
public sealed class LoadWatch(Stores stores, AgentDirectory agents, BalancerPace pace, TimeProvider time, ILogger<LoadWatch> log)
{
    /// <summary>Under this name the store has what all VMs together took.</summary>
    public const string Cluster = "cluster";
    /// <summary>Under this name it has, as memory, what all VMs together were promised.</summary>
    public const string Promised = LoadStore.Promised;
    private const int AtOnceMax = 16;
    private static readonly int pointsMax = (int)(BalancerPace.Real.Window / BalancerPace.Real.SampleEvery);

    private readonly ConcurrentDictionary<HostId, Track> _hosts = new();
    private readonly ConcurrentDictionary<VmId, Track> _vms = new();
    private DateTimeOffset _rolledUpTo = DateTimeOffset.MinValue;

    /// <summary>What agents count of their own work: it comes with their hosts' load.</summary>
    public AgentTotals Agents { get; } = new();

    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(pace.SampleEvery, time, stopping);
                await RoundAsync(stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (StoreFailedException error)
            {
                log.LogError(error, "The store refused the hosts' load");
            }
        }
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        var hosts = (await stores.Hosts.ListAsync()).ToList();
        foreach (var batch in hosts.Where(h => h.Answers).Chunk(AtOnceMax))
            await Task.WhenAll(batch.Select(host => AskAsync(host.Id, stopping)).ToArray());
        await RollUpAsync(time.GetUtcNow());
        var known = hosts.Select(h => h.Id).ToHashSet();
        foreach (var gone in _hosts.Keys.Where(h => !known.Contains(h))) _hosts.TryRemove(gone, out _);
        foreach (var host in hosts.Where(h => !h.Answers)) Agents.Silent(host.Id);
        Agents.KeepOnly(known);
        foreach (var (vm, track) in _vms)
            if (track.Newest is not { } point || time.GetUtcNow() - point.At > pace.Window) _vms.TryRemove(vm, out _);
    }

    /// <summary>Null where nothing was heard in the last half hour.</summary>
    public LoadWindow? Of(HostId host) => _hosts.GetValueOrDefault(host)?.Look(time.GetUtcNow() - pace.Window);

    public LoadWindow? Of(VmId vm) => _vms.GetValueOrDefault(vm)?.Look(time.GetUtcNow() - pace.Window);

    /// <summary>The last half hour, oldest first: for drawing.</summary>
    public IReadOnlyList<LoadPoint> PointsOf(HostId host) => _hosts.GetValueOrDefault(host)?.Since(time.GetUtcNow() - pace.Window) ?? [];

    public IReadOnlyList<LoadPoint> PointsOf(VmId vm) => _vms.GetValueOrDefault(vm)?.Since(time.GetUtcNow() - pace.Window) ?? [];

    /// <summary>How many were taken of it in the last half hour.</summary>
    public int Samples(VmId vm) => Of(vm)?.HalfHour.Points ?? 0;

    /// <summary>Processors' worth these VMs waited for together, on average; null where none of them was measured then.</summary>
    public double? WaitOf(IReadOnlyList<VmId> vms, DateTimeOffset from, DateTimeOffset to)
    {
        var means = vms.Select(vm => _vms.GetValueOrDefault(vm)?.Summary(from, to)?.WaitMean).OfType<double>().ToList();
        return means.Count == 0 ? null : means.Sum();
    }

    private async Task AskAsync(HostId host, CancellationToken stopping)
    {
        try
        {
            var load = await agents.Of(host).SampleLoadAsync(stopping);
            if (load.Agent is { } counts) Agents.Take(host, counts);
            if (load.SpanSeconds <= 0) return;
            var now = time.GetUtcNow(); // The server's clock for all: hosts' clocks differ.
            var links = load.Links.Sum(l => l.ReceivedBytesPerSecond + l.SentBytesPerSecond);
            _hosts.GetOrAdd(host, _ => new Track()).Add(
                new LoadPoint(now, (float)load.CpuCores, 0, load.MemoryUsedBytes, links, load.Vms.Sum(v => v.DiskBytesPerSecond)), load);
            foreach (var vm in load.Vms)
                _vms.GetOrAdd(vm.Vm, _ => new Track()).Add(new LoadPoint(now, (float)vm.CpuCores, (float)vm.WaitCores,
                    vm.MemoryTouchedBytes, vm.NetworkBytesPerSecond, vm.DiskBytesPerSecond, vm.DirtyBytesPerSecond), null);
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException or InvalidDataException)
        {
            Agents.Silent(host);
            log.LogDebug("{Host} did not tell its load: {Why}", host, silent.Message); // The watcher says so where it lasts.
        }
    }

    private async Task RollUpAsync(DateTimeOffset now)
    {
        var slot = LoadStore.SlotOf(now);
        if (_rolledUpTo == DateTimeOffset.MinValue) _rolledUpTo = slot; // What came before this server is not known to it.
        if (slot <= _rolledUpTo) return;
        var (from, to) = (slot - LoadStore.Slot, slot);
        var things = _hosts.Select(h => (Thing: $"host/{h.Key}", h.Value)).Concat(_vms.Select(v => (Thing: $"vm/{v.Key}", v.Value)));
        var rows = new List<(string Thing, LoadSummary Summary)>();
        foreach (var (thing, track) in things)
            if (track.Summary(from, to) is { } summary) rows.Add((thing, summary));
        var vms = rows.Where(row => row.Thing.StartsWith("vm/", StringComparison.Ordinal)).Select(row => row.Summary).ToList();
        if (vms.Count > 0) rows.Add((Cluster, LoadSummary.Together(vms)));
        // As of the slot's end: a VM that came and went within five minutes is nothing to wake a host for.
        var promised = (await stores.Vms.ListAsync()).Where(PlacementStore.HasMemory)
            .Sum(vm => (double)vm.Spec.MemoryBytes + Host.QemuOverheadBytes);
        rows.Add((Promised, new LoadSummary(from, to, 1, 0, 0, 0, 0, 0, promised, 0, 0, 0)));
        await stores.Loads.AddAsync(from, rows);
        _rolledUpTo = slot;
    }

    /// <summary>One thing's points, and what its host said last. Asked by requests while rounds add to it.</summary>
    private sealed class Track
    {
        private readonly Lock _one = new();
        private readonly LoadSeries _series = new(pointsMax);
        private HostLoad? _said;

        public LoadPoint? Newest { get { lock (_one) return _series.Newest; } }

        public void Add(LoadPoint point, HostLoad? said)
        {
            lock (_one)
            {
                _series.Add(point);
                _said = said;
            }
        }

        public LoadWindow? Look(DateTimeOffset from)
        {
            lock (_one)
            {
                var points = _series.Since(from);
                return LoadSummary.Of(points) is { } summary
                    ? new LoadWindow(points[^1], summary, LoadSummary.CpuToReckonWith(points),
                        _said?.StealCores, _said?.CpuPressure, _said?.MemoryPressure)
                    : null;
            }
        }

        public IReadOnlyList<LoadPoint> Since(DateTimeOffset from)
        {
            lock (_one) return [.. _series.Since(from)];
        }

        public LoadSummary? Summary(DateTimeOffset from, DateTimeOffset to)
        {
            lock (_one) return LoadSummary.Of([.. _series.Since(from).Where(p => p.At < to)]);
        }
    }
}

/// <summary>The last half hour of one host or VM.</summary>
/// <param name="CpuToReckonWith">Processors' worth: what a decision about it counts with.</param>
/// <param name="StealCores">Hosts only, as the pressures.</param>
public sealed record LoadWindow(
    LoadPoint Now, LoadSummary HalfHour, double CpuToReckonWith, double? StealCores, double? CpuPressure, double? MemoryPressure);
