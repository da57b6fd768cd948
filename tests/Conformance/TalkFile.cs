using Xunit;

namespace Godwit.Conformance;

/// <summary>Talks/NAME.txt: recorded from a real QEMU 7.2. A talk that differs is left beside the test results.</summary>
internal static class TalkFile
{
    public static void DemandSame(string scenario, string heard, string heardFrom)
    {
        var recorded = Path.Combine(AppContext.BaseDirectory, "Talks", scenario + ".txt");
        var written = File.Exists(recorded) ? File.ReadAllText(recorded) : "";
        if (written == heard) return;
        var left = Path.Combine(Directory.CreateDirectory(Path.Combine(AppContext.BaseDirectory, "talks-heard", heardFrom)).FullName,
            scenario + ".txt");
        File.WriteAllText(left, heard);
        var (lines, heardLines) = (written.Split('\n'), heard.Split('\n'));
        var at = lines.Zip(heardLines).TakeWhile(p => p.First == p.Second).Count();
        Assert.Fail($"{scenario}: line {at + 1} is \"{lines.ElementAtOrDefault(at)}\" as recorded, the {heardFrom} QEMU says "
            + $"\"{heardLines.ElementAtOrDefault(at)}\".\nThe whole talk: {left}\n\n{heard}");
    }
}
