using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Server.Draining;
using Godwit.Server.Hosts;
using Godwit.Server.Store;

namespace Godwit.Server.Power;

/// <summary>host standby, host wake, their hooks; cluster power: mode, and one recommendation's yes or no.</summary>
public sealed class PowerVerbs(Stores stores, PowerKeeper keeper, DrainVerbs drains, IPowerHooks hooks, TimeProvider time)
{
    private const string None = "none";
    private const int HostsOnMax = HostStore.HostsMax, MinutesMax = 24 * 60, MinOnLeast = 10, WakeMinutesMax = 60;
    /// <summary>Whoever asked for it and is gone holds nothing for longer.</summary>
    private const int HoldSecondsMax = 600, BecauseCharsMax = 100;
    private const double CeilingLeast = 0.2, CeilingMax = 0.95;

    public async Task<PowerView> ShowAsync()
    {
        var hosts = await stores.Hosts.ListAsync();
        return new PowerView(await stores.Power.SettingsAsync(), keeper.LastLook,
            [.. hosts.Select(host => new HostPowerView(host.Id, host.State, host.Power, host.Power.Lead.TotalSeconds))], keeper.Hold);
    }

    public Task<PowerSettings> SetAsync(PowerWish wish)
    {
        var windows = wish.Windows?.Count > PowerSettings.WindowsMax
            ? throw new RefusedException("too-many-windows", $"{wish.Windows.Count} windows", $"{PowerSettings.WindowsMax} are possible")
            : wish.Windows is [None] ? [] : wish.Windows?.Select(PowerWindow.Parse).ToList();
        Check(wish);
        return stores.Power.ChangeAsync(s => s with
        {
            Mode = wish.Mode ?? s.Mode, MinHostsOn = wish.MinHostsOn ?? s.MinHostsOn, LowMinutes = wish.LowMinutes ?? s.LowMinutes,
            Ceiling = wish.Ceiling ?? s.Ceiling, MinOnMinutes = wish.MinOnMinutes ?? s.MinOnMinutes,
            WakeMinutesMax = wish.WakeMinutesMax ?? s.WakeMinutesMax, Windows = windows ?? s.Windows,
        });
    }

    /// <summary>For who works on one host after the other, and says it again while they do.</summary>
    public Task<PowerHold> HoldAsync(PowerHoldWish wish)
    {
        if (wish.Seconds is < 1 or > HoldSecondsMax)
            throw new RefusedException(
                "bad-hold", $"a hold of {wish.Seconds} s", $"1 to {HoldSecondsMax} s are possible; ask again for longer");
        return keeper.HoldAsync(TimeSpan.FromSeconds(wish.Seconds), OneLine.Of(wish.Because, BecauseCharsMax));
    }

    /// <summary>What is null stays; <c>none</c> takes a hook away.</summary>
    public async Task SetHostAsync(HostId id, string? off, string? on, string? state, double? idleWatts, CancellationToken cancel)
    {
        if (off is null && on is null && state is null && idleWatts is null) return;
        if (idleWatts is { } watts && !(watts is >= 0 and <= HostPower.IdleWattsMax))
            throw new RefusedException("bad-idle-watts", $"{watts} W", $"0 to {HostPower.IdleWattsMax} W are possible");
        foreach (var hook in new[] { off, on, state })
            if (hook is not (null or None) && await hooks.WhyNotAsync(hook, cancel) is { } refusal) throw new RefusedException([refusal]);
        _ = await stores.Power.ChangeHostAsync(id, [], p => p with
        {
            OffHook = Named(off, p.OffHook), OnHook = Named(on, p.OnHook), StateHook = Named(state, p.StateHook),
            IdleWatts = idleWatts ?? p.IdleWatts,
        }) ?? throw HostVerbs.NotFound(id);

        static string? Named(string? wished, string? before) => wished is null ? before : wished == None ? null : wished;
    }

    /// <summary>
    /// Its VMs leave it by a drain, then it is turned off. By hand, spare capacity is not asked for: whoever says this decides; that
    /// every VM has a place is.
    /// </summary>
    public async Task StandbyAsync(HostId id, string by, string because = "asked for by hand")
    {
        var host = await FindAsync(id);
        if (host.Power.Phase is PowerPhase.Standby or PowerPhase.GoingOff or PowerPhase.Emptying) return;
        Demand(host.Power.Phase == PowerPhase.On, id, host.Power);
        if (!host.Power.HasHooks)
            throw new RefusedException("power-hook-missing", $"{id} has no hooks that turn it off and on again",
                $"put them on the server's machine, then: 'godwit host set {id} --power-off NAME --power-on NAME'");
        foreach (var hook in new[] { host.Power.OffHook!, host.Power.OnHook! })
            if (await hooks.WhyNotAsync(hook, CancellationToken.None) is { } refusal) throw new RefusedException([refusal]);
        foreach (var vm in await stores.Vms.ListAsync(id))
            if (DrainPlanner.WayOf(vm, MoveMode.Live) is { Mode: null, Why: { } stuck }) throw new RefusedException([stuck]);
        var plan = await drains.PlanAsync(id, new DrainLimits());
        if (plan.Steps.FirstOrDefault(step => step.Target is null) is { } homeless)
            throw new RefusedException([.. plan.Reasons.Concat(homeless.Why)
                .DefaultIfEmpty(new Refusal("drain-incomplete", $"{homeless.VmName} cannot leave {id}", "make room elsewhere"))]);
        if (plan.Reasons.Count > 0) throw new RefusedException(plan.Reasons);
        if (PlanPower.WhyNotByHand(await keeper.PictureAsync(byHand: true), id) is { } why)
            throw new RefusedException("standby-unsafe", $"{id} is not turned off: {why}",
                "make room elsewhere first; 'godwit cluster check' tells what spare capacity is short of");
        Demand(await keeper.BeginAsync(PowerAct.Standby, id, by, because), id, host.Power);
    }

