using Godwit.Core;

namespace Godwit.Agent.Moves;

/// <summary>
/// Named places in a move where a test can hold the agent: <c>GODWIT_FAILPOINTS=outgoing.before-token=hang</c> or
/// <c>=delay:500</c> (ms), comma separated. Empty in production, and then each place costs one comparison.
/// </summary>
internal sealed class FailPoints(string? settings, TimeProvider time)
{
    private readonly Dictionary<string, string> armed = (settings ?? "")
        .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
        .Select(s => s.Split('=', 2)).Where(p => p.Length == 2).ToDictionary(p => p[0], p => p[1]);

    public ValueTask HitAsync(string name) =>
        armed.Count != 0 && armed.TryGetValue(name, out var what) ? new ValueTask(HoldAsync(name, what)) : ValueTask.CompletedTask;

    private Task HoldAsync(string name, string what)
    {
        Console.Error.WriteLine($"fail-point {name} reached"); // A test waits for this line before it strikes.
        return what switch
        {
            "hang" => Task.Delay(Timeout.InfiniteTimeSpan, time),
            "throw" => throw new IOException("fail-point"),
            _ when what.StartsWith("delay:", StringComparison.Ordinal) =>
                Task.Delay(TimeSpan.FromMilliseconds(int.Parse(what[6..], System.Globalization.CultureInfo.InvariantCulture)), time),
            _ => throw new RefusedException("fail-point-unknown", $"'{what}' is no fail-point action", "use hang, throw or delay:MS"),
        };
    }
}
