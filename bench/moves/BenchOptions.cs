using System.Globalization;

namespace Godwit.Moves;

/// <param name="Runs">Counted moves of each kind and side; one more goes before them to warm up.</param>
/// <param name="Only">One of <see cref="Parts"/>, or null for all.</param>
/// <param name="QuoteRounds">Not 0: quotes beside moves instead, each cell of the grid so often.</param>
/// <param name="Link">One of <see cref="QuoteGrid.Links"/>, or null for all.</param>
/// <param name="Guests">Of <see cref="QuoteGrid.Shapes"/>, those with this in their name.</param>
internal sealed record BenchOptions(
    string ResultsDirectory, int Runs = 5, string? Only = null, int QuoteRounds = 0, string? Link = null, string Guests = "")
{
    public const int RunsMax = 100;
    public static readonly string[] Parts = ["small", "big", "hot", "refresh", "idle"];

    public bool Wants(string part) => Only is null || Only == part;

    /// <summary>Null where the words are not understood.</summary>
    public static BenchOptions? Parse(string[] words)
    {
        if (words.Length % 2 == 0) return null;
        var options = new BenchOptions(words[0]);
        for (var at = 1; at < words.Length; at += 2)
        {
            switch (words[at])
            {
                case "--runs" when int.TryParse(words[at + 1], CultureInfo.InvariantCulture, out var runs)
                    && runs is >= 1 and <= RunsMax:
                    options = options with { Runs = runs };
                    break;
                case "--only" when Parts.Contains(words[at + 1]):
                    options = options with { Only = words[at + 1] };
                    break;
                case "--quotes" when int.TryParse(words[at + 1], CultureInfo.InvariantCulture, out var rounds)
                    && rounds is >= 1 and <= RunsMax:
                    options = options with { QuoteRounds = rounds };
                    break;
                case "--link" when QuoteGrid.Links.Any(link => link.Rate == words[at + 1]):
                    options = options with { Link = words[at + 1] };
                    break;
                case "--guests" when QuoteGrid.Shapes.Any(shape => shape.IsCalled(words[at + 1])):
                    options = options with { Guests = words[at + 1] };
                    break;
                default:
                    return null;
            }
        }
        return options;
    }
}
