using System.Globalization;
using Godwit.Core.Balance;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;

namespace Godwit.Core.Power;

/// <summary>
/// Which hosts to wake, before they are needed, and which one could be turned off. Waking comes first; while anything asks for a
/// host to be woken, none is turned off. One host is turned off at a time, whole or not at all: every VM of it has a place
/// by the one checker, below every ceiling, with the spare capacity as people wished it, proved by packing; and so has every VM of a
/// host that is dead or silent (<see cref="LostHosts"/>). Pure.
/// </summary>
public sealed class PlanPower
{
    /// <summary>Hosts for whose VMs places are looked for in one look.</summary>
    private const int TriedMax = 8;
    /// <summary>Of an idle host, for each VM that has to move for it: moving is not for nothing.</summary>
    private const double WattsPerMove = 2;
    /// <summary>A host that could not be turned off, or woken, is left alone so long; less where there is no other to wake.</summary>
    private static readonly TimeSpan offAgainAfter = TimeSpan.FromHours(6), wakeAgainAfter = TimeSpan.FromMinutes(30),
        wakeLastAgainAfter = TimeSpan.FromMinutes(5);
    /// <summary>Of memory that is free: the rest is in pieces too small for a VM.</summary>
    private const double UsableFree = 0.9;
    /// <summary>A night off at least, or it would be woken for its certificate at once.</summary>
    private static readonly TimeSpan renewBefore = TimeSpan.FromHours(12);
    /// <summary>Two looks: one that sees it, and one that was late.</summary>
    private static readonly TimeSpan looks = TimeSpan.FromMinutes(2);

    private readonly PowerPicture picture;
    private readonly PowerSettings settings;
    private readonly List<PowerAdvice> advices = [];
    private readonly List<PowerStay> stays = [];
    private readonly LostHosts lost;
    /// <summary>As it will be once those that wake are there.</summary>
    private PlacementView view;

    private PlanPower(PowerPicture picture, PowerSettings settings)
    {
        (this.picture, this.settings, lost) = (picture, settings, new LostHosts(picture));
        view = picture.View;
        foreach (var host in view.Hosts.Where(h => picture.PowerOf(h.Id).Phase == PowerPhase.Waking).ToList()) Rise(host.Id);
    }

    public static PowerPlan Of(PowerPicture picture, PowerSettings settings, CancellationToken stop = default)
    {
        var plan = new PlanPower(picture, settings);
        plan.Wake(stop);
        if (plan.advices.Count == 0) plan.TurnOff(stop);
        return new PowerPlan(plan.advices, plan.stays, picture.Forecast.Now, plan.OnCores(picture.View));
    }

    /// <summary>
    /// Null, or why a person's word does not turn this host off, either: a VM would have no place, or spare capacity that is
    /// asked for would be gone. Ceilings, rests and times of day are not asked for.
    /// </summary>
    public static string? WhyNotByHand(PowerPicture picture, HostId id, CancellationToken stop = default)
    {
        var plan = new PlanPower(picture, new PowerSettings());
        var host = plan.view.Host(id);
        var after = With(plan.view, id, HostState.Standby);
        if (plan.LastWith(after, host) is { } only) return only;
        foreach (var vm in plan.Of(id))
        {
            if (HostPick.Best(after, vm with { Host = null }, _ => true).Host is not { } to) return $"{vm.Name} would have no place";
            after = after.With(vm, to);
        }
        if (picture.SpareHosts == 0) return null;
        var had = plan.Gaps(picture.View, stop).Select(Key).ToHashSet();
        return plan.Gaps(after, stop).FirstOrDefault(gap => !had.Contains(Key(gap))) is { } made
            ? $"if {string.Join(" and ", made.Lost)} died then, {made.Homeless[0]} would have no place" : null;

        static string Key(SpareGap gap) => $"{string.Join("+", gap.Lost)}: {string.Join(",", gap.Homeless)}";
    }

