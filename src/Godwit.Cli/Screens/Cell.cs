namespace Godwit.Cli.Screens;

internal readonly record struct Cell(string Text, Tone Tone = Tone.Plain)
{
    public static implicit operator Cell(string text) => new(text);
}

/// <summary>Columns with headings; how wide they become is the screen's business.</summary>
/// <param name="WhenEmpty">The sentence shown where there is no row: says how to get one.</param>
internal sealed record Sheet(IReadOnlyList<string> Headings, IReadOnlyList<IReadOnlyList<Cell>> Rows, string WhenEmpty);
