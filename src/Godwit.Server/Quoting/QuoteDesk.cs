using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Server.Loads;
using Godwit.Server.Store;

namespace Godwit.Server.Quoting;

/// <summary>
/// Brings together what a quote is made of: the guest's memory from its host, the path and the model's errors from receipts. A quote
/// never stands in a move's way: what cannot be had in time is left out.
/// </summary>
public sealed class QuoteDesk(Func<HostId, IHostAgent> agents, Stores stores, Func<HostId, LoadWindow?> loads, TimeProvider time)
{
    private const int MovesLookedAt = 200;
    /// <summary>A person who asks for a quote waits for a fresh look; a move that begins does with an older one.</summary>
    private static readonly TimeSpan FreshFor = TimeSpan.FromSeconds(10), KnownFor = TimeSpan.FromMinutes(60);
    private static readonly TimeSpan MoveWaitsMax = TimeSpan.FromSeconds(1);

    /// <summary>Null where nothing can be said: a stopped VM, a cold move, a host that does not answer.</summary>
    public Task<MoveQuote?> AskAsync(Vm vm, Migration move, CancellationToken cancel) =>
        QuoteAsync(vm, move, FreshFor, mayLook: true, cancel);

    /// <summary>For a move that is about to begin: what is known, or a glance tells, within a second.</summary>
    public async Task<WayQuote?> OfMoveAsync(Vm vm, Migration move)
    {
        using var late = new CancellationTokenSource(MoveWaitsMax, time);
        var quoting = QuoteAsync(vm, move, KnownFor, mayLook: false, late.Token);
        await Joining.AnyAsync(quoting, Task.Delay(MoveWaitsMax, time));
        return quoting.IsCompletedSuccessfully ? (await quoting)?.Ways.First(way => way.Mode == move.Mode) : null;
    }

    public async Task<IReadOnlyList<PromiseScore>> ScoresAsync()
    {
        var ended = await EndedAsync();
        return [PromiseScore.Of(ended, null), PromiseScore.Of(ended, MoveMode.Live), PromiseScore.Of(ended, MoveMode.Quick),
            PromiseScore.Of(ended, MoveMode.Lazy), PromiseScore.Of(ended, MoveMode.Hybrid), PromiseScore.Of(ended, MoveMode.Refresh)];
    }

    private async Task<MoveQuote?> QuoteAsync(Vm vm, Migration move, TimeSpan ageMax, bool mayLook, CancellationToken cancel)
    {
        if (vm.State is not (VmState.Running or VmState.Paused)) return null;
        if (move.Mode == MoveMode.Refresh)
        {
            var before = LearnedFromMoves.Refreshes(await EndedAsync(), move.Source);
            return QuoteMove.OfRefresh(move.Limits, before, move.Source, time.GetUtcNow());
        }
        if (move.Mode is not (MoveMode.Live or MoveMode.Quick or MoveMode.Lazy or MoveMode.Hybrid)) return null;
        try
        {
            if (await agents(vm.Owner).MeasureMemoryAsync(vm.Spec.Id, ageMax, mayLook, cancel) is not { } memory) return null;
            var ended = await EndedAsync();
            var path = LearnedFromMoves.Path(ended, move.Source, move.Target, await stores.Links.FindAsync(move.Source, move.Target)
                ?? await stores.Links.FindAsync(move.Target, move.Source)); // The way back is like it.
            var facts = new QuoteFacts(await DevicesAsync(vm.Spec, ended), await HeadroomAsync(move.Source, move.Target));
            if (facts.Devices?.StateBytes is { } bytes) path = path with { DeviceBytes = bytes };
            var quote = QuoteMove.Of(move.Mode, move.Limits, memory, path,
                mode => LearnedFromMoves.Correct(ended, move.Source, move.Target, mode, path, vm.Spec.Id), time.GetUtcNow());
            return quote with { Facts = facts };
        }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException or OperationCanceledException)
        {
            cancel.ThrowIfCancellationRequested();
            return null;
        }
    }

    private async Task<DeviceFigures?> DevicesAsync(VmSpec vm, IReadOnlyCollection<Migration> ended)
    {
        var shape = DeviceFigures.ShapeOf(vm);
        var alike = (await stores.Vms.ListAsync()).Select(one => one.Spec)
            .Where(spec => DeviceFigures.ShapeOf(spec) == shape).Select(spec => spec.Id).ToHashSet();
        return DeviceFigures.Of(ended, vm.Id, alike.Contains);
    }

    private async Task<IReadOnlyList<Headroom>> HeadroomAsync(params HostId[] hosts)
    {
        List<Headroom> known = [];
        foreach (var host in hosts)
            if (loads(host) is { } load && await stores.Hosts.FindAsync(host) is { Facts.Cpus: > 0 and var cores })
                known.Add(new Headroom(host, Math.Max(0, cores - load.Now.CpuCores), cores));
        return known;
    }

    private async Task<List<Migration>> EndedAsync() =>
        [.. (await stores.Moves.ListAsync(null, activeOnly: false, MovesLookedAt)).Where(move => move.End is not null)];
}
