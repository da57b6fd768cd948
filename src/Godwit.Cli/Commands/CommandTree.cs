using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary>Every verb of godwit, as `godwit --help` shows them.</summary>
internal static class CommandTree
{
    public static RootCommand Build(Surroundings around)
    {
        var verbs = new Verbs(around);
        var root = new RootCommand("Godwit moves running virtual machines between hosts without a stop anyone notices.");
        root.Options.Add(verbs.Json);
        root.Subcommands.Add(HostCommands.Build(verbs));
        root.Subcommands.Add(TemplateCommands.Build(verbs));
        root.Subcommands.Add(VmCommands.Build(verbs));
        root.Subcommands.Add(RuleCommands.Build(verbs));
        root.Subcommands.Add(MigrationCommands.Build(verbs));
        root.Subcommands.Add(StatsCommands.Build(verbs));
        root.Subcommands.Add(LinkCommands.Build(verbs));
        root.Subcommands.Add(EventsCommand.Build(verbs));
        root.Subcommands.Add(TopCommand.Build(verbs));
        root.Subcommands.Add(ClusterCommands.Build(verbs));
        root.Subcommands.Add(TokenCommands.Build(verbs));
        root.Subcommands.Add(UserCommands.Build(verbs));
        root.Subcommands.Add(AuditCommands.Build(verbs));
        root.Subcommands.Add(SupportCommand.Build(verbs));
        root.Subcommands.Add(SessionCommands.LogIn(verbs));
        root.Subcommands.Add(SessionCommands.LogOut(verbs));
        root.Subcommands.Add(SessionCommands.WhoAmI(verbs));
        root.Subcommands.Add(SessionCommands.Ca(verbs));
        root.Subcommands.Add(LabCommands.Demo(verbs));
        root.Subcommands.Add(LabCommands.Lab(verbs));
        root.Subcommands.Add(ServiceCommands.Up(verbs));
        root.Subcommands.Add(ServiceCommands.Server(verbs));
        root.Subcommands.Add(AgentCommands.Build(verbs));
        root.Subcommands.Add(ManPage.Build(verbs, root));
        return root;
    }

    public static Task<int> RunAsync(Surroundings around, string[] arguments, CancellationToken cancel)
    {
        var parsed = Build(around).Parse(arguments);
        // Signals are ours: a demo needs its time to clean up, a watched move goes on without us.
        var settings = new InvocationConfiguration
        {
            Output = around.Output, Error = around.Error, ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false,
        };
        return parsed.InvokeAsync(settings, cancel);
    }
}
