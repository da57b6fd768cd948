using System.Xml.Linq;
using Xunit;

namespace Godwit.Tests;

/// <summary>House rules that a compiler does not know.</summary>
public sealed class RepositoryRulesTests
{
    private static readonly Dictionary<string, string[]> AllowedArrows = new()
    {
        ["Godwit.Contracts"] = [],
        ["Godwit.Wire"] = [],
        ["Godwit.Qmp"] = [],
        ["Godwit.Core"] = [],
        ["Godwit.Agent"] = ["Godwit.Core", "Godwit.Qmp", "Godwit.Wire", "Godwit.Contracts"],
        ["Godwit.Server"] = ["Godwit.Core", "Godwit.Contracts"],
        ["Godwit.Client"] = ["Godwit.Server", "Godwit.Core"],
        ["Godwit.WebConsole"] = ["Godwit.Client", "Godwit.Server", "Godwit.Core"],
        ["Godwit.Cli"] = ["Godwit.Agent", "Godwit.Server", "Godwit.Client", "Godwit.WebConsole", "Godwit.Contracts"],
        ["Godwit.Simulator"] =
            ["Godwit.Agent", "Godwit.Server", "Godwit.Core", "Godwit.Qmp", "Godwit.Wire", "Godwit.Contracts"],
    };

    [Fact]
    public void Projects_depend_only_where_the_design_allows()
    {
        foreach (var project in Directory.EnumerateFiles(Path.Combine(Root(), "src"), "*.csproj", SearchOption.AllDirectories))
        {
            var name = Path.GetFileNameWithoutExtension(project);
            Assert.True(AllowedArrows.ContainsKey(name), $"{name} is not in the design's list of projects");
            var references = XDocument.Load(project).Descendants("ProjectReference")
                .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));
            Assert.Empty(references.Except(AllowedArrows[name]));
        }
    }

    [Fact]
    public void No_source_file_is_longer_than_500_lines()
    {
        var tooLong = SourceFiles().Where(f => File.ReadLines(f).Count() > 500);
        Assert.Empty(tooLong);
    }

    [Fact]
    public void No_line_is_longer_than_140_columns()
    {
        var tooWide = SourceFiles().SelectMany(f => File.ReadLines(f)
            .Select((line, index) => (f, line, index)).Where(l => l.line.Length > 140)
            .Select(l => $"{Path.GetFileName(l.f)}:{l.index + 1}"));
        Assert.Empty(tooWide);
    }

    /// <summary>Whoever runs qemu-img elsewhere has left out its format, its limits, or both.</summary>
    [Fact]
    public void The_agent_runs_qemu_img_in_one_place_only()
    {
        var runners = SourceFiles().Where(f => f.Contains("/Godwit.Agent/", StringComparison.Ordinal))
            .Where(f => File.ReadAllText(f).Contains("new Command(\"qemu-img\"", StringComparison.Ordinal)).Select(Path.GetFileName);
        Assert.Equal(["QemuImg.cs"], runners);
    }

    private static IEnumerable<string> SourceFiles() =>
        new[] { "src", "tests", "bench" }.Select(d => Path.Combine(Root(), d)).Where(Directory.Exists)
            .SelectMany(d => Directory.EnumerateFiles(d, "*.cs", SearchOption.AllDirectories));

    internal static string Root()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Godwit.slnx")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException("run the tests inside the repository");
    }
}
