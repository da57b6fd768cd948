using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Cli.Services;

/// <summary>
/// Hands the agent to systemd: what it was joined with is written where the package's unit reads it, and the unit is enabled and started.
/// </summary>
/// <param name="root">Of the file system that is written to.</param>
internal sealed class AgentService(IProcesses processes, IDisk disk, string root = "/", string systemctl = "systemctl")
{
    public const string Unit = "godwit-agent.service";
    private static readonly TimeSpan startMax = TimeSpan.FromMinutes(2);

    private string OptionsFile => Path.Combine(root, "etc/default/godwit-agent");

    /// <summary>Before the token is spent: it lets in once.</summary>
    public void Demand(IReadOnlyList<string> words)
    {
        if (!Directory.Exists(Path.Combine(root, "run/systemd/system")))
            throw new RefusedException("no-systemd", "this machine does not run systemd",
                "join without --service, and see to it that 'godwit agent' runs");
        string[] places = ["lib/systemd/system", "usr/lib/systemd/system", "etc/systemd/system"];
        if (!places.Any(place => File.Exists(Path.Combine(root, place, Unit))))
            throw new RefusedException("no-unit", $"{Unit} is not installed",
                "install the package, or copy deploy/systemd/* to /etc/systemd/system");
        // The unit splits its options at blanks, and systemd reads quotes, backslashes and dollars in its own way.
        if (words.FirstOrDefault(word => word.Any(c => char.IsWhiteSpace(c) || c is '"' or '\'' or '\\' or '$' or '%')) is { } odd)
            throw new RefusedException("option-not-for-unit", $"{odd} cannot stand in {OptionsFile}",
                "choose a path without blanks, quotes, \\, $ and %, or join without --service and write a unit of your own");
    }

    public async Task StartAsync(IReadOnlyList<string> words, CancellationToken cancel)
    {
        disk.CreateDirectory(Path.GetDirectoryName(OptionsFile)!);
        var line = $"GODWIT_AGENT_OPTIONS={string.Join(' ', words)}\n";
        await disk.WriteDurablyAsync(OptionsFile, Encoding.UTF8.GetBytes(line), cancel);
        string why;
        try
        {
            var result = await processes.RunAsync(new Core.Ports.Command(systemctl, ["enable", "--now", Unit]), startMax, cancel);
            if (result.ExitCode == 0) return;
            why = result.Error.Trim();
        }
        catch (IOException slow) { why = slow.Message; } // systemd goes on with it.
        throw new RefusedException("unit-not-started", $"this machine has joined, but {Unit} did not start: {why}",
            $"look at 'journalctl -u {Unit}', then: systemctl enable --now {Unit}");
    }

    /// <summary>The options that were given, as they would be typed again.</summary>
    public static IReadOnlyList<string> Words(ParseResult parsed, IEnumerable<Option> options) =>
    [
        .. options.Select(parsed.GetResult).OfType<OptionResult>().Where(given => !given.Implicit)
            .SelectMany(given => given.Tokens.Count == 0 ? [given.Option.Name]
                : given.Tokens.SelectMany(token => (string[])[given.Option.Name, token.Value])),
    ];
}
