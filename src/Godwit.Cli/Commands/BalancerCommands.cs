using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core.Balance.Automatic;
using Godwit.Server.Balancing;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster balancer`: what it would move, what it did, what that gained; its mode; yes or no to what it asks.</summary>
internal static class BalancerCommands
{
    private const int HistoryShown = 20;
    private const string LikeCluster = "cluster";
    private static readonly string[] modes = ["off", "manual", "partial", "automatic"];
    private static readonly string[] openHeadings = ["ID", "VM", "FROM", "TO", "GOAL", "GAIN", "COST", "WHY"];
    private static readonly string[] waitHeadings = ["VM", "FROM", "TO", "GOAL", "NOT YET, BECAUSE"];
    private static readonly string[] pastHeadings = ["ID", "VM", "FROM", "TO", "END", "BY", "PREDICTED", "MEASURED", "NOTE"];

    public static Command Build(Verbs verbs) => Verbs.Group(
        "balancer", "The balancer that looks every minute: mode, recommendations, history.",
        Show(verbs), Set(verbs),
        Answer(verbs, "apply", "Begin recommended moves.", r => r.State == RecommendationState.Failed
            ? $"{r.Move.VmName} was not moved: {r.Note}" : $"{r.MoveId} moves {r.Move.VmName} from {r.Move.From} to {r.Move.To}."),
        Answer(verbs, "dismiss", "Do not recommend them again within the hour.", r => $"{r.Id} is dismissed: {r.Move.VmName} stays."),
        verbs.Verb("resume", "Let it move by itself again, after it had paused itself.", async (session, _, cancel) =>
            Tell(session, await session.Api.SetBalancerAsync(new BalancerWish(Resume: true), cancel))));

    private static Command Show(Verbs verbs) => verbs.Verb("show", "Mode, what it recommends and why, what it did and what that gained.",
        async (session, _, cancel) =>
        {
            var view = await session.Api.BalancerAsync(cancel);
            if (session.Screen.IsJson)
            {
                session.Screen.Document(view);
                return ExitCode.All;
            }
            Tell(session, view.Settings);
            if (view.LastLook is { } look)
            {
                session.Screen.Line(look.Problem is { } problem ? $"Looked at {SessionCommands.Moment(look.At)}: {problem}."
                    : $"Looked at {SessionCommands.Moment(look.At)}: guests lose {Seconds(look.ScoreBefore)} an hour; "
                        + $"after all its moves {Seconds(look.ScoreAfter)}.");
                var waiting = look.Advices.Where(a => a.Act == Act.Wait).ToList();
                if (waiting.Count > 0) session.Screen.Show(new Sheet(waitHeadings, [.. waiting.Select(Waiting)], ""));
            }
            session.Screen.Show(new Sheet(openHeadings, [.. view.Open.Select(Open)], "It recommends nothing now."));
            if (view.History.Count > 0)
                session.Screen.Show(new Sheet(pastHeadings, [.. view.History.Take(HistoryShown).Select(Past)], ""));
            return ExitCode.All;
        });

    private static Command Set(Verbs verbs)
    {
        var mode = new Option<string?>("--mode")
        {
            Description = "off; manual: it recommends; partial: it relieves hosts by short moves, else asks; automatic. "
                + "With --vm also cluster.",
        };
        mode.AcceptOnlyFromAmong([.. modes, LikeCluster]);
        var vm = new Option<string?>("--vm") { Description = "The mode of this VM alone.", HelpName = "VM" };
        var minGain = new Option<double?>("--min-gain")
        { Description = "A move must gain so many times what it costs.", HelpName = "RATIO" };
        var level = new Option<bool?>("--level") { Description = "Also even the load of hosts on which no guest waits: true or false." };
        var atOnce = new Option<int?>("--moves-at-once") { Description = "Moves it has under way at the same time.", HelpName = "N" };
        var copy = new Option<double?>("--max-copy") { Description = "Partial mode asks where a copy takes longer.", HelpName = "SECONDS" };
        var busy = new Option<double?>("--busy-above")
        { Description = "Guests of a host are taken to wait where it is loaded above so much.", HelpName = "PERCENT" };
        var spare = new Option<int?>("--spare-hosts")
        { Description = "So many hosts may die and every VM marked ha has a place; what breaks that is not started.", HelpName = "N" };
        return verbs.Verb("set", "Set its mode, for the cluster or one VM, and its limits.", async (session, parsed, cancel) =>
        {
            var word = parsed.GetValue(mode);
            BalanceMode? wished = word is null or LikeCluster ? null : Enum.Parse<BalanceMode>(word, ignoreCase: true);
            if (parsed.GetValue(vm) is { } name)
            {
                if (word is null)
                    throw new ApiException(new ApiError("mode-missing", "--vm needs --mode") { Next = "add --mode MODE" });
                var set = await session.Api.SetBalancerOfVmAsync(name, new VmModeWish(wished), cancel);
                if (session.Screen.IsJson) session.Screen.Document(set);
                session.Screen.Line($"{name}: the balancer's mode is {(wished is { } own ? Words.Of(own) : "the cluster's")}.");
                return ExitCode.All;
            }
            if (word == LikeCluster)
                throw new ApiException(new ApiError("bad-mode", "'cluster' is a VM's mode") { Next = "add --vm VM, or name a mode" });
            return Tell(session, await session.Api.SetBalancerAsync(new BalancerWish(wished, parsed.GetValue(minGain),
                parsed.GetValue(level), parsed.GetValue(atOnce), parsed.GetValue(copy), parsed.GetValue(busy) / 100,
                parsed.GetValue(spare)), cancel));
        }, mode, vm, minGain, level, atOnce, copy, busy, spare);
    }

    private static Command Answer(Verbs verbs, string answer, string description, Func<Recommendation, string> sentence)
    {
        var ids = new Argument<string[]>("ID") { Arity = ArgumentArity.OneOrMore };
        return verbs.Verb(answer, description, (session, parsed, cancel) => Verbs.ForEachAsync(
            session, parsed.GetValue(ids)!, id => session.Api.AnswerRecommendationAsync(id, answer, cancel), sentence), ids);
    }

    private static int Tell(Session session, BalancerSettings settings)
    {
        if (session.Screen.IsJson) session.Screen.Document(settings);
        else
        {
            session.Screen.Line($"Mode {Words.Of(settings.Mode)}"
                + (settings.VmModes.Count > 0 ? $", {Words.Counted(settings.VmModes.Count, "VM")} with a mode of their own" : "")
                + $"; a move must gain {settings.MinGainRatio.ToString("0.#", CultureInfo.InvariantCulture)} times its cost; "
                + $"hosts are busy above {(settings.BusyAbove * 100).ToString("0", CultureInfo.InvariantCulture)} %; "
                + $"{Words.Counted(settings.MovesAtOnceMax, "move")} at the same time; "
                + $"partial takes copies up to {Seconds(settings.MaxCopySeconds)}"
                + (settings.SpareHosts > 0 ? $"; room to lose {Words.Counted(settings.SpareHosts, "host")}" : "")
                + (settings.LevelsToo ? "." : "; it only relieves."));
            if (settings.PausedBecause is { } why)
                session.Screen.Line($"It moves nothing by itself: {why}. 'godwit cluster balancer resume' lets it go on.", Tone.Warn);
        }
        return ExitCode.All;
    }

    private static IReadOnlyList<Cell> Open(Recommendation r) =>
    [
        r.Id, new Cell(r.Move.VmName, Tone.Strong), r.Move.From.Value, r.Move.To.Value, Words.Of(r.Move.Goal),
        Seconds(r.Move.GainSeconds), Seconds(r.Move.CostSeconds), $"{r.Move.Why} ({r.Note})",
    ];

    private static IReadOnlyList<Cell> Waiting(Advice a) =>
        [new Cell(a.Move.VmName, Tone.Strong), a.Move.From.Value, a.Move.To.Value, Words.Of(a.Move.Goal), a.Because];

    private static IReadOnlyList<Cell> Past(Recommendation r) =>
    [
        r.Id, new Cell(r.Move.VmName, Tone.Strong), r.Move.From.Value, r.Move.To.Value,
        new Cell(Words.Of(r.State), r.State == RecommendationState.Failed ? Tone.Warn : Tone.Plain), r.ByItself ? "itself" : "a person",
        Seconds(r.Move.GainSeconds), r.MeasuredGainSeconds is { } gain ? new Cell(Seconds(gain), gain < 0 ? Tone.Warn : Tone.Good) : "-",
        r.State == RecommendationState.Failed ? r.Note ?? "" : "",
    ];

    private static string Seconds(double seconds) =>
        seconds.ToString(Math.Abs(seconds) < 10 ? "0.0" : "0", CultureInfo.InvariantCulture) + " s";
}