    private void Wake(CancellationToken stop)
    {
        var asleep = Asleep();
        foreach (var host in asleep.Where(h => picture.RenewAt.TryGetValue(h.Id, out var at) && at <= picture.Now).ToList())
            Wake(asleep, host, "its certificate is to be renewed: one that ended keeps it out");
        foreach (var need in picture.Needs)
        {
            if (HostPick.Best(view, need.Vm, _ => true).Host is not null) continue;
            var taker = asleep.FirstOrDefault(h => PlacementCheck.Judge(view, need.Vm, h with { State = HostState.Ready }).IsAllowed);
            if (taker is not null) Wake(asleep, taker, $"{need.Vm.Name} found no room: {Gib(need.Vm.Demand.MemoryBytes)} are wanted");
        }
        while (asleep.Count > 0 && On(view).Count() < settings.MinHostsOn)
            Wake(asleep, asleep[0], $"{settings.MinHostsOn} hosts are to be on always");
        while (asleep.Count > 0 && Expected(asleep[0], out var why)) Wake(asleep, asleep[0], why);
        if (picture.SpareHosts == 0) return;
        var gaps = Gaps(view, stop);
        while (asleep.Count > 0 && gaps.Count > 0)
        {
            // Whoever closes a gap; none that closes none.
            var (helper, left) = asleep.Select(h => (h, left: Gaps(With(view, h.Id, HostState.Ready), stop)))
                .FirstOrDefault(pair => pair.left.Count < gaps.Count);
            if (helper is null) break;
            Wake(asleep, helper, $"room to lose {Hosts(picture.SpareHosts)} is to be kept, and {gaps.Count} gaps are there");
            gaps = left;
        }
    }

    /// <summary>Those to wake first in front: soonest there, then the largest.</summary>
    private List<PlacementHost> Asleep()
    {
        var all = view.Hosts.Where(h => picture.PowerOf(h.Id) is { Phase: PowerPhase.Standby, OnHook: not null })
            .OrderBy(h => picture.PowerOf(h.Id).Lead).ThenByDescending(h => h.Capacity.CpuCores)
            .ThenBy(h => h.Id.Value, StringComparer.Ordinal).ToList();
        var sound = all.Where(h => !FailedSince(h.Id, wakeAgainAfter)).ToList();
        return sound.Count > 0 ? sound : [.. all.Where(h => !FailedSince(h.Id, wakeLastAgainAfter))];
    }

    private bool FailedSince(HostId host, TimeSpan span) => picture.PowerOf(host).ProblemAt is { } at && picture.Now - at < span;

    private bool Expected(PlacementHost next, out string why)
    {
        var lead = picture.PowerOf(next.Id).Lead + looks;
        if (MemoryShort(view, picture.Now + lead) is { } memory)
        {
            why = string.Create(CultureInfo.InvariantCulture,
                $"{memory}; it takes {picture.PowerOf(next.Id).Lead.TotalSeconds:0} s to wake");
            return true;
        }
        var (cores, byPast) = picture.Forecast.PeakUntil(picture.Now + lead);
        var (ceiling, on) = (settings.Ceiling * OnCores(view), OnCores(view));
        why = string.Create(CultureInfo.InvariantCulture,
            $"{cores:0.0} cores are to be reckoned with{(byPast ? ", as the days before had at this time" : "")}, "
            + $"{on:0} are on and their ceiling is {ceiling:0.0}; it takes {picture.PowerOf(next.Id).Lead.TotalSeconds:0} s to wake");
        return cores > ceiling;
    }

    /// <summary>
    /// Null, or why VMs that the days before had by now would find no room: it is about what comes beside what is there, because
    /// what is there has its room, and a host that is full of it is no reason to wake another.
    /// </summary>
    private string? MemoryShort(PlacementView of, DateTimeOffset until)
    {
        var more = picture.Forecast.PromisedMoreUntil(until);
        if (more <= 0) return null;
        var free = On(of).Sum(h => Math.Max(0,
            of.Policy.Ceiling(Resource.Memory, h.Capacity.MemoryBytes) * (1 - of.Policy.SpareMemory) - of.Used(h.Id).MemoryBytes));
        return more <= free * UsableFree ? null
            : $"VMs with {Gib(more)} more are to be reckoned with, as the days before had at this time, and {Gib(free)} are free";
    }

    private void Wake(List<PlacementHost> asleep, PlacementHost host, string why)
    {
        if (!asleep.Remove(host)) return;
        advices.Add(new PowerAdvice(PowerAct.Wake, host.Id, $"{host.Id} is to be woken: {why}", []));
        Rise(host.Id);
    }

    private void Rise(HostId host) => view = With(view, host, HostState.Ready);

