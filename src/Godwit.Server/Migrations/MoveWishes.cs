using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Hosts;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Quoting;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Migrations;

/// <summary>From what a person asked for to a move that waits its turn, or to the plan of one.</summary>
public sealed class MoveWishes(
    Stores stores, PlacementDesk desk, MigrationRunner runner, VmVerbs vms, VmNumbers numbers, QuoteDesk quotes,
    TimeProvider time)
{
    private const string Auto = "auto";

    /// <param name="because">What asked for it where that was no person: a drain's id.</param>
    /// <param name="overridden">What whoever asks may set aside besides.</param>
    public async Task<Migration> BeginAsync(
        string vmName, MigrateRequest wish, RefreshWish? refresh, string? requestKey, string? because = null,
        Overridden overridden = Overridden.None)
    {
        if (requestKey is not null && await stores.Operations.FindByRequestAsync(requestKey) is { } earlier)
            return await stores.Moves.ReadAsync(new MoveId(earlier.Id));
        if (because is null) overridden |= Overridden.Pin; // A person moves it.
        var (vm, move, reasons, told) = await DraftAsync(vmName, wish, refresh, overridden);
        if (reasons.Count > 0)
        {
            if (refresh is null && wish.To is null or Auto) desk.Tell((await desk.LookAsync()).Of(vm), reasons);
            throw new RefusedException(reasons);
        }
        move = move with { Because = because, Quote = await quotes.OfMoveAsync(vm, move) };

        var operation = new Operation
        {
            Id = move.Id.Value,
            Kind = OperationKind.Migrate,
            Vm = vm.Spec.Id,
            VmName = vm.Spec.Name,
            CreatedAt = move.CreatedAt,
            IgnoresRules = wish.IgnoreRules,
            Told = told,
        };
        switch (await stores.Operations.BeginMoveAsync(operation, move, requestKey, told))
        {
            case Begun.Busy busy: throw VmVerbs.BusyWith(busy.Holder);
            case Begun.Refused refused: throw new RefusedException([refused.Reason]);
            case Begun.Earlier first: return await stores.Moves.ReadAsync(new MoveId(first.Operation.Id));
        }
        runner.Enqueue(move);
        return move;
    }

    /// <summary>What would happen, and every reason why not: the server's and both hosts'.</summary>
    public async Task<MovePlan> PlanAsync(string vmName, MigrateRequest wish, RefreshWish? refresh, CancellationToken cancel)
    {
        var (vm, move, reasons, told) = await DraftAsync(vmName, wish, refresh, Overridden.Pin);
        var all = reasons.ToList();
        if (await BusyAsync(vm) is { } busy) all.Add(busy);
        try
        {
            // The hosts may say the same again in their words: one reason for one code is enough.
            foreach (var reason in await runner.CheckAsync(move, cancel))
                if (all.All(r => r.Code != reason.Code)) all.Add(reason);
        }
        catch (RefusedException refused)
        {
            all.AddRange(refused.Reasons.Where(reason => all.All(r => r.Code != reason.Code)));
        }
        catch (AgentUnreachableException silent)
        {
            if (all.All(r => r.Code != "host-unreachable"))
                all.Add(new Refusal("host-unreachable", silent.Message, $"wait until {silent.Host} answers: 'godwit host list'"));
        }
        var before = MoveQueue.Before(await stores.Moves.UnfinishedAsync(), move.Mode, move.Source, move.Target);
        return new MovePlan(move.Vm, move.VmName, move.Source, move.Target, move.Mode, move.Limits, all, before)
        { Told = told, Quote = all.Exists(r => r.Code is "same-host") ? null : await quotes.AskAsync(vm, move, cancel) };
    }

    private async Task<(Vm Vm, Migration Move, IReadOnlyList<Refusal> Reasons, IReadOnlyList<Refusal> Told)> DraftAsync(
        string vmName, MigrateRequest wish, RefreshWish? refresh, Overridden overridden)
    {
        Check(wish, refresh);
        var vm = await vms.FindAsync(vmName);
        if (wish.IgnoreRules) overridden |= Overridden.Rules;
        var (target, reasons, told) = refresh is not null ? (vm.Owner, [], []) : Target(vm, wish, await desk.LookAsync(), overridden);
        if (vm.State == VmState.Unknown)
            reasons = [.. reasons, new Refusal("vm-unknown", $"nobody can prove where {vm.Spec.Name} runs",
                "wait until its hosts answer ('godwit host list'); then its state is known again")];
        if (await stores.Frozen.FindAsync(vm.Spec.Id) is { } frozen) reasons = [.. reasons, StoreAge.Frozen(vm.Spec.Name, frozen.Reasons)];
        var move = new Migration
        {
            Id = numbers.MoveId(),
            Vm = vm.Spec.Id,
            VmName = vm.Spec.Name,
            Source = vm.Owner,
            Target = target,
            Mode = refresh is null ? wish.Mode : MoveMode.Refresh,
            Limits = Limits(vm, wish),
            Rehearses = wish.Rehearse,
            Epoch = vm.Epoch,
            Phase = Phase.Queued,
            Refresh = refresh,
            CreatedAt = time.GetUtcNow(),
        };
        return (vm, move, reasons, told);
    }

    /// <summary>That a guest may be stopped for the rest is consent to a move; a rehearsal is not worth it.</summary>
    private static MoveLimits Limits(Vm vm, MigrateRequest wish)
    {
        var limits = wish.SaidOfLimits().Over(vm.MoveLimits ?? new MoveLimits());
        return wish.Rehearse ? limits with { MayQuick = false, MayLazy = false }
            : wish.Mode == MoveMode.Hybrid ? limits.ForHybrid() : limits;
    }

    /// <summary>The named host with every reason against it, or the best one. What only agents know is asked later.</summary>
    private static (HostId Target, IReadOnlyList<Refusal> Reasons, IReadOnlyList<Refusal> Told) Target(
        Vm vm, MigrateRequest wish, PlacementScene scene, Overridden overridden)
    {
        if (wish.To is not (null or Auto))
        {
            var named = new HostId(wish.To);
            if (named == vm.Owner)
                return (vm.Owner, [new("same-host", $"{vm.Spec.Name} is on {vm.Owner} already",
                    "name another host, or use 'godwit vm refresh' for a new process on the same host")], []);
            var pick = scene.Named(vm, named, overridden);
            return (named, pick.Against, pick.Told);
        }
        if (scene.Rooms.FirstOrDefault(r => r.Host.Id != vm.Owner) is not { } other)
            throw new RefusedException("no-other-host", $"there is no other host than {vm.Owner}",
                "let one join: 'godwit host token'");
        var best = scene.Best(vm, host => host != vm.Owner, overridden);
        return (best.Host ?? other.Host.Id, best.Against, best.Told);
    }

    private async Task<Refusal?> BusyAsync(Vm vm)
    {
        var holder = (await stores.Operations.UnfinishedAsync()).FirstOrDefault(o => o.Vm == vm.Spec.Id);
        return holder is null ? null : VmVerbs.BusyWith(holder).Reasons[0];
    }

    private static void Check(MigrateRequest wish, RefreshWish? refresh)
    {
        var reasons = new List<Refusal>();
        if (refresh is null && wish.Mode == MoveMode.Refresh)
            reasons.Add(new("bad-mode", "a refresh stays on its host", "use POST …/refresh, or 'godwit vm refresh'"));
        if (wish.Rehearse && (refresh is not null || wish.Mode != MoveMode.Live))
            reasons.Add(new("bad-rehearsal", "only a live move can be rehearsed: of any other the guest would stand still for long",
                "rehearse it live; --dry-run tells what the others would cost"));
        if (refresh is null && wish is { Mode: MoveMode.Hybrid } and ({ MayLazy: false } or { MayQuick: true }))
            reasons.Add(new("bad-hybrid", "a hybrid move goes on lazily where it does not fit, and is stopped for nothing else",
                "leave may-lazy and may-quick away, or go live with them"));
        reasons.AddRange(wish.SaidOfLimits().Broken());
        if (refresh?.Cpus is { } cpus && !VmRules.IsCpuList(cpus))
            reasons.Add(new("bad-cpus", $"'{cpus}' is no list of processors", "write it as 0-3 or 0,2,4-7"));
        if (refresh?.QemuPath is { } path && !VmRules.IsPath(path))
            reasons.Add(new("bad-qemu-path", $"'{path}' is no absolute path", "'godwit host show' lists the QEMUs of a host"));
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }
}
