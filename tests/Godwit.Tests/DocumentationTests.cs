using System.Text.RegularExpressions;
using Xunit;

namespace Godwit.Tests;

/// <summary>Docs that nothing checks go stale.</summary>
public sealed partial class DocumentationTests
{
    [Fact]
    public void Every_relative_link_in_the_docs_leads_somewhere()
    {
        var broken = Documents().SelectMany(file => Link().Matches(File.ReadAllText(file))
            .Select(m => m.Groups["to"].Value.Split('#')[0])
            .Where(to => to.Length > 0 && !to.Contains("://", StringComparison.Ordinal))
            .Where(to => !Path.Exists(Path.Combine(Path.GetDirectoryName(file)!, to)))
            .Select(to => $"{Path.GetRelativePath(RepositoryRulesTests.Root(), file)} -> {to}"));
        Assert.Empty(broken);
    }

    [Fact]
    public void Every_decision_record_has_context_or_choice_and_fits_a_page()
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(RepositoryRulesTests.Root(), "docs", "adr"), "*.md"))
        {
            var text = File.ReadAllText(file);
            Assert.True(text.Contains("**Choice.**", StringComparison.Ordinal) || text.Contains('|'), file);
            Assert.True(text.Split('\n').Length <= 60, $"{file} is longer than a page");
        }
    }

    [Fact]
    public void Source_files_named_in_the_design_documents_exist()
    {
        var sources = Directory.EnumerateFiles(RepositoryRulesTests.Root(), "*.cs", SearchOption.AllDirectories)
            .Select(p => Path.GetFileName(p)!).ToHashSet();
        var named = Design().SelectMany(file => SourceName().Matches(File.ReadAllText(file)).Select(m => m.Value)).ToList();
        Assert.NotEmpty(named);
        Assert.Subset(sources, named.ToHashSet());
    }

    [Fact]
    public void Tests_and_properties_named_in_the_docs_exist()
    {
        var texts = Documents().Select(File.ReadAllText).ToList();
        var named = texts.SelectMany(text => TestName().Matches(text)).Select(m => m.Groups["name"].Value).ToList();
        Assert.True(named.Count > 50, $"only {named.Count} names were recognised");
        Assert.All(named.Distinct(), name => Assert.True(TestExists(name), $"{name} does not exist"));

        var model = File.ReadAllText(Path.Combine(RepositoryRulesTests.Root(), "docs", "design", "handover.pml"));
        var properties = texts.SelectMany(text => Property().Matches(text)).Select(m => m.Groups["name"].Value).ToList();
        Assert.NotEmpty(properties);
        Assert.All(properties, name => Assert.Matches($@"(?m)^ltl {name}\s", model));
    }

    [Fact]
    public void Every_promise_says_where_it_is_held_and_what_shows_it()
    {
        var text = File.ReadAllText(Path.Combine(RepositoryRulesTests.Root(), "docs", "design", "invariants.md"));
        var sections = text.Split("\n## ").Where(s => Promise().IsMatch(s)).ToList();
        Assert.Equal(Enumerable.Range(1, 9).Select(n => $"R{n}"), sections.Select(s => s[..2]));
        foreach (var section in sections)
        {
            Assert.Contains("**Held by.**", section, StringComparison.Ordinal);
            Assert.Matches(TestName(), section[section.IndexOf("**Shown by.**", StringComparison.Ordinal)..]);
        }
    }

    /// <param name="name"><c>Class.Method</c>; the class stands in a file of its name.</param>
    internal static bool TestExists(string name)
    {
        var (type, method) = (name.Split('.')[0], name.Split('.')[1]);
        return Directory.EnumerateFiles(Path.Combine(RepositoryRulesTests.Root(), "tests"), $"{type}.cs", SearchOption.AllDirectories)
            .Any(file => File.ReadAllText(file).Contains($" {method}(", StringComparison.Ordinal));
    }

    private static string[] Design() => Directory.GetFiles(Path.Combine(RepositoryRulesTests.Root(), "docs", "design"), "*.md");

    private static IEnumerable<string> Documents() =>
        Directory.EnumerateFiles(RepositoryRulesTests.Root(), "*.md", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/artifacts/", StringComparison.Ordinal) && !f.Contains("/cache/", StringComparison.Ordinal));

    [GeneratedRegex(@"\]\((?<to>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"[A-Za-z]+\.cs\b")]
    private static partial Regex SourceName();

    [GeneratedRegex(@"`(?<name>[A-Z][A-Za-z0-9]+\.[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+)+)`")]
    internal static partial Regex TestName();

    [GeneratedRegex(@"`handover\.pml: (?<name>[a-z_]+)`")]
    private static partial Regex Property();

    [GeneratedRegex(@"^R[1-9] ")]
    private static partial Regex Promise();
}
