using System.Globalization;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>
/// Quotes beside what moves then cost, over a grid of links and guests: each link is a lab of its own with a server that knows nothing
/// yet, a link test, and each guest's moves in turns, so that what is learned is learned from others. Each move is asked for a quote
/// first, as a person would.
/// </summary>
internal sealed class QuoteGrid(QuoteFigures figures, LabCluster lab, string link, BenchOptions options)
{
    private const string Tag = "quotes";
    private const string Name = "quoted";
    private const int MaxPauseMs = 300, BeatMs = 1000;
    /// <summary>Longer than a look into memory is good for: the quote is of this load, not of the one before.</summary>
    private static readonly TimeSpan settle = TimeSpan.FromSeconds(10.5);

    /// <summary>The same for a guest that works for ten seconds and rests for ten: two such turns, and a look at its work.</summary>
    private static readonly TimeSpan settleTurns = TimeSpan.FromSeconds(55);
    /// <summary>Moves meet such a guest at five moments of its turn, one after the other, and not at the same one each time.</summary>
    private static readonly TimeSpan turnStep = TimeSpan.FromSeconds(4);
    private const int TurnSteps = 5;

    /// <summary>A guest that has just booted is no idle one.</summary>
    private static readonly TimeSpan bootRest = TimeSpan.FromSeconds(10);

    /// <summary>
    /// In tc's words; two processors that emulate a guest and encrypt do not fill the first. The faster the link, the larger the guest: a
    /// tenth of a move of one second is less than what the same move takes once more.
    /// </summary>
    public static readonly IReadOnlyList<(string Rate, int MemoryMib, int FilledMib)> Links =
        [("10gbit", 1536, 1024), ("1gbit", 768, 448), ("300mbit", 320, 96), ("100mbit", 320, 96)];

    /// <summary>A guest changes at most 400 MB a second: what it is asked for, not what an emulated processor comes to.</summary>
    public static readonly IReadOnlyList<Shape> Shapes =
    [
        new(64, 0, ""),
        .. from rate in (int[])[10, 40, 150, 400]
           from pattern in (string[])["", "sequential", "bursty", "periodic"]
           select new Shape(rate > 100 ? 96 : 64, rate, pattern),
    ];

    internal sealed record Shape(int DirtyMib, int DirtyMibPerS, string Pattern)
    {
        public bool IsCalled(string word) => ToString().Contains(word, StringComparison.Ordinal);

        public override string ToString() => DirtyMibPerS == 0 ? "idle"
            : string.Create(CultureInfo.InvariantCulture, $"{DirtyMibPerS} MiB/s {(Pattern.Length == 0 ? "scattered" : Pattern)}");
    }

    public static async Task RunAsync(QuoteFigures figures, BenchOptions options, CancellationToken cancel)
    {
        foreach (var (link, memoryMib, filledMib) in Links.Where(link => options.Link is null || link.Rate == options.Link))
        {
            var plan = LabPlan.Of(Tag, hostCount: 2, link);
            try
            {
                await using var lab = await LabCluster.StartAsync(plan, new LabOptions { Tell = Report.Tell }, cancel);
                await new QuoteGrid(figures, lab, link, options).RunAsync(memoryMib, filledMib, cancel);
            }
            finally { await LabCluster.RemoveAsync(plan); }
        }
    }

    private async Task RunAsync(int memoryMib, int filledMib, CancellationToken cancel)
    {
        var commands = new GodwitCommands(lab);
        await commands.RunAsync(cancel, "link", "test", "host1", "host2");
        await commands.RunAsync(cancel, "link", "test", "host2", "host1");
        var address = await commands.StartVmAsync(Name, memoryMib, cancel);
        await lab.Guests.WaitUntilUpAsync(address, TimeSpan.FromMinutes(3), cancel);
        // Nobody listens here, and a thousand beats a second are a third of a processor.
        await lab.Guests.BeatsAsync(address, BeatMs, cancel);
        // All that it will write to is there from now on, and what it has no use for is as it left it.
        await lab.Guests.LoadAsync(address, filledMib, 0, "", cancel);
        await Task.Delay(bootRest, cancel);
        var (host, met, isSlow) = (1, 0, link.EndsWith("mbit", StringComparison.Ordinal));
        for (var round = 0; round < options.QuoteRounds; round++)
            foreach (var (number, shape) in Shapes.Where(shape => shape.IsCalled(options.Guests)).Index())
            {
                await lab.Guests.LoadAsync(address, shape.DirtyMib, shape.DirtyMibPerS, shape.Pattern, cancel);
                await Task.Delay(shape.Pattern == "periodic" ? settleTurns + met++ % TurnSteps * turnStep : settle, cancel);
                // One in three may be stopped for the rest: both ends of a guest that is faster than its link are wanted. Of a slow link
                // nobody waits for the end of the ladder, four minutes.
                string[] wish = (round + number) % 3 == 1 ? ["--may-quick", "--deadline", "30"]
                    : isSlow ? ["--max-pause", Text(MaxPauseMs), "--deadline", "60"] : ["--max-pause", Text(MaxPauseMs)];
                var move = await MoveAsync(commands, host, wish, cancel);
                figures.Note(link, shape.ToString(), wish, move);
                if (move.IsDone) host = 3 - host;
                else if (move.IsRefusal && round == 0 && !isSlow)
                {
                    // Would it have fitted? The same guest, allowed the longest pause there is, tells what it would have been.
                    var free = await MoveAsync(commands, host, ["--max-pause", "10000"], cancel);
                    figures.NoteUnlimited(MaxPauseMs, free);
                    if (free.IsDone) host = 3 - host;
                }
            }
    }

    private async Task<QuotedMove> MoveAsync(GodwitCommands commands, int host, string[] wish, CancellationToken cancel)
    {
        string[] words = ["vm", "migrate", Name, "--to", $"host{Text(3 - host)}", .. wish];
        await commands.RunAsync(cancel, [.. words, "--dry-run"]);
        var move = await commands.TryAsync(cancel, words);
        figures.Keep(move);
        return QuotedMove.Read(move);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
