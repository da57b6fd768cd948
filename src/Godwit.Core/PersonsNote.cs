namespace Godwit.Core;

/// <summary>A line a person leaves with a thing, for the next person. Shown as it is, never looked into.</summary>
public static class PersonsNote
{
    public const int CharsMax = 200;

    /// <summary>Null: it may be kept.</summary>
    public static Refusal? WhyNot(string? note) => note switch
    {
        null => null,
        { Length: > CharsMax } => new("bad-note", $"the note has {note.Length} characters", $"at most {CharsMax} are kept"),
        _ when note.Any(char.IsControl) =>
            new("bad-note", "the note has a line break or another control character", "write it as one line"),
        _ => null,
    };

    /// <summary>Null where it says nothing.</summary>
    public static string? Kept(string? note) => note?.Trim() is { Length: > 0 } said ? said : null;
}
