using Godwit.Cli.Lab;
using Xunit;

namespace Godwit.LabTests.Packaging;

/// <summary>What is given away beside the program, judged by the tools its users have for it.</summary>
public sealed class CheckerTests
{
    [CheckerFact("/usr/bin/shellcheck")]
    public async Task Every_script_is_such_as_shellcheck_likes()
    {
        var files = (await LabShell.RunAsync(["git", "-C", Checkers.Root, "ls-files"])).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var scripts = files.Where(file => file.EndsWith(".sh", StringComparison.Ordinal) || file.EndsWith(".bash", StringComparison.Ordinal)
            || IsShell(Path.Combine(Checkers.Root, file))).Select(file => Path.Combine(Checkers.Root, file)).ToList();
        Assert.Contains(scripts, file => Path.GetFileName(file) == "test");
        Assert.Contains(scripts, file => Path.GetFileName(file) == "postinst");
        var said = await LabShell.TryAsync(["shellcheck", "--external-sources", "--severity=warning", .. scripts]);
        Assert.True(said.ExitCode == 0, said.Output);
    }

    [PromtoolFact]
    public async Task Alert_rules_are_such_as_prometheus_takes()
    {
        var said = await LabShell.TryAsync(
            [Checkers.Promtool!, "check", "rules", Path.Combine(Checkers.Root, "deploy/prometheus/godwit-alerts.yml")]);
        Assert.True(said.ExitCode == 0, said.Output + said.Error);
    }

    private static bool IsShell(string file)
    {
        if (Path.HasExtension(file) || !File.Exists(file)) return false;
        using var reader = new StreamReader(file);
        return reader.ReadLine() is { } first && first.StartsWith("#!", StringComparison.Ordinal)
            && first.EndsWith("sh", StringComparison.Ordinal);
    }
}

internal static class Checkers
{
    public static string Root { get; } = Path.GetDirectoryName(LabFolder.Find().Path)!;

    /// <summary>Where <c>./test</c> has put it, or the machine's own; null: nowhere.</summary>
    public static string? Promtool { get; } =
        new[] { Path.Combine(Root, "artifacts/tools/promtool"), "/usr/bin/promtool" }.FirstOrDefault(File.Exists);
}

/// <summary>Needs one program, which <c>./test</c> installs.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class CheckerFactAttribute : FactAttribute
{
    public CheckerFactAttribute(string program)
    {
        Program = program;
        if (!File.Exists(program)) Skip = $"needs {program}";
    }

    public string Program { get; }
}

[AttributeUsage(AttributeTargets.Method)]
public sealed class PromtoolFactAttribute : FactAttribute
{
    public PromtoolFactAttribute()
    {
        if (Checkers.Promtool is null) Skip = "needs promtool, which ./test fetches";
    }
}
