using System.Text.RegularExpressions;

namespace Godwit.Core;

/// <summary>The one form of every name a person may choose: safe in paths, QEMU options, DNS and shells alike.</summary>
public static partial class Names
{
    public const string Rule = "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit";

    public static bool IsValid(string? name) => name is not null && Pattern().IsMatch(name);

    [GeneratedRegex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
