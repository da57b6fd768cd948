using System.CommandLine;
using System.Text;

namespace Godwit.Cli.Commands;

/// <summary>`godwit man`: the manual page, made from the command tree, so that neither can say what the other does not.</summary>
internal static class ManPage
{
    public static Command Build(Verbs verbs, RootCommand root)
    {
        var man = verbs.Verb("man", "Write the manual page; read it by: godwit man | man -l -", (session, _, _) =>
        {
            session.Screen.Output.Write(Of(root));
            return Task.FromResult(ExitCode.All);
        });
        man.Hidden = true;
        return man;
    }

    /// <summary>In the man macros; commands in the order of <c>--help</c>.</summary>
    public static string Of(RootCommand root)
    {
        var page = new StringBuilder();
        page.Append(".TH GODWIT 1 \"\" \"Godwit\"\n.SH NAME\ngodwit \\- moves running virtual machines between hosts\n");
        page.Append(".SH SYNOPSIS\n.B godwit\n.I command\n[options]\n.SH DESCRIPTION\n").Append(Text(root.Description)).Append('\n');
        page.Append(".SH OPTIONS\n");
        foreach (var option in root.Options.Where(o => !o.Hidden)) Add(page, option);
        page.Append(".SH COMMANDS\n");
        foreach (var command in root.Subcommands.Where(c => !c.Hidden)) Add(page, command, "godwit");
        page.Append(".SH FILES\n.TP\n.I /etc/default/godwit\\-server, /etc/default/godwit\\-agent\nOptions of the two services.\n");
        page.Append(".TP\n.I /var/lib/godwit\nWhat server and agent must not lose.\n");
        return page.ToString();
    }

    private static void Add(StringBuilder page, Command command, string above)
    {
        var name = $"{above} {command.Name}";
        if (command.Subcommands.Count == 0 || command.Action is not null)
        {
            page.Append(".SS ").Append(Text(name));
            foreach (var argument in command.Arguments.Where(a => !a.Hidden)) page.Append(" <").Append(Text(argument.Name)).Append('>');
            page.Append('\n').Append(Text(command.Description)).Append('\n');
            foreach (var argument in command.Arguments.Where(a => !a.Hidden && a.Description is not null))
                page.Append(".TP\n.I ").Append(Text(argument.Name)).Append('\n').Append(Text(argument.Description)).Append('\n');
            foreach (var option in command.Options.Where(o => !o.Hidden)) Add(page, option);
        }
        foreach (var below in command.Subcommands.Where(c => !c.Hidden)) Add(page, below, name);
    }

    private static void Add(StringBuilder page, Option option)
    {
        page.Append(".TP\n.B ").Append(Text(option.Name));
        if (option.HelpName is { } value) page.Append(' ').Append(Text(value));
        page.Append('\n').Append(Text(option.Description)).Append('\n');
    }

    /// <summary>No line is taken for a request of troff, no hyphen for a typographic one.</summary>
    private static string Text(string? text)
    {
        var safe = (text ?? "").Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal)
            .Replace('\n', ' ');
        return safe.StartsWith('.') || safe.StartsWith('\'') ? "\\&" + safe : safe;
    }
}