    /// <summary>Turned on by its hook; used once it answers and has been proved.</summary>
    public async Task WakeAsync(HostId id, string by, string because = "asked for by hand")
    {
        var host = await FindAsync(id);
        if (host.Power.Phase is PowerPhase.On or PowerPhase.Waking) return;
        if (host.Power.OnHook is null)
            throw new RefusedException("power-hook-missing", $"{id} has no hook that turns it on",
                $"turn it on by hand: it is taken back as it answers; or 'godwit host set {id} --power-on NAME'");
        Demand(await keeper.BeginAsync(PowerAct.Wake, id, by, because), id, host.Power);
    }

    /// <param name="id"><c>standby-HOST</c> or <c>wake-HOST</c>, as the last look said it.</param>
    public async Task<HostId> ApplyAsync(string id, string by)
    {
        var advice = Open(id);
        if (advice.Act == PowerAct.Wake) await WakeAsync(advice.Host, by, advice.Reason);
        else await StandbyAsync(advice.Host, by, advice.Reason);
        return advice.Host;
    }

    public async Task<HostId> DismissAsync(string id)
    {
        var advice = Open(id);
        await stores.Power.ChangeHostAsync(advice.Host, [], p => p with { DismissedAt = time.GetUtcNow() });
        return advice.Host;
    }

    private PowerAdvice Open(string id) => keeper.LastLook?.Plan.Advices.FirstOrDefault(advice => advice.Id == id)
        ?? throw new RefusedException("recommendation-not-found", $"nothing named '{OneLine.Of(id)}' is recommended now",
            "'godwit cluster power show' lists what is");

    private async Task<Host> FindAsync(HostId id) => await stores.Hosts.FindAsync(id) ?? throw HostVerbs.NotFound(id);

    private static void Demand(bool holds, HostId id, HostPower power)
    {
        if (!holds)
            throw new RefusedException("host-changing", $"{id} is {Fields.Word(power.Phase)}, or has just been changed",
                $"wait for it: 'godwit host show {id}'");
    }

    private static void Check(PowerWish wish)
    {
        var wrong = new List<Refusal>();
        if (wish == new PowerWish()) wrong.Add(new("nothing-to-set", "nothing is said that could be set", "--help lists the settings"));
        Whole("min-hosts", wish.MinHostsOn, 1, HostsOnMax);
        Whole("low-minutes", wish.LowMinutes, 1, MinutesMax);
        Whole("min-on-minutes", wish.MinOnMinutes, MinOnLeast, MinutesMax);
        Whole("wake-minutes", wish.WakeMinutesMax, 1, WakeMinutesMax);
        if (wish.Ceiling is { } share && !(share is >= CeilingLeast and <= CeilingMax))
            wrong.Add(new("bad-ceiling", FormattableString.Invariant($"a ceiling of {share * 100:0.#} %"),
                FormattableString.Invariant($"{CeilingLeast * 100:0} to {CeilingMax * 100:0} % are possible")));
        if (wrong.Count > 0) throw new RefusedException(wrong);

        void Whole(string what, int? value, int min, int max)
        {
            if (value is { } given && (given < min || given > max))
                wrong.Add(new($"bad-{what}", $"{what} of {given}", $"{min} to {max} are possible"));
        }
    }
}

/// <summary>POST /power: what is null stays.</summary>
/// <param name="Windows">Each as <c>22:00-06:00</c>, UTC; one that is <c>none</c>: always.</param>
public sealed record PowerWish(
    PowerMode? Mode = null, int? MinHostsOn = null, int? LowMinutes = null, double? Ceiling = null, int? MinOnMinutes = null,
    int? WakeMinutesMax = null, IReadOnlyList<string>? Windows = null);

/// <summary>POST /power/hold: so long no host is turned off but by a person's word.</summary>
/// <param name="Because">What goes on meanwhile: <c>a rolling upgrade</c>.</param>
public sealed record PowerHoldWish(int Seconds, string Because);

/// <summary>GET /power.</summary>
/// <param name="LastLook">Null: none yet, or its mode is off.</param>
/// <param name="Hold">Null: nobody keeps hosts from being turned off.</param>
public sealed record PowerView(
    PowerSettings Settings, PowerLook? LastLook, IReadOnlyList<HostPowerView> Hosts, PowerHold? Hold = null);

/// <param name="LeadSeconds">How long before it is needed it is woken.</param>
public sealed record HostPowerView(HostId Host, HostState State, HostPower Power, double LeadSeconds);
