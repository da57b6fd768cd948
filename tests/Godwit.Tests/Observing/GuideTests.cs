using System.CommandLine;
using System.Text.RegularExpressions;
using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Cli.Commands;
using Xunit;

namespace Godwit.Tests.Observing;

/// <summary>What the guides, the units and the manual page say is what there is.</summary>
public sealed partial class GuideTests
{
    private static readonly string guides = Path.Combine(RepositoryRulesTests.Root(), "docs", "guide");
    private static readonly string[] checkedGuides =
        ["install.md", "first-move.md", "operate.md", "upgrade.md", "troubleshoot.md", "monitor.md"];

    [Fact]
    public void Every_command_in_the_guides_is_one_that_godwit_takes()
    {
        var root = Tree();
        var commands = checkedGuides.SelectMany(file => Commands(File.ReadAllText(Path.Combine(guides, file)))).Distinct().ToList();
        Assert.True(commands.Count > 30, $"only {commands.Count} commands were found");
        var wrong = commands.Select(line => (line, errors: root.Parse(line["godwit ".Length..]).Errors)).Where(p => p.errors.Count > 0)
            .Select(p => $"{p.line}: {p.errors[0].Message}");
        Assert.Equal([], wrong);
    }

    [Fact]
    public void Every_code_that_the_troubleshooting_guide_names_is_one_that_godwit_answers_with()
    {
        var sources = string.Concat(Directory.EnumerateFiles(Path.Combine(RepositoryRulesTests.Root(), "src"), "*.cs",
            SearchOption.AllDirectories).Where(f => !f.Contains("/obj/", StringComparison.Ordinal)).Select(File.ReadAllText));
        var named = Code().Matches(File.ReadAllText(Path.Combine(guides, "troubleshoot.md"))).Select(m => m.Groups[1].Value).ToList();
        Assert.True(named.Count > 10, $"only {named.Count} codes were found");
        Assert.Equal([], named.Where(code => !sources.Contains($"\"{code}\"", StringComparison.Ordinal)));
    }

    [Fact]
    public void The_manual_page_has_every_command_and_option_that_help_shows()
    {
        var root = Tree();
        var page = ManPage.Of(root).Replace("\\-", "-", StringComparison.Ordinal);
        var missing = new List<string>();
        Walk(root, "godwit");
        Assert.Equal([], missing);
        Assert.DoesNotContain("--balancer-minute", page, StringComparison.Ordinal); // Hidden there, hidden here.

        void Walk(Command command, string name)
        {
            foreach (var below in command.Subcommands.Where(c => !c.Hidden))
            {
                var (full, leaf) = ($"{name} {below.Name}", below.Subcommands.Count == 0);
                if (leaf && !page.Contains($".SS {full}", StringComparison.Ordinal)) missing.Add(full);
                if (leaf) missing.AddRange(below.Options.Where(o => !o.Hidden && !page.Contains($".B {o.Name}", StringComparison.Ordinal))
                    .Select(o => $"{full} {o.Name}"));
                Walk(below, full);
            }
        }
    }

    [Fact]
    public void Stopping_the_agents_unit_ends_nothing_but_the_agent()
    {
        var unit = File.ReadAllLines(Path.Combine(RepositoryRulesTests.Root(), "deploy", "systemd", "godwit-agent.service"));
        Assert.Contains("KillMode=process", unit);
        Assert.Contains("Delegate=yes", unit);
        foreach (var hidden in new[] { "PrivateTmp", "ProtectSystem", "PrivateDevices", "NoNewPrivileges", "CapabilityBoundingSet" })
            Assert.DoesNotContain(unit, line => line.StartsWith(hidden, StringComparison.Ordinal)); // QEMUs would inherit it.
        foreach (var word in new[] { "server", "agent" })
        {
            var exec = File.ReadAllLines(Path.Combine(RepositoryRulesTests.Root(), "deploy", "systemd", $"godwit-{word}.service"))
                .Single(line => line.StartsWith("ExecStart=", StringComparison.Ordinal));
            Assert.StartsWith($"ExecStart=/usr/bin/godwit {word} ", exec, StringComparison.Ordinal);
        }
    }

    /// <summary>Lines of code that begin with godwit, up to what belongs to the shell; and `godwit …` in sentences and tables.</summary>
    private static IEnumerable<string> Commands(string text) =>
        Line().Matches(text).Concat(Inline().Matches(text)).Select(m => m.Groups["command"].Value.Trim()).Where(c => c.Contains(' '));

    private static RootCommand Tree() => CommandTree.Build(new Surroundings
    {
        Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 120, Time = TimeProvider.System,
        Server = new ServerAddress("/nowhere/godwit.sock", IsChosen: false),
    });

    [GeneratedRegex(@"(?m)^\s*(?<command>godwit [^#>|;&\n]+)")]
    private static partial Regex Line();

    [GeneratedRegex(@"`(?<command>godwit [^`|;&]+)`")]
    private static partial Regex Inline();

    [GeneratedRegex(@"(?m)^\| `([a-z]+(?:-[a-z]+)+)` \|")]
    private static partial Regex Code();
}
