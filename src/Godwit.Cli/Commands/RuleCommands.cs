using System.CommandLine;
using Godwit.Cli.Screens;
using Godwit.Core.Placement;
using Amounts = Godwit.Client.Amounts;
using Godwit.Server.Placing;

namespace Godwit.Cli.Commands;

/// <summary>`godwit rule`: which VMs are to be apart, together, on or off which hosts.</summary>
internal static class RuleCommands
{
    private const string Form = "Give one of --apart TAG, --together TAG, --vms TAG --on-hosts TAG, --vms TAG --not-on-hosts TAG.";
    private static readonly string[] headings = ["NAME", "SAYS", "KIND", "VMS", "BROKEN BY"];

    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore };
        return Verbs.Group("rule", "Which VMs are to be apart, together, on or off which hosts.",
            Add(verbs),
            verbs.Verb("list", "Every rule, and which VMs break it now.", async (session, _, cancel) =>
            {
                var rules = await session.Api.RulesAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(rules);
                else session.Screen.Show(new Sheet(headings, [.. rules.Select(Row)], "No rules yet: godwit rule add NAME --apart TAG"));
                return ExitCode.All;
            }),
            verbs.Verb("show", "One rule, and who breaks it now.", async (session, parsed, cancel) =>
            {
                Tell(session, await session.Api.RuleAsync(parsed.GetValue(name)!, cancel));
                return ExitCode.All;
            }, name),
            verbs.Verb("remove", "Let rules hold no longer; nothing is moved.", (session, parsed, cancel) =>
                Verbs.ForEachAsync(session, parsed.GetValue(names)!, async rule =>
                {
                    await session.Api.RemoveRuleAsync(rule, cancel);
                    return rule;
                }, rule => $"{rule} holds no longer."), names));
    }

    private static Command Add(Verbs verbs)
    {
        var name = new Argument<string>("NAME") { Description = $"Its name: {Core.Names.Rule}." };
        var apart = new Option<string?>("--apart") { Description = "No two VMs with this tag on one host.", HelpName = "TAG" };
        var together = new Option<string?>("--together") { Description = "All VMs with this tag on one host.", HelpName = "TAG" };
        var vms = new Option<string?>("--vms") { Description = "The VMs that --on-hosts or --not-on-hosts speaks of.", HelpName = "TAG" };
        var onHosts = new Option<string?>("--on-hosts") { Description = "Only on hosts with this tag.", HelpName = "TAG" };
        var offHosts = new Option<string?>("--not-on-hosts") { Description = "Never on hosts with this tag.", HelpName = "TAG" };
        var soft = new Option<bool>("--soft") { Description = "A wish: kept where it costs little, told where it is not." };
        var command = verbs.Verb("add", "Make a rule. One that is broken already is taken, and who breaks it is told.",
            async (session, parsed, cancel) =>
            {
                var (kind, vmTag, hostTag) = parsed.GetValue(apart) is { } a ? (RuleKind.Apart, a, (string?)null)
                    : parsed.GetValue(together) is { } t ? (RuleKind.Together, t, null)
                    : parsed.GetValue(onHosts) is { } on ? (RuleKind.OnHosts, parsed.GetValue(vms)!, on)
                    : (RuleKind.NotOnHosts, parsed.GetValue(vms)!, parsed.GetValue(offHosts));
                Tell(session, await session.Api.AddRuleAsync(
                    new RuleRecord(parsed.GetValue(name)!, kind, vmTag, hostTag, !parsed.GetValue(soft)), cancel));
                return ExitCode.All;
            }, name, apart, together, vms, onHosts, offHosts, soft);
        command.Validators.Add(result =>
        {
            var ways = new Option[] { apart, together, onHosts, offHosts }.Count(option => result.GetResult(option) is not null);
            var speaksOfHosts = result.GetResult(onHosts) is not null || result.GetResult(offHosts) is not null;
            if (ways != 1 || speaksOfHosts != result.GetResult(vms) is not null) result.AddError(Form);
        });
        return command;
    }

    private static void Tell(Session session, RuleView view)
    {
        if (session.Screen.IsJson)
        {
            session.Screen.Document(view);
            return;
        }
        session.Screen.Line($"{view.Rule.Name}: {Sentence(view.Rule)} ({Kind(view.Rule)}); it speaks of {Words.Counted(view.Vms, "VM")}.");
        foreach (var breach in view.Breaches) session.Screen.Line($"Broken: {breach.Why}.", Tone.Warn);
        if (view.Broken > view.Breaches.Count) session.Screen.Line($"and {view.Broken - view.Breaches.Count} more.", Tone.Warn);
    }

    public static string Sentence(RuleRecord rule) => rule.Kind switch
    {
        RuleKind.Apart => $"no two VMs tagged {rule.VmTag} on one host",
        RuleKind.Together => $"all VMs tagged {rule.VmTag} on one host",
        RuleKind.OnHosts => $"VMs tagged {rule.VmTag} only on hosts tagged {rule.HostTag}",
        _ => $"VMs tagged {rule.VmTag} never on hosts tagged {rule.HostTag}",
    };

    private static string Kind(RuleRecord rule) => rule.IsHard ? "hard" : "soft";

    private static IReadOnlyList<Cell> Row(RuleView view) =>
    [
        new Cell(view.Rule.Name, Tone.Strong), Sentence(view.Rule), Kind(view.Rule), Amounts.Count(view.Vms),
        view.Broken == 0 ? "-" : new Cell(string.Join(", ", view.Breaches.Take(5).Select(b => b.VmName))
            + (view.Broken > 5 ? $" and {view.Broken - 5} more" : ""), Tone.Warn),
    ];
}
