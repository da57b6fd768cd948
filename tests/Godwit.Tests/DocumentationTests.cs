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
    public void Source_files_named_in_the_hand_over_document_exist()
    {
        var sources = Directory.EnumerateFiles(RepositoryRulesTests.Root(), "*.cs", SearchOption.AllDirectories)
            .Select(p => Path.GetFileName(p)!).ToHashSet();
        var text = File.ReadAllText(Path.Combine(RepositoryRulesTests.Root(), "docs", "design", "handover.md"));
        Assert.All(SourceName().Matches(text).Select(m => m.Value), name => Assert.Contains(name, sources));
    }

    private static IEnumerable<string> Documents() =>
        Directory.EnumerateFiles(RepositoryRulesTests.Root(), "*.md", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/artifacts/", StringComparison.Ordinal) && !f.Contains("/cache/", StringComparison.Ordinal));

    [GeneratedRegex(@"\]\((?<to>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"[A-Za-z]+\.cs\b")]
    private static partial Regex SourceName();
}
