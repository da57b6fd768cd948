using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Godwit.LabTests.Models;

/// <summary>
/// One variant of docs/design/handover.pml, turned into a verifier (spin -a, gcc -O2) in a directory of its own. Missing
/// tools are errors, never a reason to skip: ./test installs spin and gcc.
/// </summary>
internal sealed partial class SpinModel : IDisposable
{
    /// <summary>Longer than any run here; a run that reaches it is reported as not exhaustive.</summary>
    private const int DepthMax = 100_000;
    /// <summary>MiB. The largest run needs some 300.</summary>
    private const int MemoryMax = 2_000;
    private static readonly TimeSpan StepMax = TimeSpan.FromMinutes(5);

    private readonly string directory = Directory.CreateTempSubdirectory("godwit-spin-").FullName;

    private SpinModel() { }

    public static async Task<SpinModel> BuildAsync(string? mistake)
    {
        var model = new SpinModel();
        try
        {
            // Three faults are enough for every mistake, and fewer states lie before the one that shows it.
            string[] seeded = mistake is null ? [] : [$"-D{mistake}", "-DFAULTS=3"];
            await model.RunAsync("spin", ["-a", .. seeded, Path.Combine(Root(), "docs", "design", "handover.pml")]);
            await model.RunAsync("gcc", ["-O2", "-w", $"-DMEMLIM={MemoryMax}", "-o", "pan", "pan.c"]);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Visits every state, or stops at the first that breaks the property.</summary>
    public async Task<Verdict> CheckAsync(string property)
    {
        var said = await RunAsync(Path.Combine(directory, "pan"), ["-a", $"-m{DepthMax}", "-N", property]);
        var errors = int.Parse(Errors().Match(said).Groups[1].Value, CultureInfo.InvariantCulture);
        var whole = said.Contains("Full statespace search", StringComparison.Ordinal)
            && !said.Contains("max search depth too small", StringComparison.Ordinal)
            && (errors > 0 || !said.Contains("Search not completed", StringComparison.Ordinal));
        if (!whole || !said.Contains($"+ ({property})", StringComparison.Ordinal))
            throw new InvalidOperationException($"{property} was not checked exhaustively:\n{said}");
        return new Verdict(property, errors,
            double.Parse(States().Match(said).Groups[1].Value, CultureInfo.InvariantCulture),
            double.Parse(Memory().Match(said).Groups[1].Value, CultureInfo.InvariantCulture));
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    private async Task<string> RunAsync(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
            { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start");
        using var tooLong = new CancellationTokenSource(StepMax);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(tooLong.Token);
            var errors = process.StandardError.ReadToEndAsync(tooLong.Token);
            await process.WaitForExitAsync(tooLong.Token);
            var said = await output + await errors;
            return process.ExitCode == 0 ? said
                : throw new InvalidOperationException($"{program} ended with {process.ExitCode}:\n{said}");
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} ran for more than {StepMax.TotalSeconds:0} s");
        }
    }

    private static string Root()
    {
        var above = new DirectoryInfo(AppContext.BaseDirectory);
        while (above is not null && !File.Exists(Path.Combine(above.FullName, "Godwit.slnx"))) above = above.Parent;
        return above?.FullName ?? throw new InvalidOperationException("run the tests inside the repository");
    }

    [GeneratedRegex(@"errors: ([0-9]+)")]
    private static partial Regex Errors();

    [GeneratedRegex(@"([0-9.e+]+) states, stored")]
    private static partial Regex States();

    [GeneratedRegex(@"([0-9.]+)\ttotal actual memory usage")]
    private static partial Regex Memory();
}

/// <param name="MemoryMiB">What the verifier took.</param>
internal sealed record Verdict(string Property, int Errors, double States, double MemoryMiB);
