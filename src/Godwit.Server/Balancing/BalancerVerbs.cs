using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Balancing;

/// <summary>What people say to the balancer: its mode, one recommendation's yes or no, and that it may go on.</summary>
public sealed class BalancerVerbs(Stores stores, Balancer balancer, VmVerbs vms, TimeProvider time)
{
    private const int HistoryMax = 200;
    private const double GainRatioMax = 1_000, CopySecondsMax = 24 * 3600;
    private const double BusyMin = 0.05, BusyMax = 0.95;
    private const int AtOnceMax = 100, SpareHostsMax = 4;

    public async Task<BalancerView> ShowAsync()
    {
        var all = await stores.Balancer.ListAsync(BalancerStore.KeptMax);
        return new BalancerView(await stores.Balancer.SettingsAsync(), balancer.LastLook,
            [.. all.Where(r => r.IsOpen).OrderBy(r => r.Move.Wave)], [.. all.Where(r => !r.IsOpen).Take(HistoryMax)]);
    }

    public Task<BalancerSettings> SetAsync(BalancerWish wish)
    {
        Check(wish);
        return stores.Balancer.ChangeAsync(
            s => s with
            {
                Mode = wish.Mode ?? s.Mode, MinGainRatio = wish.MinGainRatio ?? s.MinGainRatio, LevelsToo = wish.LevelsToo ?? s.LevelsToo,
                BusyAbove = wish.BusyAbove ?? s.BusyAbove, SpareHosts = wish.SpareHosts ?? s.SpareHosts,
                MovesAtOnceMax = wish.MovesAtOnceMax ?? s.MovesAtOnceMax, MaxCopySeconds = wish.MaxCopySeconds ?? s.MaxCopySeconds,
                PausedBecause = wish.Resume ? null : s.PausedBecause, ResumedAt = wish.Resume ? time.GetUtcNow() : s.ResumedAt,
            },
            s => wish.Mode is not null ? new Happening("balancer-mode", $"the balancer's mode is {Fields.Word(s.Mode)}")
                : wish.Resume ? new Happening("balancer-resumed", "the balancer may move by itself again") : null);
    }

    /// <param name="mode">Null: as the cluster's.</param>
    public async Task<BalancerSettings> SetVmAsync(string name, BalanceMode? mode)
    {
        var vm = await vms.FindAsync(name);
        var there = (await stores.Vms.ListAsync()).Select(v => v.Spec.Id).ToHashSet();
        return await stores.Balancer.ChangeAsync(
            s =>
            {
                var modes = s.VmModes.Where(m => there.Contains(m.Key) && m.Key != vm.Spec.Id).ToDictionary();
                if (mode is { } own) modes[vm.Spec.Id] = own;
                return modes.Count <= BalancerSettings.VmModesMax ? s with { VmModes = modes }
                    : throw new RefusedException("too-many-vm-modes", $"{BalancerSettings.VmModesMax} VMs have a mode of their own",
                        "let some of them follow the cluster's: 'godwit cluster balancer set --vm VM --mode cluster'");
            },
            _ => new Happening("balancer-mode", mode is { } own ? $"{name}: the balancer's mode is {Fields.Word(own)}"
                : $"{name}: the balancer's mode is the cluster's", name));
    }

    public async Task<Recommendation> ApplyAsync(string id) => await balancer.BeginAsync(id, byItself: false) ?? throw await GoneAsync(id);

    public async Task<Recommendation> DismissAsync(string id) => await stores.Balancer.TakeAsync(
        id, r => r with { State = RecommendationState.Dismissed, EndedAt = time.GetUtcNow() }) ?? throw await GoneAsync(id);

    private async Task<RefusedException> GoneAsync(string id) => await stores.Balancer.FindAsync(id) is { } known
        ? new RefusedException("recommendation-ended", $"{id} is {Fields.Word(known.State)} already",
            "'godwit cluster balancer show' lists the open ones")
        : new RefusedException("recommendation-not-found",
            $"there is no recommendation {id}: it may have been withdrawn, because it would gain nothing now",
            "'godwit cluster balancer show' lists the open ones");

    private static void Check(BalancerWish wish)
    {
        var reasons = new List<Refusal>();
        if (wish.MinGainRatio is { } ratio && !(ratio is >= 1 and <= GainRatioMax))
            reasons.Add(new("bad-min-gain", $"a gain of {ratio} times the cost", $"1 to {GainRatioMax} are possible"));
        if (wish.BusyAbove is { } busy && !(busy is >= BusyMin and <= BusyMax))
            reasons.Add(new("bad-busy-above", $"busy above {busy * 100:0.#} %", $"{BusyMin * 100:0} to {BusyMax * 100:0} % are possible"));
        if (wish.SpareHosts is < 0 or > SpareHostsMax)
            reasons.Add(new("bad-spare-hosts", $"{wish.SpareHosts} spare hosts", $"0 to {SpareHostsMax} are possible"));
        if (wish.MovesAtOnceMax is < 1 or > AtOnceMax)
            reasons.Add(new("bad-moves-at-once", $"{wish.MovesAtOnceMax} moves at once", $"1 to {AtOnceMax} are possible"));
        if (wish.MaxCopySeconds is { } copy && !(copy is >= 1 and <= CopySecondsMax))
            reasons.Add(new("bad-max-copy", $"a copy of {copy} s", $"1 to {CopySecondsMax} s are possible"));
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }
}

/// <summary>POST /balancer: what is null stays.</summary>
/// <param name="Resume">It may move by itself again, after it had paused itself.</param>
public sealed record BalancerWish(
    BalanceMode? Mode = null, double? MinGainRatio = null, bool? LevelsToo = null, int? MovesAtOnceMax = null,
    double? MaxCopySeconds = null, double? BusyAbove = null, int? SpareHosts = null, bool Resume = false);

/// <summary>POST /balancer/vms/{vm}.</summary>
/// <param name="Mode">Null: as the cluster's.</param>
public sealed record VmModeWish(BalanceMode? Mode = null);

/// <summary>GET /balancer.</summary>
/// <param name="LastLook">Null: none yet, or its mode is off.</param>
/// <param name="Open">To be applied or dismissed.</param>
/// <param name="History">Newest first, with what each really gained.</param>
public sealed record BalancerView(
    BalancerSettings Settings, BalancerLook? LastLook, IReadOnlyList<Recommendation> Open, IReadOnlyList<Recommendation> History);
