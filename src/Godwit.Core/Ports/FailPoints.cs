using System.Globalization;
using System.Text;

namespace Godwit.Core.Ports;

/// <summary>
/// Named places in server and agent where a test can hold the process: <c>GODWIT_FAILPOINTS=outgoing.before-token=hang</c>,
/// <c>=throw</c> or <c>=delay:500</c> (ms), comma separated. <c>GODWIT_FAILPOINTS=@/path</c> names a file with such words,
/// looked into at each place; <c>=hold</c> there holds for as long as the word stands in it, so that a test arms and lets
/// go without a new start. Empty in production, and then each place costs one comparison.
/// </summary>
/// <param name="disk">What the file is read with; without one there are no files.</param>
public sealed class FailPoints(string? settings, TimeProvider time, IDisk? disk = null)
{
    private const int FileBytesMax = 4096;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(5);

    public ValueTask HitAsync(string name) =>
        string.IsNullOrEmpty(settings) ? ValueTask.CompletedTask : new ValueTask(HoldIfArmedAsync(name));

    private async Task HoldIfArmedAsync(string name)
    {
        if (await ArmedAsync(name) is not { } what) return;
        Console.Error.WriteLine($"fail-point {name} reached"); // A test waits for this line before it strikes.
        switch (what)
        {
            case "hang":
                await Task.Delay(Timeout.InfiniteTimeSpan, time);
                break;
            case "hold" when disk is not null:
                while (await ArmedAsync(name) == "hold") await Task.Delay(LookEvery, time);
                break;
            case "throw":
                throw new IOException("fail-point");
            case var delay when delay.StartsWith("delay:", StringComparison.Ordinal):
                await Task.Delay(TimeSpan.FromMilliseconds(int.Parse(delay[6..], CultureInfo.InvariantCulture)), time);
                break;
            default:
                throw new RefusedException("fail-point-unknown", $"'{what}' is no fail-point action",
                    "use hang, throw, delay:MS or, in a file, hold");
        }
    }

    private async Task<string?> ArmedAsync(string name)
    {
        var words = settings!;
        if (words[0] == '@' && disk is not null)
            words = Encoding.UTF8.GetString(await disk.ReadAsync(words[1..], FileBytesMax, CancellationToken.None) ?? []);
        return words.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(s => s.Split('=', 2)).Where(p => p.Length == 2 && p[0] == name).Select(p => p[1]).FirstOrDefault();
    }
}
