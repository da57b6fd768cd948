using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core;
using Godwit.Core.Checking;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster check`: what is not as it should be, and settling what only a person can.</summary>
internal static class ClusterCommands
{
    private static readonly string[] headings = ["CODE", "HOST", "WHAT", "SINCE", "NEXT"];

    public static Command Build(Verbs verbs)
    {
        var repair = new Option<bool>("--repair")
        { Description = "Put right what is provably safe: no process is ended, no disk deleted." };
        var adopt = new Option<string?>("--adopt")
        { Description = "Settle whose this VM is, by its hosts' records: a frozen one, or one the store does not know.", HelpName = "VM" };
        var on = new Option<string?>("--on") { Description = "With --adopt: the host that is to own it, by your word.", HelpName = "HOST" };
        var gone = new Option<string[]>("--gone")
        { Description = "With --adopt: a host that is off for good; again for more.", HelpName = "HOST" };
        return Verbs.Group("cluster", "The cluster as a whole.",
            PolicyCommands.Status(verbs), PolicyCommands.Set(verbs),
            BalanceCommands.Balance(verbs),
            BalancerCommands.Build(verbs),
            PowerCommands.Build(verbs),
            ReplayCommand.Build(verbs),
            UpgradeCommands.Build(verbs),
            verbs.Verb("check", "Compare the store with the hosts: orphans, leaks, what is frozen.", async (session, parsed, cancel) =>
            {
                var vm = parsed.GetValue(adopt);
                if (vm is null && (parsed.GetValue(on) is not null || parsed.GetValue(gone) is { Length: > 0 }))
                    throw new ApiException(new ApiError("adopt-missing", "--on and --gone belong to --adopt") { Next = "add --adopt VM" });
                if (vm is not null)
                {
                    var settled = await session.Api.AdoptVmAsync(vm, new AdoptRequest(parsed.GetValue(on), parsed.GetValue(gone)), cancel);
                    if (session.Screen.IsJson) session.Screen.Document(settled);
                    session.Screen.Line($"{settled.Spec.Name} is {Words.Of(settled.State)} on {settled.Owner} (epoch {settled.Epoch}).");
                    return ExitCode.All;
                }
                var found = await session.Api.CheckAsync(parsed.GetValue(repair), cancel);
                if (session.Screen.IsJson) session.Screen.Document(found);
                else Show(session.Screen, found);
                return found.All(f => f.IsRepaired) ? ExitCode.All : ExitCode.Failed;
            }, repair, adopt, on, gone));
    }

    private static void Show(Screen screen, IReadOnlyList<Finding> found)
    {
        screen.Show(new Sheet(headings, [.. found.Select(Row)], "Nothing is amiss: store and hosts agree."));
        foreach (var finding in found) screen.Line($"{finding.Code}: {finding.What}", finding.IsRepaired ? Tone.Good : Tone.Warn);
    }

    private static IReadOnlyList<Cell> Row(Finding finding) =>
    [
        new Cell(finding.Code, finding.IsRepaired ? Tone.Good : Tone.Warn), finding.Host?.Value ?? "-", finding.Thing,
        finding.Since is { } since ? SessionCommands.Moment(since) : "-", finding.IsRepaired ? "repaired" : finding.Next,
    ];
}
