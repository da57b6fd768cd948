using Microsoft.Playwright;

namespace Godwit.LabTests.Browser;

/// <summary>
/// Pictures of pages: always below <c>artifacts/screens</c>, and those that docs show in their place where GODWIT_SCREENS is set.
/// </summary>
internal static class Screens
{
    private static readonly string[] shown =
        ["cluster", "check-panel", "move", "receipt", "vm", "console", "drain", "balance", "template-versions"];

    /// <param name="full">The whole page, not only what is in sight.</param>
    public static async Task KeepAsync(IPage page, string name, bool full = false)
    {
        var picture = await page.ScreenshotAsync(new PageScreenshotOptions { Animations = ScreenshotAnimations.Disabled, FullPage = full });
        foreach (var directory in Places(name))
        {
            Directory.CreateDirectory(directory);
            await File.WriteAllBytesAsync(Path.Combine(directory, $"{name}.png"), picture);
        }
    }

    private static IEnumerable<string> Places(string name)
    {
        var root = Root();
        yield return Path.Combine(root, "artifacts", "screens");
        if (shown.Contains(name) && Environment.GetEnvironmentVariable("GODWIT_SCREENS") is { Length: > 0 })
            yield return Path.Combine(root, "docs", "guide", "console");
    }

    private static string Root()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Godwit.slnx"))) directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException("run the tests inside the repository");
    }
}
