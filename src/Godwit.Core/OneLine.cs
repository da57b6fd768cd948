using System.Text;

namespace Godwit.Core;

/// <summary>
/// Text that may hold what a stranger wrote (a name, an image's header, a guest's answer), as terminals and logs can
/// show it: one line, no control character (an escape sequence could rewrite the screen), of limited length.
/// </summary>
public static class OneLine
{
    public const int CharsMax = 2000;

    public static string Of(string text, int charsMax = CharsMax)
    {
        if (text.Length <= charsMax && !text.Any(IsUnfit)) return text;
        var shown = new StringBuilder(Math.Min(text.Length, charsMax) + 1);
        foreach (var c in text.AsSpan(0, Math.Min(text.Length, charsMax))) shown.Append(c == '\n' ? ' ' : IsUnfit(c) ? '?' : c);
        return text.Length > charsMax ? shown.Append('…').ToString() : shown.ToString();
    }

    /// <summary>Controls, line and paragraph separators, marks that turn the direction of writing, halves of characters.</summary>
    private static bool IsUnfit(char c) =>
        char.IsControl(c) || char.IsSurrogate(c)
        || c is '\u2028' or '\u2029' or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069');
}
