using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Api;
using Godwit.Cli.Moves;
using Godwit.Cli.Screens;
using Godwit.Core.Balance;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Amounts = Godwit.Client.Amounts;
using Godwit.Server.Api;
using Godwit.Server.Balancing;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster balance` and `godwit vm check`: what would be better where, told with reasons; carried out if asked.</summary>
internal static class BalanceCommands
{
    private static readonly string[] planHeadings = ["WAVE", "VM", "FROM", "TO", "GOAL", "GAIN", "COST", "WHY"];
    private static readonly string[] hostHeadings = ["HOST", "STARS", "TIGHTEST", "WHY"];

    public static Command Balance(Verbs verbs)
    {
        var apply = new Option<bool>("--apply") { Description = "Carry the plan out, wave by wave; stops where a move fails." };
        var explain = new Option<bool>("--explain")
        { Description = "For each move also what staying means, and the next best host; for the others why they stay." };
        var maxMoves = new Option<int?>("--max-moves") { Description = "Plan no more moves than this.", HelpName = "N" };
        var minGain = new Option<double>("--min-gain")
        {
            Description = "A move must gain so many times what it costs.", HelpName = "RATIO", DefaultValueFactory = _ => 2,
        };
        var relieve = new Option<bool>("--relieve-only") { Description = "Leave uneven hosts alone on which no guest waits." };
        return verbs.Verb("balance", "Plan the moves that make guests wait less, with reasons. Moves nothing without --apply.",
            async (session, parsed, cancel) =>
            {
                var wish = new BalanceWish(parsed.GetValue(maxMoves), parsed.GetValue(minGain), !parsed.GetValue(relieve),
                    parsed.GetValue(explain));
                var found = await session.Api.PlanBalanceAsync(wish, cancel);
                if (session.Screen.IsJson && !parsed.GetValue(apply)) session.Screen.Document(found);
                else Tell(session, found, parsed.GetValue(explain));
                return parsed.GetValue(apply) ? await ApplyAsync(session, found.Plan, cancel) : ExitCode.All;
            }, apply, explain, maxMoves, minGain, relieve);
    }

    public static Command Check(Verbs verbs)
    {
        var name = new Argument<string>("VM");
        return verbs.Verb("check", "Which hosts could take a VM, the best first, and why.", async (session, parsed, cancel) =>
        {
            var ratings = await session.Api.RateHostsAsync(parsed.GetValue(name)!, cancel);
            if (session.Screen.IsJson) session.Screen.Document(ratings);
            else session.Screen.Show(new Sheet(hostHeadings, [.. ratings.Select(Row)], "The cluster has no host."));
            return ratings.Any(r => r.Stars > 0) ? ExitCode.All : ExitCode.Refused;
        }, name);
    }

    private static void Tell(Session session, ClusterPlan found, bool explain)
    {
        var plan = found.Plan;
        session.Screen.Show(new Sheet(
            planHeadings, [.. plan.Moves.Select(Row)], "Nothing is to be gained by moving: the cluster stays as it is."));
        if (explain)
        {
            foreach (var move in plan.Moves) session.Screen.Line($"{move.VmName}: {move.Otherwise}");
            foreach (var stays in plan.Stays) session.Screen.Line($"{stays.VmName} stays on {stays.On}: {stays.Why}");
        }
        foreach (var blocked in plan.Blocked) session.Screen.Line($"{blocked.VmName} stays on {blocked.From}: {blocked.Why}", Tone.Warn);
        if (found.Unmeasured.Count > 0)
            session.Screen.Note($"Not measured yet, so they stay: {string.Join(", ", found.Unmeasured.Take(10))}"
                + (found.Unmeasured.Count > 10 ? $" and {found.Unmeasured.Count - 10} more" : ""));
        if (plan.Moves.Count > 0)
            session.Screen.Line($"{Words.Counted(plan.Moves.Count, "move")} in {Words.Counted(plan.Waves, "wave")}: "
                + $"guests would lose {Seconds(plan.ScoreAfter)} instead of {Seconds(plan.ScoreBefore)} in the next hour.");
    }

    /// <summary>A wave begins when the one before has ended: later moves may need the room that earlier ones make.</summary>
    private static async Task<int> ApplyAsync(Session session, BalancePlan plan, CancellationToken cancel)
    {
        var ended = new List<Migration>();
        foreach (var wave in plan.Moves.GroupBy(move => move.Wave))
        {
            var begun = new List<Migration>();
            foreach (var move in wave)
            {
                try
                {
                    var order = new MigrateRequest(move.To.Value);
                    begun.Add(await session.Api.MigrateAsync(move.VmName, order, cancel));
                    session.Screen.Line($"{begun[^1].Id} {MoveText.Title(begun[^1])}");
                }
                catch (ApiException reason) { session.Report(reason.Error); }
            }
            var through = begun.Count == 0 ? [] : await new MoveFollower(session).FollowAsync(begun, cancel);
            ended.AddRange(through);
            if (through.Count == wave.Count() && through.All(m => m.End == MoveEnd.Done)) continue;
            session.Screen.Note("A move of this wave did not succeed: the waves after it may need its room, and were not begun. "
                + "Plan again.");
            break;
        }
        if (session.Screen.IsJson) session.Screen.Document(ended);
        else if (ended.Count > 0) MoveReport.Tell(session, ended);
        var done = ended.Count(m => m.End == MoveEnd.Done);
        return ExitCode.Of(done, plan.Moves.Count - done, 0);
    }

    private static IReadOnlyList<Cell> Row(PlannedMove move) =>
    [
        Amounts.Count(move.Wave), new Cell(move.VmName, Tone.Strong), move.From.Value, move.To.Value, Words.Of(move.Goal),
        Seconds(move.GainSeconds), Seconds(move.CostSeconds), move.Why,
    ];

    private static IReadOnlyList<Cell> Row(HostRating rating) =>
    [
        new Cell(rating.Host.Value, Tone.Strong),
        new Cell(rating.Stars == 0 ? "no" : new string('*', rating.Stars),
            rating.Stars == 0 ? Tone.Bad : rating.Stars > 3 ? Tone.Good : Tone.Plain),
        $"{Words.Of(rating.Tightest)} {(rating.WorstShare * 100).ToString("0", CultureInfo.InvariantCulture)} %", rating.Reason,
    ];

    private static string Seconds(double guestSeconds) =>
        guestSeconds.ToString(guestSeconds < 10 ? "0.0" : "0", CultureInfo.InvariantCulture) + " s";
}