    private void TurnOff(CancellationToken stop)
    {
        if (WhyNone() is { } none)
        {
            stays.AddRange(On(view).Select(h => new PowerStay(h.Id, none)));
            return;
        }
        var candidates = new List<(PlacementHost Host, List<PlacementVm> Vms)>();
        foreach (var host in On(view))
        {
            var vms = Of(host.Id);
            if (WhyStays(host, vms) is { } why) stays.Add(new(host.Id, why));
            else candidates.Add((host, vms));
        }
        var found = false;
        foreach (var (host, vms) in candidates.OrderBy(c => c.Vms.Sum(Bytes) / picture.PowerOf(c.Host.Id).Watts)
            .ThenBy(c => c.Host.Id.Value, StringComparer.Ordinal).Take(TriedMax))
        {
            if (found) break;
            if (stop.IsCancellationRequested) return;
            var (advice, why) = TryEmpty(host, vms, stop);
            if (advice is not null) advices.Add(advice);
            else stays.Add(new(host.Id, why));
            found = advice is not null;
        }
    }

    private string? WhyNone()
    {
        if (lost.WhyWait() is { } wait) return wait;
        if (view.Hosts.FirstOrDefault(h => picture.PowerOf(h.Id).Phase is not (PowerPhase.On or PowerPhase.Standby)) is { } changing)
            return $"{changing.Id} is being turned off or on: one after the other";
        var on = On(view).Count();
        return on <= settings.MinHostsOn ? $"{settings.MinHostsOn} hosts are to be on always"
            : on <= picture.SpareHosts + 1 ? $"room to lose {Hosts(picture.SpareHosts)} is to be kept" : null;
    }

    private string? WhyStays(PlacementHost host, List<PlacementVm> vms)
    {
        var power = picture.PowerOf(host.Id);
        if (power.Phase != PowerPhase.On) return "it is being turned off or on";
        if (!power.HasHooks) return "it has no hooks that turn it off and on";
        if (power.Since is { } since && picture.Now - since < TimeSpan.FromMinutes(settings.MinOnMinutes))
            return $"it came on less than {settings.MinOnMinutes} min ago";
        if (FailedSince(host.Id, offAgainAfter)) return power.Problem ?? "it failed lately";
        if (picture.RenewAt.TryGetValue(host.Id, out var renew) && renew - picture.Now < renewBefore)
            return "its certificate is to be renewed before";
        if (picture.Held.TryGetValue(host.Id, out var held)) return held;
        if (view.Vms.FirstOrDefault(vm => vm.Heading == host.Id) is { } comes) return $"{comes.Name} is on its way to it";
        if (vms.FirstOrDefault(vm => vm.IsPinned) is { } pinned) return $"{pinned.Name} is to stay on it";
        return vms.Count * WattsPerMove > power.Watts
            ? string.Create(CultureInfo.InvariantCulture, $"moving {vms.Count} VMs for {power.Watts:0} W does not pay") : null;
    }

    private (PowerAdvice? Advice, string Why) TryEmpty(PlacementHost host, List<PlacementVm> vms, CancellationToken stop)
    {
        var power = picture.PowerOf(host.Id);
        var until = picture.Now + power.Lead + looks + TimeSpan.FromMinutes(settings.MinOnMinutes);
        var expected = picture.Forecast.PeakUntil(until).Cores + lost.CoresUnseen;
        var after = lost.Gone(With(view, host.Id, HostState.Standby));
        var limit = settings.Ceiling * PowerSettings.EmptyTo * OnCores(after);
        if (expected > limit)
            return (null, string.Create(CultureInfo.InvariantCulture,
                $"{expected:0.0} cores are to be reckoned with, and without it {limit:0.0} could be borne"));
        if (LastWith(after, host) is { } only) return (null, only);
        foreach (var vm in lost.Vms)
        {
            if (Place(after, vm with { Host = null }, "vcpus-exceed-host") is not { } to)
                return (null, $"{vm.Name} of {vm.Host}, which is away, would have no place below every ceiling");
            after = after.With(vm, to);
        }
        var moves = new List<PowerMove>();
        foreach (var vm in vms)
        {
            // As one that is to be started: where it is, is no place any more.
            if (Place(after, vm with { Host = null }) is not { } to) return (null, $"{vm.Name} would have no place below every ceiling");
            moves.Add(new(vm.Id, vm.Name, to));
            after = after.With(vm, to);
        }
        if (MemoryShort(after, until) is { } memory) return (null, $"without it: {memory}");
        var gaps = picture.SpareHosts > 0 ? Gaps(after, stop) : [];
        if (stop.IsCancellationRequested) return (null, "there was no time to prove that spare capacity is left");
        if (gaps.Count > 0)
            return (null, $"if {string.Join(" and ", gaps[0].Lost)} died then, {gaps[0].Homeless[0]} would have no place");
        var bytes = vms.Where(vm => vm.Host is not null).Sum(Bytes);
        var targets = moves.Select(m => m.To.Value).Distinct().Order(StringComparer.Ordinal).ToList();
        var reason = $"{host.Id} can be emptied: " + (vms.Count == 0 ? "nothing is on it"
                : $"{vms.Count} VM{(vms.Count == 1 ? "" : "s")}, {Gib(bytes)} over {string.Join(", ", targets.Take(5))}"
                    + (targets.Count > 5 ? $" and {targets.Count - 5} more" : ""))
            + string.Create(CultureInfo.InvariantCulture, $"; saves ~{power.Watts:0} W; spare kept: ") + Hosts(picture.SpareHosts);
        return (new PowerAdvice(PowerAct.Standby, host.Id, reason, moves, bytes, power.Watts), "");
    }

