using System.CommandLine;
using Godwit.Cli.Screens;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Server.Power;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster power`, `godwit host standby` and `wake`: which hosts are turned off to save power, and back in time.</summary>
internal static class PowerCommands
{
    private static readonly TimeSpan lookEvery = TimeSpan.FromSeconds(1);

    public static Command Build(Verbs verbs) => Verbs.Group(
        "power", "Hosts that are turned off while they can be spared, and woken before they are needed.",
        verbs.Verb("show", "Mode, what is recommended and why, each host and why it stays on.", ShowAsync),
        Set(verbs),
        Answer(verbs, "apply", "Do what is recommended.", host => $"{host.Id} is {DrainText.StateOf(host)}."),
        Answer(verbs, "dismiss", "Do not recommend it again within the hour.", host => $"{host.Id} stays as it is."));

    public static Command Standby(Verbs verbs) => Host(verbs, "standby",
        "Move everything off a host, then turn it off by its hook; it is woken when it is needed.", PowerPhase.Standby);

    public static Command Wake(Verbs verbs) => Host(verbs, "wake",
        "Turn a host on that is on standby; used once it is proved.", PowerPhase.On);

    private static Command Host(Verbs verbs, string act, string description, PowerPhase wanted)
    {
        var name = new Argument<string>("NAME");
        var detach = new Option<bool>("--detach") { Description = "Do not wait for the end." };
        return verbs.Verb(act, description, async (session, parsed, cancel) =>
        {
            var host = await session.Api.ActOnHostAsync(parsed.GetValue(name)!, act, cancel);
            var told = "";
            while (!parsed.GetValue(detach) && host.Power.Phase is not (PowerPhase.On or PowerPhase.Standby))
            {
                if (DrainText.StateOf(host) is var state && state != told) session.Screen.Line($"{host.Id}: {told = state}");
                await Task.Delay(lookEvery, session.Time, cancel);
                host = await session.Api.HostAsync(host.Id.Value, cancel);
            }
            if (session.Screen.IsJson) session.Screen.Document(host);
            var isDone = host.Power.Phase == wanted;
            session.Screen.Line($"{host.Id} is {(host.State == HostState.Standby ? Words.Of(host.Power.Phase) : DrainText.StateOf(host))}"
                + (isDone || host.Power.Problem is null ? "." : $": {host.Power.Problem}"), isDone ? Tone.Good : Tone.Warn);
            return isDone || parsed.GetValue(detach) ? ExitCode.All : ExitCode.Failed;
        }, name, detach);
    }

    private static async Task<int> ShowAsync(Session session, ParseResult parsed, CancellationToken cancel)
    {
        var view = await session.Api.PowerAsync(cancel);
        if (session.Screen.IsJson)
        {
            session.Screen.Document(view);
            return ExitCode.All;
        }
        session.Screen.Line(PowerText.Sentence(view.Settings));
        if (view.Hold is { } hold) session.Screen.Line(PowerNotes.Held(hold), Tone.Warn);
        if (view.LastLook is { } look)
        {
            session.Screen.Line(FormattableString.Invariant(
                $"Looked at {SessionCommands.Moment(look.At)}: {look.Plan.ExpectedCores:0.0} of {look.Plan.OnCores:0} cores that are on ")
                + "are to be reckoned with.");
            if (look.Decisions.Any(d => d.Deed == PowerDeed.Wait)) session.Screen.Show(PowerText.Waiting(look.Decisions));
            session.Screen.Show(PowerText.Open(look.Decisions));
        }
        session.Screen.Show(PowerText.Hosts(view));
        return ExitCode.All;
    }

    private static Command Set(Verbs verbs)
    {
        var mode = new Option<string?>("--mode")
        { Description = "off; manual: it recommends; automatic: it turns hosts off and on." };
        mode.AcceptOnlyFromAmong("off", "manual", "automatic");
        var minHosts = new Option<int?>("--min-hosts") { Description = "So many hosts are on always.", HelpName = "N" };
        var low = new Option<int?>("--low-minutes")
        { Description = "So long a host could have been spared before it is emptied.", HelpName = "MINUTES" };
        var ceiling = new Option<double?>("--ceiling")
        { Description = "A host is woken before the expected load passes so much of what is on.", HelpName = "PERCENT" };
        var minOn = new Option<int?>("--min-on-minutes") { Description = "A host that came on stays on so long.", HelpName = "MINUTES" };
        var wake = new Option<int?>("--wake-minutes")
        { Description = "A host that is woken and not back by then has failed; the next is tried.", HelpName = "MINUTES" };
        var window = new Option<string[]>("--window")
        {
            Description = "A time of day (UTC) in which hosts may be turned off, 22:00-06:00; again for more; 'none': always.",
            HelpName = "FROM-TO",
        };
        return verbs.Verb("set", "Set its mode and its limits.", async (session, parsed, cancel) =>
        {
            PowerMode? wished = parsed.GetValue(mode) is { } word ? Enum.Parse<PowerMode>(word, ignoreCase: true) : null;
            var settings = await session.Api.SetPowerAsync(new PowerWish(wished, parsed.GetValue(minHosts), parsed.GetValue(low),
                parsed.GetValue(ceiling) / 100, parsed.GetValue(minOn), parsed.GetValue(wake),
                parsed.GetValue(window) is { Length: > 0 } windows ? windows : null), cancel);
            if (session.Screen.IsJson) session.Screen.Document(settings);
            session.Screen.Line(PowerText.Sentence(settings));
            return ExitCode.All;
        }, mode, minHosts, low, ceiling, minOn, wake, window);
    }

    private static Command Answer(Verbs verbs, string answer, string description, Func<Server.Api.HostView, string> sentence)
    {
        var ids = new Argument<string[]>("ID") { Arity = ArgumentArity.OneOrMore };
        return verbs.Verb(answer, description, (session, parsed, cancel) => Verbs.ForEachAsync(
            session, parsed.GetValue(ids)!, id => session.Api.AnswerPowerAsync(id, answer, cancel), sentence), ids);
    }
}

/// <summary>How one host is turned off and on.</summary>
internal sealed class PowerOptions
{
    public Option<string?> Off { get; } = new("--power-off")
    {
        Description = "The power hook on the server's machine that turns this host off, and ends with 0 once it has seen it off; 'none'.",
        HelpName = "NAME",
    };
    public Option<string?> On { get; } = new("--power-on") { Description = "The power hook that turns it on; 'none'.", HelpName = "NAME" };
    public Option<string?> State { get; } = new("--power-state")
    { Description = "The power hook that prints on or off; 'none'.", HelpName = "NAME" };
    public Option<double?> IdleWatts { get; } = new("--idle-watts")
    { Description = "What it takes while nothing runs on it.", HelpName = "WATTS" };

    public Option[] All => [Off, On, State, IdleWatts];
}
