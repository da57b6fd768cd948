using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Balance.Search;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Draining;
using Godwit.Server.Loads;
using Godwit.Server.Store;

namespace Godwit.Server.Balancing;

/// <summary>cluster balance: what would be better where, and why. Moves nothing.</summary>
public sealed class BalanceVerbs(Stores stores, LoadWatch loads, BalancerPace pace, TimeProvider time)
{
    private const int HurtsForgottenAfterMinutes = 24 * 60;
    private const int MovesKnownMax = 1_000, MovesMaxMax = 10_000;
    private const double GainRatioMin = 1, GainRatioMax = 1_000;
    /// <summary>A plan that is not through by then is the best found so far.</summary>
    private static readonly TimeSpan searchMax = TimeSpan.FromSeconds(10);

    public async Task<ClusterPlan> PlanAsync(BalanceWish wish, CancellationToken leave)
    {
        Check(wish);
        var now = await LookAsync();
        var running = now.Vms.Where(vm => vm.State == VmState.Running).ToList();
        var unmeasured = running.Where(vm => now.LoadOf(vm.Spec.Id) is null).Select(vm => vm.Spec.Name).ToList();
        if (running.Count > 0 && unmeasured.Count == running.Count)
            throw new RefusedException("loads-unknown",
                "nothing has been measured yet: this server has just started, or no agent tells loads",
                "try again in half a minute; 'godwit top' shows what is known");
        var policy = new BalancePolicy
        {
            MovesMax = wish.MovesMax ?? int.MaxValue, MinGainRatio = wish.MinGainRatio, LevelsToo = wish.LevelsToo,
            Cooldown = pace.Cooldown, TellsStays = wish.Explain, Knee = (await stores.Balancer.SettingsAsync()).BusyAbove,
        };
        using var stop = new CancellationTokenSource(searchMax, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, leave);
        var view = ClusterPicture.Of(now, await stores.Placement.PolicyAsync());
        var plan = PlanBalance.Of(view, policy, now.At, new OneByOne(), either.Token);
        leave.ThrowIfCancellationRequested();
        return new ClusterPlan(plan, unmeasured);
    }

    /// <summary>The cluster as it is now, by the policy.</summary>
    internal async Task<PlacementView> PictureAsync() => ClusterPicture.Of(await LookAsync(), await stores.Placement.PolicyAsync());

    /// <summary>The VM as it would count on that host.</summary>
    internal async Task<PlacementVm> AsIfOnAsync(Vm vm, HostId host) => ClusterPicture.VmOf(vm, await LookAsync()) with { Host = host };

    internal async Task<ClusterSnapshot> LookAsync()
    {
        var held = (await stores.Operations.UnfinishedAsync()).Select(o => o.Vm)
            .Concat((await stores.Frozen.ListAsync()).Select(f => f.Vm)).ToHashSet();
        var draining = (await stores.Drains.UnfinishedAsync()).Where(d => d.Kind == DrainKind.Away).Select(d => d.Host).ToHashSet();
        var hurts = MeasuredGain.HurtsByVm(await stores.Balancer.ListAsync(BalancerStore.KeptMax),
            time.GetUtcNow() - pace.Minutes(HurtsForgottenAfterMinutes));
        return new ClusterSnapshot(time.GetUtcNow(), await stores.Hosts.RoomsAsync(), await stores.Vms.ListAsync(),
            await stores.Moves.ListAsync(null, activeOnly: false, MovesKnownMax), held, draining, loads.Of, loads.Of)
        { Lately = pace.Cooldown, Hurts = hurts };
    }

    private static void Check(BalanceWish wish)
    {
        if (wish.MovesMax is < 1 or > MovesMaxMax)
            throw new RefusedException("bad-max-moves", $"at most {wish.MovesMax} moves", $"1 to {MovesMaxMax} are possible");
        if (!(wish.MinGainRatio is >= GainRatioMin and <= GainRatioMax))
            throw new RefusedException("bad-min-gain", $"a gain of {wish.MinGainRatio} times the cost",
                $"{GainRatioMin} to {GainRatioMax} are possible");
    }
}

/// <param name="MovesMax">Null is as many as pay.</param>
/// <param name="MinGainRatio">What a move must gain, in units of what it costs.</param>
/// <param name="LevelsToo">False: only hosts on which guests wait are relieved.</param>
/// <param name="Explain">Also why the other VMs stay.</param>
public sealed record BalanceWish(int? MovesMax = null, double MinGainRatio = 2, bool LevelsToo = true, bool Explain = false);

/// <param name="Unmeasured">VMs whose load is not known yet: they stay where they are.</param>
public sealed record ClusterPlan(BalancePlan Plan, IReadOnlyList<string> Unmeasured);
