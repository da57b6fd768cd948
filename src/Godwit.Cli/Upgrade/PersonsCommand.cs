using System.Diagnostics;

namespace Godwit.Cli.Upgrade;

/// <summary>A line a person gave, run by /bin/sh on this machine with this terminal: what it says is seen as it says it.</summary>
internal static class PersonsCommand
{
    public static async Task<int> RunAsync(string line, string host, CancellationToken cancel)
    {
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(line.Replace("{host}", host, StringComparison.Ordinal));
        start.Environment["GODWIT_HOST"] = host;
        using var process = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start");
        try { await process.WaitForExitAsync(cancel); }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
        return process.ExitCode;
    }
}
