using System.Globalization;
using Godwit.Cli.Commands;
using Godwit.Core.Power;
using Godwit.Server.Power;

namespace Godwit.Cli.Screens;

/// <summary>Hosts that are turned off and on, in words and tables. Pure.</summary>
internal static class PowerText
{
    private static readonly string[] openHeadings = ["ID", "WHY", "VMS"];
    private static readonly string[] waitHeadings = ["ID", "NOT YET, BECAUSE", "WHY"];
    private static readonly string[] hostHeadings = ["HOST", "POWER", "SINCE", "OFF BY", "ON BY", "WATTS", "WAKES IN", "STAYS, BECAUSE"];

    public static string Hooks(HostPower power) => power is { OffHook: null, OnHook: null, StateHook: null }
        ? "no power hooks" + Watts(power)
        : $"turned off by {power.OffHook ?? "nothing"}, on by {power.OnHook ?? "nothing"}"
            + (power.StateHook is { } state ? $", asked by {state}" : "") + Watts(power);

    public static IEnumerable<(string Title, string Value)> Facts(HostPower power)
    {
        if (power.Phase != PowerPhase.On)
            yield return ("power", $"{Words.Of(power.Phase)}{(power.Since is { } since ? $" since {SessionCommands.Moment(since)}" : "")}, "
                + $"for {power.By}: {power.Because}");
        if (power.OffHook is not null || power.OnHook is not null) yield return ("hooks", Hooks(power));
        if (power.Problem is { } problem)
            yield return ("power failed", (power.ProblemAt is { } at ? $"{SessionCommands.Moment(at)} " : "") + problem);
    }

    public static string Sentence(PowerSettings settings) => string.Create(CultureInfo.InvariantCulture,
        $"Mode {Words.Of(settings.Mode)}; {Words.Counted(settings.MinHostsOn, "host")} on always; a host is turned off once it could be ")
        + string.Create(CultureInfo.InvariantCulture,
            $"spared for {settings.LowMinutes} min, and one is woken before {settings.Ceiling * 100:0} % of what is on are reached; ")
        + $"on for {settings.MinOnMinutes} min at least; {settings.WakeMinutesMax} min to wake; "
        + (settings.Windows.Count == 0 ? "at any time of day." : $"turned off in {string.Join(", ", settings.Windows)} (UTC) only.");

    public static Sheet Open(IEnumerable<PowerDecision> decisions) => new(openHeadings,
        [.. decisions.Where(d => d.Deed != PowerDeed.Wait).Select(d => (IReadOnlyList<Cell>)
            [new Cell(d.Advice.Id, Tone.Strong), d.Advice.Reason, Vms(d.Advice)])],
        "Nothing is recommended now.");

    public static Sheet Waiting(IEnumerable<PowerDecision> decisions) => new(waitHeadings,
        [.. decisions.Where(d => d.Deed == PowerDeed.Wait)
            .Select(d => (IReadOnlyList<Cell>)[d.Advice.Id, d.Because, d.Advice.Reason])], "");

    public static Sheet Hosts(PowerView view)
    {
        var stays = view.LastLook?.Plan.Stays.ToDictionary(stay => stay.Host, stay => stay.Why) ?? [];
        return new(hostHeadings, [.. view.Hosts.Select(host => (IReadOnlyList<Cell>)
        [
            new Cell(host.Host.Value, Tone.Strong),
            new Cell(Words.Of(host.Power.Phase), host.Power.Problem is null ? Tone.Plain : Tone.Warn),
            host.Power.Since is { } since ? SessionCommands.Moment(since) : "-", host.Power.OffHook ?? "-", host.Power.OnHook ?? "-",
            host.Power.Watts.ToString("0", CultureInfo.InvariantCulture),
            host.LeadSeconds.ToString("0", CultureInfo.InvariantCulture) + " s"
                + (host.Power.WakeSeconds.Count == 0 ? ", not measured" : ""),
            host.Power.Problem ?? stays.GetValueOrDefault(host.Host, ""),
        ])], "The cluster has no host.");
    }

    private static string Vms(PowerAdvice advice) => advice.Vms.Count == 0 ? "-"
        : string.Join(", ", advice.Vms.Take(4).Select(vm => $"{vm.VmName} to {vm.To}"))
            + (advice.Vms.Count > 4 ? $" and {advice.Vms.Count - 4} more" : "");

    private static string Watts(HostPower power) =>
        power.IdleWatts is { } watts ? string.Create(CultureInfo.InvariantCulture, $", {watts:0.#} W while idle") : "";
}
