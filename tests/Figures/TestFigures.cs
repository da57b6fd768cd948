namespace Godwit.Tests;

/// <summary>
/// What a test counted, for the end of ./test: artifacts/test-figures/NAME.txt, lines "name value" that are printed as
/// they are.
/// </summary>
internal static class TestFigures
{
    private static readonly Lock Gate = new();

    /// <summary>Replaces the file; a test that sums over several cases writes it again after each.</summary>
    public static void Write(string name, params IEnumerable<string> lines)
    {
        lock (Gate)
        {
            var directory = Directory.CreateDirectory(Path.Combine(Root(), "artifacts", "test-figures")).FullName;
            File.WriteAllLines(Path.Combine(directory, $"{name}.txt"), lines);
        }
    }

    private static string Root()
    {
        var above = new DirectoryInfo(AppContext.BaseDirectory);
        while (above is not null && !File.Exists(Path.Combine(above.FullName, "Godwit.slnx"))) above = above.Parent;
        return above?.FullName ?? throw new InvalidOperationException("run the tests inside the repository");
    }
}
