using System.CommandLine;
using Godwit.Cli.Moves;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`vm migrate` and `vm refresh`: the two ways to begin a move.</summary>
internal static class MoveCommands
{
    public static Command Migrate(Verbs verbs)
    {
        var names = new Argument<string[]>("VM") { Arity = ArgumentArity.OneOrMore, Description = "One or more VMs." };
        var to = new Option<string>("--to")
        {
            Description = "Target host; auto takes the one rated best of those that pass every check.",
            HelpName = "HOST|auto", DefaultValueFactory = _ => "auto",
        };
        var mode = new Option<string>("--mode")
        {
            Description = "live: it runs meanwhile. quick: paused meanwhile, each page crosses once. "
                + "lazy: paused for its devices only, its memory follows as it is needed; until all is there it needs both hosts. "
                + "hybrid: live for one pass, then, if it must, as lazy, for which only what has changed crosses once more. "
                + "cold: shut down, moved, started.",
            DefaultValueFactory = _ => "live",
        };
        mode.AcceptOnlyFromAmong("live", "quick", "lazy", "hybrid", "cold");
        var (dryRun, noWait, ignoreRules) = (DryRunOption(), NoWaitOption(), PlacementOptions.IgnoreRules());
        var intent = new IntentOptions();
        var rehearse = new Option<bool>("--rehearse")
        {
            Description = "A live move with all but its end: a throw-away target loads the guest, which goes on where it is. "
                + "It stands still once, for about as long as in the move.",
        };
        return verbs.Verb("migrate", "Move VMs to another host. Ctrl-C leaves a move running.",
            (session, parsed, cancel) => new MigrateRun(session, new MigrateWish(
                [.. parsed.GetValue(names)!.Distinct()],
                intent.Apply(parsed, new MigrateRequest(
                    parsed.GetValue(to), Enum.Parse<MoveMode>(parsed.GetValue(mode)!, ignoreCase: true),
                    DryRun: parsed.GetValue(dryRun), IgnoreRules: parsed.GetValue(ignoreRules))  { Rehearse = parsed.GetValue(rehearse) }),
                Wait: !parsed.GetValue(noWait))).RunAsync(cancel),
            [names, to, mode, .. intent.All, rehearse, dryRun, noWait, ignoreRules]);
    }

    public static Command Refresh(Verbs verbs)
    {
        var name = new Argument<string>("VM");
        var cpus = new Option<string?>("--cpus") { Description = "Host processors the new process may use.", HelpName = "0-3,6" };
        var qemu = new Option<string?>("--qemu") { Description = "Another QEMU binary on the host.", HelpName = "PATH" };
        var maxPause = IntentOptions.NewMaxPause();
        var (dryRun, noWait) = (DryRunOption(), NoWaitOption());
        return verbs.Verb("refresh", "Move a VM to a new QEMU process on its own host; its memory stays where it is.",
            (session, parsed, cancel) => RefreshAsync(session, parsed.GetValue(name)!, new RefreshRequest(
                parsed.GetValue(qemu), parsed.GetValue(cpus), parsed.GetValue(maxPause), parsed.GetValue(dryRun)),
                wait: !parsed.GetValue(noWait), cancel), name, cpus, qemu, maxPause, dryRun, noWait);
    }

    private static async Task<int> RefreshAsync(
        Session session, string vm, RefreshRequest order, bool wait, CancellationToken cancel)
    {
        if (order.DryRun)
        {
            var plan = await session.Api.PlanRefreshAsync(vm, order, cancel);
            if (session.Screen.IsJson) session.Screen.Document(plan);
            else PlanReport.Tell(session, plan);
            return plan.Reasons.Count == 0 ? ExitCode.All : ExitCode.Refused;
        }
        var move = await session.Api.RefreshAsync(vm, order, cancel);
        session.Screen.Line($"{move.Id} {MoveText.Title(move)}");
        if (wait) return MoveReport.Tell(session, await new MoveFollower(session).FollowAsync([move], cancel));
        if (session.Screen.IsJson) session.Screen.Document(move);
        return ExitCode.All;
    }

    private static Option<bool> DryRunOption() =>
        new("--dry-run") { Description = "Check everything, change nothing, say what stands against it." };

    private static Option<bool> NoWaitOption() => new("--no-wait") { Description = "Begin, print the id, do not follow." };
}
