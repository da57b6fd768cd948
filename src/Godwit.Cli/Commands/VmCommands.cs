using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class VmCommands
{
    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("VM") { Description = "The VM's name." };
        var socket = new Option<string?>("--socket") { Description = "Where the socket is to be.", HelpName = "PATH" };
        return Verbs.Group("vm", "Virtual machines.",
            VmCreateCommands.Create(verbs), VmCreateCommands.Clone(verbs),
            verbs.Verb("list", "Every VM and where it is.", ListAsync),
            verbs.Verb("show", "All that is known of one VM.", async (session, parsed, cancel) =>
            {
                var vm = await session.Api.VmAsync(parsed.GetValue(name)!, cancel);
                if (session.Screen.IsJson) session.Screen.Document(vm);
                foreach (var (title, value) in VmSheet.Facts(vm)) session.Screen.Line($"{title,-9} {value}");
                return ExitCode.All;
            }, name),
            Start(verbs),
            End(verbs, "stop", "Ask guests to power off."), End(verbs, "restart", "Shut VMs down and boot them again."),
            Act(verbs, "pause", "Stop the processors; memory stays where it is."), Resume(verbs),
            Act(verbs, "save", "Write memory to a checksummed file and end the process; resume brings the VM back."),
            Delete(verbs), Set(verbs),
            verbs.Verb("console", "The serial console, in this terminal. Ctrl-] leaves.", (session, parsed, cancel) =>
                Consoles.SerialConsole.AttachAsync(session, parsed.GetValue(name)!, cancel), name),
            verbs.Verb("display", "Its display, where it has one, at a socket for VNC viewers. Ctrl-C ends it.",
                (session, parsed, cancel) => Consoles.DisplaySocket.ServeAsync(
                    session, parsed.GetValue(name)!, parsed.GetValue(socket), cancel), name, socket),
            SnapshotCommands.Build(verbs), BalanceCommands.Check(verbs),
            MoveCommands.Migrate(verbs), MoveCommands.Refresh(verbs));
    }

    private static Argument<string[]> NamesArgument() =>
        new("VM") { Arity = ArgumentArity.OneOrMore, Description = "One or more VMs." };

    private static Command Act(Verbs verbs, string act, string description)
    {
        var names = NamesArgument();
        return verbs.Verb(act, description, (session, parsed, cancel) => Verbs.ForEachAsync(session,
            parsed.GetValue(names)!, name => session.Api.ActAsync(name, act, null, cancel), VmSheet.Sentence), names);
    }

    private static Command Resume(Verbs verbs)
    {
        var names = NamesArgument();
        var host = new Option<string?>("--host") { Description = "Bring saved VMs back on this host.", HelpName = "HOST" };
        var ignoreRules = PlacementOptions.IgnoreRules();
        var lazy = new Option<bool>("--lazy")
        { Description = "Saved VMs run at once; their memory comes out of the file as they need it, the rest behind that." };
        return verbs.Verb("resume", "Let paused or saved VMs go on.", (session, parsed, cancel) =>
            Verbs.ForEachAsync(session, parsed.GetValue(names)!,
                name => session.Api.ActAsync(name, "resume",
                    new ResumeVmRequest(parsed.GetValue(host), parsed.GetValue(ignoreRules), parsed.GetValue(lazy)), cancel),
                VmSheet.Sentence), names, host, lazy, ignoreRules);
    }

    private static Command End(Verbs verbs, string act, string description)
    {
        var names = NamesArgument();
        var force = new Option<bool>("--force")
        { Description = "Do not ask the guest: end its process at once, as if its power cord were pulled." };
        return verbs.Verb(act, description, (session, parsed, cancel) =>
            Verbs.ForEachAsync(session, parsed.GetValue(names)!,
                name => session.Api.ActAsync(name, act, new StopVmRequest(parsed.GetValue(force)), cancel),
                VmSheet.Sentence), names, force);
    }

    private static Command Delete(Verbs verbs)
    {
        var names = NamesArgument();
        var force = new Option<bool>("--force") { Description = "Running ones too: their processes end at once." };
        return verbs.Verb("delete", "Delete stopped VMs and their disks.", (session, parsed, cancel) =>
            Verbs.ForEachAsync(session, parsed.GetValue(names)!, async name =>
            {
                await session.Api.DeleteVmAsync(name, parsed.GetValue(force), cancel);
                return name;
            }, name => $"{name} is deleted."), names, force);
    }

    private static Command Start(Verbs verbs)
    {
        var names = NamesArgument();
        var ignoreRules = PlacementOptions.IgnoreRules();
        return verbs.Verb("start", "Boot stopped VMs.", (session, parsed, cancel) =>
            Verbs.ForEachAsync(session, parsed.GetValue(names)!,
                name => session.Api.ActAsync(name, "start",
                    parsed.GetValue(ignoreRules) ? new StartVmRequest(IgnoreRules: true) : null, cancel),
                VmSheet.Sentence), names, ignoreRules);
    }

    private static Command Set(Verbs verbs)
    {
        var names = NamesArgument();
        var ha = new Option<string?>("--ha")
        { Description = "Whether it is started elsewhere by itself once its host is proved to be off.", HelpName = "on|off" };
        ha.AcceptOnlyFromAmong("on", "off");
        var (tag, untag, pin, priority) =
            (PlacementOptions.Tag(), PlacementOptions.Untag(), PlacementOptions.Pin(), PlacementOptions.Priority());
        var intent = new IntentOptions();
        var unpin = new Option<bool>("--unpin") { Description = "Let it be moved by drains and by the balancer again." };
        var command = verbs.Verb("set", "Settings of VMs, and what their moves keep unless told otherwise.", (session, parsed, cancel) =>
        {
            var wish = new VmSettingsRequest(parsed.GetValue(ha) is { } word ? word == "on" : null,
                Tags(parsed.GetValue(tag)), Tags(parsed.GetValue(untag)),
                parsed.GetValue(pin) ? true : parsed.GetValue(unpin) ? false : null, parsed.GetValue(priority),
                intent.Said(parsed) is { SaysNothing: false } said ? said : null);
            return Verbs.ForEachAsync(session, parsed.GetValue(names)!, name => session.Api.SetVmAsync(name, wish, cancel),
                vm => VmSheet.Settings(vm, wish));
        }, [names, ha, tag, untag, pin, unpin, priority, .. intent.All]);
        command.Validators.Add(result =>
        {
            if (new Option[] { ha, tag, untag, pin, unpin, priority }.Concat(intent.All).All(option => result.GetResult(option) is null))
                result.AddError("Give at least one of --ha, --tag, --untag, --pin, --unpin, --priority, "
                    + $"{string.Join(", ", intent.All.Select(option => option.Name))}.");
            if (result.GetResult(pin) is not null && result.GetResult(unpin) is not null) result.AddError("Give one of --pin and --unpin.");
        });
        return command;
    }

    private static string[]? Tags(string[]? words) => words is { Length: > 0 } ? words : null;

    private static async Task<int> ListAsync(Session session, ParseResult parsed, CancellationToken cancel)
    {
        var vms = await session.Api.VmsAsync(cancel);
        if (session.Screen.IsJson) session.Screen.Document(vms);
        else session.Screen.Show(VmSheet.Of(vms));
        return ExitCode.All;
    }
}