    /// <summary>The best rated host that bears it without passing a ceiling, a person's reserve included; null for none.</summary>
    /// <param name="borne">A reason of room that does not count.</param>
    private static HostId? Place(PlacementView after, PlacementVm vm, string? borne = null) => PlacementCheck.Rate(after, vm)
        .FirstOrDefault(rating => rating.Stars > 0
            && !rating.Verdict.Reasons.Any(reason => reason.Why.Code != borne && IsOfRoom(reason.Why.Code)))?.Host;

    private static bool IsOfRoom(string code) =>
        code is "cpu-busy" or "network-busy" or "disk-busy" or "memory-pressed" or "vcpus-exceed-host" or "reserve-used";

    /// <summary>What only it sees would be out of everybody's reach.</summary>
    private string? LastWith(PlacementView after, PlacementHost host)
    {
        var wanted = picture.Kept.Select(k => (k.Pool, k.Directory, Whose: "templates"))
            .Concat(view.Vms.Concat(picture.Idle).SelectMany(vm => vm.Pools.Where(p => p.Value is not null)
                .Select(p => (Pool: p.Key, Directory: p.Value!, Whose: vm.Name))));
        foreach (var (pool, directory, whose) in wanted)
            if (Sees(host, pool, directory) && !On(after).Any(other => Sees(other, pool, directory)))
                return $"it is the last host that is on and sees pool {pool} with what belongs to {whose}";
        return null;

        static bool Sees(PlacementHost host, string pool, string directory) =>
            host.Pools.TryGetValue(pool, out var there) && there == directory;
    }

    /// <summary>Largest first, as a drain takes them.</summary>
    private List<PlacementVm> Of(HostId host) =>
    [
        .. view.Vms.Where(vm => vm.Host == host).Concat(picture.Idle.Where(vm => vm.Home == host))
            .OrderByDescending(Bytes).ThenBy(vm => vm.Name, StringComparer.Ordinal),
    ];

    private IReadOnlyList<SpareGap> Gaps(PlacementView of, CancellationToken stop) =>
        SpareCapacity.Check(of, picture.Restarted, picture.SpareHosts, stop).Gaps;

    private static IEnumerable<PlacementHost> On(PlacementView of) =>
        of.Hosts.Where(h => h is { State: HostState.Ready, IsDraining: false });

    /// <summary>A cordoned host bears what is on it, and nothing more.</summary>
    private double OnCores(PlacementView of) => of.Hosts.Sum(h => h.State switch
    {
        HostState.Ready when !h.IsDraining => h.Capacity.CpuCores,
        HostState.Cordoned when !h.IsDraining => Math.Min(h.Capacity.CpuCores, of.Used(h.Id).CpuCores / settings.Ceiling),
        _ => 0,
    });

    private static PlacementView With(PlacementView of, HostId host, HostState state) =>
        new([.. of.Hosts.Select(h => h.Id == host ? h with { State = state } : h)], of.Vms, of.Policy);

    private static double Bytes(PlacementVm vm) => vm.Demand.MemoryBytes;
    private static string Gib(double bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1L << 30):0.0} GiB");
    private static string Hosts(int count) => count == 1 ? "1 host" : $"{count} hosts";
}
