using System.CommandLine;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class VmCreateCommands
{
    private const string AnyHost = "auto", Vnc = "vnc";

    public static Command Create(Verbs verbs)
    {
        var parts = new Parts();
        var template = new Option<string?>("--template")
        { Description = "Clone its disk from this template.", HelpName = "NAME[:VERSION]" };
        var disk = Verbs.SizeOption("--disk", "An empty disk of this size instead");
        var command = verbs.Verb("create", "Make a VM, from a template or with an empty disk.",
            (session, parsed, cancel) => RunAsync(session, parts.Wish(parsed) with
            {
                Template = parsed.GetValue(template), DiskBytes = parsed.GetValue(disk),
            }, cancel), [parts.Name, template, disk, .. parts.Options]);
        command.Validators.Add(result =>
        {
            if (result.GetResult(template) is null == result.GetResult(disk) is null)
                result.AddError("Give one of --template NAME and --disk SIZE.");
        });
        return command;
    }

    public static Command Clone(Verbs verbs)
    {
        var parts = new Parts();
        var template = new Argument<string>("TEMPLATE") { Description = "A template: NAME, its latest version, or NAME:VERSION." };
        var version = TemplateCommands.VersionOption("This version of the template.");
        return verbs.Verb("clone", "Make a VM from a template; the same as create --template.",
            (session, parsed, cancel) => RunAsync(session, parts.Wish(parsed) with
            {
                Template = TemplateCommands.Choice(parsed.GetValue(template)!, parsed.GetValue(version)).ToString(),
            }, cancel), [template, parts.Name, version, .. parts.Options]);
    }

    private static async Task<int> RunAsync(Session session, CreateVmRequest wish, CancellationToken cancel)
    {
        var vm = await session.Api.CreateVmAsync(wish, cancel);
        if (session.Screen.IsJson) session.Screen.Document(vm);
        session.Screen.Line(VmSheet.Sentence(vm));
        if (vm.State == Core.Vms.VmState.Stopped) session.Screen.Note($"Start it: godwit vm start {vm.Spec.Name}");
        return ExitCode.All;
    }

    /// <summary>What both verbs ask: one set of options each, because an option belongs to one command.</summary>
    private sealed class Parts
    {
        private readonly Option<long?> memory = Verbs.SizeOption("--memory", "Memory, 512M by default");
        private readonly Option<int> cpus = new("--cpus") { Description = "Virtual processors.", DefaultValueFactory = _ => 1 };
        private readonly Option<string> network = new("--network")
        { Description = "The network, which is a bridge of that name on every host.", DefaultValueFactory = _ => "br0" };
        private readonly Option<string> display = DisplayOption();
        private readonly Option<string?> pool = new("--pool")
        { Description = "Where its disk lies; by default with its template." };
        private readonly Option<string> host = new("--host")
        { Description = "Where it lives first.", HelpName = "HOST|auto", DefaultValueFactory = _ => AnyHost };
        private readonly Option<bool> start = new("--start") { Description = "Boot it too." };
        private readonly Option<bool> ha = new("--ha")
        { Description = "Start it elsewhere by itself once its host is proved to be off." };
        private readonly Option<string[]> tags = PlacementOptions.Tag();
        private readonly Option<bool> pin = PlacementOptions.Pin(), ignoreRules = PlacementOptions.IgnoreRules();
        private readonly Option<int?> priority = PlacementOptions.Priority();

        public Argument<string> Name { get; } = new("NAME") { Description = $"Its name: {Core.Names.Rule}." };
        public Symbol[] Options => [memory, cpus, network, display, pool, host, start, ha, tags, pin, priority, ignoreRules];

        private static Option<string> DisplayOption()
        {
            var display = new Option<string>("--display")
            {
                Description = "vnc gives it a VGA card and a pointer, beside the serial line; fixed from then on.",
                HelpName = $"none|{Vnc}", DefaultValueFactory = _ => "none",
            };
            display.AcceptOnlyFromAmong("none", Vnc);
            return display;
        }

        public CreateVmRequest Wish(ParseResult parsed) =>
            new(parsed.GetValue(Name)!)
            {
                Cpus = parsed.GetValue(cpus), MemoryBytes = parsed.GetValue(memory) ?? 512L << 20,
                Bridges = [parsed.GetValue(network)!],
                Display = parsed.GetValue(display) == Vnc ? Core.Vms.Display.Vnc : Core.Vms.Display.None, Pool = parsed.GetValue(pool),
                Host = parsed.GetValue(host) is var place and not AnyHost ? place : null,
                Start = parsed.GetValue(start), Ha = parsed.GetValue(ha),
                Tags = parsed.GetValue(tags) is { Length: > 0 } words ? words : null, Pin = parsed.GetValue(pin),
                Priority = parsed.GetValue(priority) ?? Core.Vms.VmPriority.Normal, IgnoreRules = parsed.GetValue(ignoreRules),
            };
    }
}