/// <summary>VMs as people see them. Pure.</summary>
internal static class VmSheet
{
    private static readonly string[] headings = ["NAME", "STATE", "HOST", "CPU", "MEM", "TEMPLATE", "RUNS ON", "NOW"];

    public static Sheet Of(IReadOnlyList<VmView> vms) => new(headings,
        [.. vms.OrderBy(vm => vm.Spec.Name, StringComparer.Ordinal).Select(Row)],
        "No VMs yet: godwit vm create NAME --template TEMPLATE --memory 512M");

    public static string Sentence(VmView vm) => $"{vm.Spec.Name} is {Words.Of(vm.State)} on {vm.Owner}."
        + string.Concat((vm.Told ?? []).Select(told => $" Told: {told.Cause}."));

    /// <summary>What of it was set, as it is now.</summary>
    public static string Settings(VmView vm, VmSettingsRequest wish)
    {
        var said = new List<string>();
        if (wish.Ha is not null)
            said.Add(vm.Ha ? $"{vm.Spec.Name} is started elsewhere by itself once its host is proved to be off."
                : $"{vm.Spec.Name} is left where it is when its host is lost.");
        if (wish.Tag is not null || wish.Untag is not null)
            said.Add(vm.Tags.Count == 0 ? $"{vm.Spec.Name} has no tags." : $"{vm.Spec.Name} is tagged {string.Join(", ", vm.Tags)}.");
        if (wish.Pin is not null)
            said.Add(vm.Pinned ? $"{vm.Spec.Name} stays on {vm.Owner} until a person moves it." : $"{vm.Spec.Name} is not pinned.");
        if (wish.Priority is not null) said.Add($"{vm.Spec.Name} has priority {VmPriority.Word(vm.Priority)}.");
        if (wish.Moves is not null) said.Add($"Moves of {vm.Spec.Name} keep {Kept(vm)}.");
        return string.Join(" ", said);
    }

