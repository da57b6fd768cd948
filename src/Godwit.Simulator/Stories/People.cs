using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Simulator.Checkers;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>People who do not know of each other: they move, stop, start, save and cancel, and send requests twice.</summary>
internal sealed class People(World world, RunCounts counts, IReadOnlyList<string> vms)
{
    private const int WishesMax = 6;

    public Task RunAsync(int people) =>
        Task.WhenAll([.. Enumerable.Range(0, people).Select(n => PersonAsync(SimRandom.Fork(world.Loop.Seed, $"person {n}"), n))]);

    private async Task PersonAsync(SimRandom random, int number)
    {
        var wishes = 1 + random.Next(WishesMax);
        for (var wish = 0; wish < wishes; wish++)
        {
            await world.SleepAsync(random.Next(world.Knobs.IsFocused ? 1500 : 4000) / 1000.0);
            var vm = vms[random.Next(vms.Count)];
            var done = WishAsync(vm, random, $"key-{number}-{wish}");
            if (random.Chance(0.8)) await done; // The others do not wait for an answer.
        }
    }

    private async Task WishAsync(string vm, SimRandom random, string key)
    {
        await world.Loop.Until(() => world.Server.Serving is not null);
        try
        {
            // In a focused world: mostly live moves, some refreshes and restarts.
            var kind = world.Knobs.IsFocused ? random.Next(10) switch { < 6 => 0, 6 => 40, 7 => 60, 8 => 82, _ => random.Next(100) }
                : random.Next(100);
            if (kind < 62) await MoveAsync(vm, kind, random, key);
            else await DoAsync(vm, kind, random, key);
        }
        catch (RefusedException refused) { world.Loop.Trace("person", $"{vm}: {refused.Message}"); }
        catch (AgentUnreachableException silent) { world.Loop.Trace("person", $"{vm}: {silent.Message}"); }
        catch (ServerGoneException gone) { world.Loop.Trace("person", $"{vm}: {gone.Message}"); }
    }

    private async Task MoveAsync(string vm, int kind, SimRandom random, string key)
    {
        var mode = kind < 4 ? MoveMode.Hybrid : kind < 36 ? MoveMode.Live : kind < 42 ? MoveMode.Quick : kind < 48 ? MoveMode.Lazy
            : kind < 53 ? MoveMode.Cold : MoveMode.Refresh;
        var others = world.Agents.Keys.ToList();
        var wish = new MigrateRequest(others[random.Next(others.Count)], mode == MoveMode.Refresh ? MoveMode.Live : mode)
        {
            DeadlineSeconds = random.Chance(0.1) ? 1 + random.Next(20) : null, MayQuick = random.Chance(0.2),
            MayLazy = random.Chance(0.2),
            Rehearse = mode == MoveMode.Live && random.Chance(0.15),
        };
        Task<Migration> Ask() => world.Server.AskAsync(c =>
            c.Wishes.BeginAsync(vm, wish, mode == MoveMode.Refresh ? new RefreshWish(null, null) : null, key));
        if (mode == MoveMode.Cold) world.LetGo(vm);
        var move = await Ask();
        world.Promise(move.Id);
        counts.CountRequest();
        if (random.Chance(0.15) && world.Server.Serving is not null) DemandSame(move.Id.Value, (await Ask()).Id.Value, key);
        if (random.Chance(0.2)) await CancelSoonAsync(move.Id, random);
        if (random.Chance(0.5)) await world.EndOfAsync(move.Id);
    }

    private async Task CancelSoonAsync(MoveId move, SimRandom random)
    {
        await world.SleepAsync(random.Next(1 << random.Next(12)) / 1000.0);
        if (world.Server.Serving is null) return;
        world.Loop.Trace("person", $"cancels {move}");
        counts.CountRequest();
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move));
    }

    private async Task DoAsync(string vm, int kind, SimRandom random, string key)
    {
        var (verb, force) = kind switch
        {
            < 68 => (OperationKind.Stop, true),
            < 71 => (OperationKind.Stop, false),
            < 80 => (OperationKind.Start, false),
            < 84 => (OperationKind.Restart, random.Chance(0.5)),
            < 89 => (OperationKind.Pause, false),
            < 96 => (OperationKind.Resume, false),
            _ => (OperationKind.Save, false),
        };
        counts.CountRequest();
        world.Loop.Trace("person", $"{verb} {vm}{(force ? " by force" : "")}");
        var (wasSaved, lazily) = (false, verb == OperationKind.Resume && random.Chance(0.6));
        Task<Operation> Ask() => world.Server.AskAsync(async c =>
        {
            wasSaved = (await c.Vms.FindAsync(vm)).State == VmState.Saved;
            if (verb is OperationKind.Stop or OperationKind.Restart or OperationKind.Save) world.LetGo(vm, await IsBeingBootedAsync(c, vm));
            return await c.Vms.DoAsync(verb, vm, o => o with { Force = force, Lazily = lazily }, key, CancellationToken.None);
        });
        var done = await Ask();
        // One that was not saved did not come back: a stop that was ordered before may still be carried out.
        if (verb == OperationKind.Resume && done.Problem is null && wasSaved) world.WantBack(vm);
        if (random.Chance(0.2) && world.Server.Serving is not null) DemandSame(done.Id, (await Ask()).Id, key);
    }

    /// <summary>Somebody else starts it at this moment: who stops it by force stops that boot.</summary>
    private static async Task<bool> IsBeingBootedAsync(ControlPlane control, string vm) =>
        (await control.Stores.Operations.UnfinishedAsync())
            .Any(o => o.VmName == vm && o.Kind is (OperationKind.Create or OperationKind.Start or OperationKind.Restart));

    private static void DemandSame(string first, string second, string key)
    {
        if (first != second)
            throw new BrokenPromiseException("R7, commands are idempotent", $"request {key} began {first}, and again {second}");
    }
}
