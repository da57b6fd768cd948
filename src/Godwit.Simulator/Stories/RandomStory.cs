using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Simulator.Checkers;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Stories;

/// <summary>
/// What a seed tells by itself. First safety: people and bad luck together, while the checkers look after each step.
/// Then everything heals, and the cluster must come to rest: every operation ends, every VM is somewhere exactly once,
/// what was saved comes back, and moving works.
/// </summary>
public sealed class RandomStory(World world, RunCounts counts)
{
    private const int PeopleMax = 4, FaultsMax = 12, SilencesMax = 3, FaultsBesideSilence = 3, SleepersMax = 4;
    private readonly SimRandom _random = SimRandom.Fork(world.Loop.Seed, "story");

    /// <summary>One whole run. Throws <see cref="SimFailedException"/>.</summary>
    public static LoopResult Run(ulong seed, RunCounts counts, Action<string>? onEvent = null, WorldKnobs? knobs = null) =>
        World.Run(seed, world => new RandomStory(world, counts).TellAsync(), knobs ?? WorldKnobs.FromSeed(seed), onEvent);

    private async Task TellAsync()
    {
        if (world.Knobs.StoreGoesBack)
        {
            await new BackInTimeStory(world).TellAsync();
            return;
        }
        var hosts = world.Agents.Keys.ToList();
        var vms = Enumerable.Range(1, world.Knobs.Vms).Select(n => $"vm{n}").ToList();
        await Task.WhenAll([.. vms.Select(vm => world.CreateVmAsync(vm, hosts[_random.Next(hosts.Count)], LoadOf()))]);

        var (crowd, faults) = world.Knobs.Ha ? (1 + _random.Next(2), _random.Next(FaultsBesideSilence + 1))
            : world.Knobs.IsFocused ? (2, 1 + _random.Next(4))
            : (1 + _random.Next(PeopleMax) + (world.Knobs.Vms / 8), _random.Next(FaultsMax + 1) + (world.Knobs.Hosts / 4));
        var people = new People(world, counts, vms).RunAsync(crowd);
        var luck = new Nemesis(world, counts).RunAsync(faults);
        if (world.Knobs.Ha) await new Silences(world, counts).RunAsync(1 + _random.Next(SilencesMax));
        var sleepers = world.Knobs.HasPowerHooks ? new Sleepers(world, counts) : null;
        if (sleepers is not null) await sleepers.RunAsync(1 + _random.Next(SleepersMax));
        await people;
        await luck;

        await world.HealAsync();
        if (sleepers is not null) await sleepers.EndAsync();
        await world.RestAsync();
        await UseAsync(vms);
        foreach (var move in await world.Server.AskAsync(c => c.Stores.Moves.ListAsync(null, activeOnly: false, limit: 1000)))
            if (move.End is { } end) counts.Count(end);
    }

    /// <summary>Half of the guests are as the seed's knobs say, the others calmer.</summary>
    private GuestLoad LoadOf() => _random.Chance(0.5) ? world.Knobs.Load : world.Knobs.Load with { DirtyBytesPerSecond = 50_000 };

    /// <summary>A healed cluster that cannot be used is not healed.</summary>
    private async Task UseAsync(List<string> vms)
    {
        try { await ResumeAndMoveAsync(vms); }
        catch (RefusedException refused) { throw Unusable(refused.Message); }
    }

    private async Task ResumeAndMoveAsync(List<string> vms)
    {
        foreach (var name in vms)
        {
            var vm = await world.VmAsync(name);
            if (vm.State != VmState.Saved) continue;
            var back = await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Resume, name, o => o, null, CancellationToken.None));
            if (back.Problem is { } problem) throw Unusable($"{name} was saved and does not come back: {problem.Cause}");
        }
        var all = await world.Server.AskAsync(c => c.Stores.Vms.ListAsync());
        var mover = all.FirstOrDefault(v => v.State == VmState.Running);
        if (mover is null) return;
        // Where there is room: a host that is full refuses, and is none the worse for it.
        var target = world.Agents.Keys.Where(h => h != mover.Owner.Value).MinBy(h => all.Count(v => v.Owner.Value == h))!;
        var move = await world.EndOfAsync(await world.MigrateAsync(mover.Spec.Name, target, MoveMode.Quick));
        if (move.End != MoveEnd.Done) throw Unusable($"{mover.Spec.Name} cannot be moved: {move.End}, {move.Reason}");
    }

    private static BrokenPromiseException Unusable(string how) => new("R6, every operation ends", how);
}