    private static string Kept(VmView vm) => vm.MoveLimits?.InWords() ?? "the usual limits";

    public static IEnumerable<(string Title, string Value)> Facts(VmView vm)
    {
        var spec = vm.Spec;
        yield return ("name", spec.Name);
        yield return ("id", spec.Id.ToString());
        yield return ("state", StateCell(vm).Text);
        if (vm.Trouble is { } trouble)
        {
            yield return ("trouble", trouble);
            yield return ("next", $"repair the storage or make room, then: godwit vm resume {spec.Name}");
        }
        if (vm.Operation is { } operation) yield return ("now", $"{operation.Kind} {operation.Id}");
        yield return ("host", $"{vm.Owner} (epoch {vm.Epoch})");
        foreach (var reason in vm.Frozen ?? [])
        {
            yield return ("frozen", $"{reason.Cause} ({reason.Code})");
            yield return ("next", reason.Fix);
        }
        if (vm.Tags.Count > 0) yield return ("tags", string.Join(", ", vm.Tags));
        if (vm.Pinned) yield return ("pinned", $"to {vm.Owner}, until a person moves it");
        if (vm.Priority != VmPriority.Normal) yield return ("priority", VmPriority.Word(vm.Priority));
        if (vm.MoveLimits is not null) yield return ("moves", $"keep, unless told otherwise: {Kept(vm)}");
        if (vm.Ha) yield return ("ha", "on: started elsewhere once its host is proved to be off");
        yield return ("memory", Amounts.Bytes(spec.MemoryBytes));
        yield return ("cpu", $"{spec.Cpus} × {spec.CpuModel}, {Words.Of(spec.Accelerator)}");
        yield return ("machine", spec.MachineType);
        if (spec.Display != Display.None)
            yield return ("display", $"{Words.Of(spec.Display)}; see it in the web console, or 'godwit vm display {spec.Name}'");
        if (spec.TemplateText() is { } template) yield return ("template", template);
        foreach (var disk in spec.Disks)
            yield return ("disk", $"{Amounts.Bytes(disk.SizeBytes)} {disk.Format}, pool {disk.Pool}, {disk.File}"
                + (disk.BackingFile is { } backing ? $", on {backing}" : ""));
        foreach (var nic in spec.Nics) yield return ("network", $"{nic.Bridge}, {nic.Mac}");
        if (vm.SavedFile is { } saved) yield return ("saved in", saved);
        if (vm.Snapshots > 0) yield return ("snapshots", $"{vm.Snapshots}: godwit vm snapshot list {spec.Name}");
    }

    private static IReadOnlyList<Cell> Row(VmView vm) =>
    [
        new Cell(vm.Spec.Name, Tone.Strong), StateCell(vm), vm.Owner.ToString(),
        Amounts.Count(vm.Spec.Cpus), Amounts.Bytes(vm.Spec.MemoryBytes), vm.Spec.TemplateText() ?? "-", Words.Of(vm.Spec.Accelerator),
        vm.Operation is { } operation ? new Cell($"{operation.Kind} {operation.Id}", Tone.Warn) : "-",
    ];

    private static Cell StateCell(VmView vm) => vm.Frozen is { Count: > 0 } ? new Cell($"{Words.Of(vm.State)}, frozen", Tone.Bad)
        : vm.OwnerState is HostState.Unreachable or HostState.Fenced
        ? new Cell($"{Words.Of(vm.State)}? (host {Words.Of(vm.OwnerState)})", Tone.Bad)
        : vm.Trouble is not null ? new Cell($"{Words.Of(vm.State)}, storage failed", Tone.Bad)
        : new Cell(Words.Of(vm.State), StateTone(vm.State));

    private static Tone StateTone(VmState state) => state switch
    {
        VmState.Running => Tone.Good,
        VmState.Stopped => Tone.Dim,
        VmState.Paused or VmState.Saved => Tone.Warn,
        _ => Tone.Bad,
    };
}
