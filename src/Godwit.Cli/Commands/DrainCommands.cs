using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Godwit.Server.Draining;

namespace Godwit.Cli.Commands;

/// <summary>`host drain` and `host restore`: a host is emptied for maintenance, and gets back what was on it.</summary>
internal static class DrainCommands
{
    private static readonly TimeSpan lookEvery = TimeSpan.FromSeconds(1);

    public static Command Drain(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        var mode = new Option<string>("--mode")
        {
            Description = "How running VMs leave: live, or quick (paused meanwhile, each page crosses once).",
            DefaultValueFactory = _ => "live",
        };
        mode.AcceptOnlyFromAmong("live", "quick");
        var onBlocked = new Option<string>("--on-blocked")
        {
            Description = "A VM that does not move live: skip leaves it running here, quick moves it paused.",
            DefaultValueFactory = _ => "skip",
        };
        onBlocked.AcceptOnlyFromAmong("skip", "quick");
        var deadline = new Option<int?>("--deadline")
        {
            Description = "Begin no move later than this: 90s, 30m, 2h.", HelpName = "TIME", CustomParser = ParseSeconds,
        };
        var partial = new Option<bool>("--allow-partial") { Description = "Begin although some VMs have no place elsewhere." };
        var pinned = new Option<bool>("--take-pinned") { Description = "VMs that are pinned to it leave it, too." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Show the plan, change nothing." };
        var cancelIt = new Option<bool>("--cancel")
        {
            Description = "Cancel the drain that goes on: waiting moves with it, those under way end as they do.",
        };
        var noWait = new Option<bool>("--no-wait") { Description = "Begin, do not follow." };
        var drain = verbs.Verb("drain", "Move everything off a host and close it. Never stops a VM. Ctrl-C leaves it going on.",
            async (session, parsed, cancel) =>
            {
                var host = parsed.GetValue(name)!;
                if (parsed.GetValue(cancelIt))
                {
                    await session.Api.CancelDrainAsync(host, cancel);
                    return await FollowAsync(session, host, wait: !parsed.GetValue(noWait), cancel);
                }
                var wish = new DrainRequest(Enum.Parse<MoveMode>(parsed.GetValue(mode)!, ignoreCase: true),
                    parsed.GetValue(onBlocked) == "quick", parsed.GetValue(partial), parsed.GetValue(deadline),
                    TakePinned: parsed.GetValue(pinned));
                if (parsed.GetValue(dryRun)) return await PlanAsync(session, host, wish, cancel);
                await session.Api.BeginDrainAsync(host, wish, cancel);
                return await FollowAsync(session, host, wait: !parsed.GetValue(noWait), cancel);
            }, name, mode, onBlocked, deadline, partial, pinned, dryRun, cancelIt, noWait);
        drain.Aliases.Add("evacuate");
        return drain;
    }

    public static Command Restore(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        var noReturn = new Option<bool>("--no-return") { Description = "Only let it take VMs again; bring none back." };
        var noWait = new Option<bool>("--no-wait") { Description = "Begin, do not follow." };
        return verbs.Verb("restore", "Open a drained host and bring back what the drain moved away.", async (session, parsed, cancel) =>
        {
            await session.Api.RestoreHostAsync(parsed.GetValue(name)!, new RestoreHostRequest(!parsed.GetValue(noReturn)), cancel);
            return await FollowAsync(session, parsed.GetValue(name)!, wait: !parsed.GetValue(noWait), cancel);
        }, name, noReturn, noWait);
    }

    private static async Task<int> PlanAsync(Session session, string host, DrainRequest wish, CancellationToken cancel)
    {
        var plan = await session.Api.PlanDrainAsync(host, wish, cancel);
        if (session.Screen.IsJson) session.Screen.Document(plan);
        else
        {
            session.Screen.Show(DrainText.Plan(plan));
            if (DrainText.Sum(plan) is { } sum) session.Screen.Line(sum);
            foreach (var reason in plan.Reasons) session.Screen.Line($"{reason.Code}: {reason.Cause} - {reason.Fix}", Tone.Bad);
        }
        return plan.Reasons.Count == 0 ? ExitCode.All : ExitCode.Refused;
    }

    /// <summary>A line for each change, then what became of each VM.</summary>
    private static async Task<int> FollowAsync(Session session, string host, bool wait, CancellationToken cancel)
    {
        var drain = await session.Api.DrainAsync(host, cancel);
        try
        {
            for (var told = ""; wait; drain = await session.Api.DrainAsync(host, cancel))
            {
                var now = DrainText.StateOf(drain);
                if (now != told) session.Screen.Note($"{host}: {told = now}");
                if (drain.HasEnded) break;
                await Task.Delay(lookEvery, session.Time, cancel);
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            session.Screen.Note($"{host}: goes on without this window. See it: godwit host show {host}; "
                + $"stop it: godwit host drain {host} --cancel");
            throw;
        }
        if (session.Screen.IsJson) session.Screen.Document(drain);
        else if (drain.HasEnded)
        {
            session.Screen.Show(DrainText.Of(drain));
            session.Screen.Line($"{host}: {drain.Reason}.", drain.End is DrainEnd.Drained or DrainEnd.Returned ? Tone.Good : Tone.Warn);
        }
        return !drain.HasEnded ? ExitCode.All : Sum(drain);
    }

    private static int Sum(Drain drain) => drain.End switch
    {
        DrainEnd.Drained => ExitCode.All,
        DrainEnd.Returned or DrainEnd.Blocked => ExitCode.Of(drain.Count(DrainVmEnd.Moved, DrainVmEnd.Gone, DrainVmEnd.Stays),
            drain.Count(DrainVmEnd.Blocked), 0),
        DrainEnd.Cancelled or DrainEnd.DeadlinePassed => ExitCode.Partial,
        _ => ExitCode.Failed,
    };

    private static int? ParseSeconds(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        var unit = text.EndsWith('s') ? 1 : text.EndsWith('m') ? 60 : text.EndsWith('h') ? 3600 : 0;
        if (unit > 0 && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            && count > 0 && count <= 7 * 24 * 3600 / unit)
            return count * unit;
        result.AddError($"'{text}' is not a time: give 90s, 30m or 2h, at most 168h.");
        return null;
    }
}
