using Godwit.Core.Migration;

namespace Godwit.LabTests.Faults;

/// <summary>
/// The file all processes of a <see cref="FaultLab"/> read their fail-points from, and their logs, where they tell that
/// they stand there.
/// </summary>
internal sealed class Holds(string file, IReadOnlyList<string> logs)
{
    private readonly Dictionary<string, long> seenTo = [];

    /// <summary>The place in the server where this phase has been entered and nothing of it been done.</summary>
    public static string AtServer(Phase phase) => $"move.{phase.ToString().ToLowerInvariant()}";

    public void Arm(params IEnumerable<string> places)
    {
        foreach (var log in logs) seenTo[log] = new FileInfo(log).Length;
        Write(string.Join(',', places.Select(p => $"{p}=hold")));
    }

    public void Release() => Write("");

    /// <summary>Every one of these places has been reached since they were armed.</summary>
    public Task ReachedAsync(IReadOnlyList<string> places) => ToldAsync([.. places.Select(p => $"fail-point {p} reached")]);

    /// <summary>All these words are in the logs, since places were armed.</summary>
    public Task ToldAsync(params IReadOnlyList<string> words) => FaultLab.UntilAsync($"logs say {string.Join(", ", words)}", () =>
    {
        var told = string.Concat(logs.Select(Since));
        return Task.FromResult(words.All(w => told.Contains(w, StringComparison.Ordinal)));
    });

    private string Since(string log)
    {
        using var stream = new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        stream.Position = Math.Min(seenTo.GetValueOrDefault(log), stream.Length);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>In one step: a half-written file would look like one that lets everything go.</summary>
    private void Write(string words)
    {
        File.WriteAllText(file + ".new", words);
        File.Move(file + ".new", file, overwrite: true);
    }
}
