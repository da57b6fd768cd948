using System.Text.RegularExpressions;

namespace Godwit.Core.Placement;

/// <summary>Words a person puts on VMs and hosts, for rules to speak of them. Pure.</summary>
public static partial class PlacementTags
{
    public const int CountMax = 32;
    public const string Rule = "1 to 63 of a-z, 0-9, '.', '_' and '-'";

    public static bool IsValid(string? tag) => tag is not null && Form().IsMatch(tag);

    /// <summary>The tags as they are then, in order. Throws <see cref="RefusedException"/> with every reason.</summary>
    public static IReadOnlyList<string> Changed(IReadOnlyList<string> now, IReadOnlyList<string>? add, IReadOnlyList<string>? remove)
    {
        var reasons = new List<Refusal>();
        foreach (var tag in (add ?? []).Concat(remove ?? []).Take(CountMax * 2))
            if (!IsValid(tag)) reasons.Add(new("bad-tag", $"'{tag}' cannot be a tag", $"a tag is {Rule}"));
            else if (add?.Contains(tag) == true && remove?.Contains(tag) == true)
                reasons.Add(new("bad-tag", $"{tag} is to be put on and taken off", "say one of both"));
        var then = now.Union(add ?? []).Except(remove ?? []).Order(StringComparer.Ordinal).ToList();
        if (then.Count > CountMax || add?.Count > CountMax || remove?.Count > CountMax)
            reasons.Add(new("too-many-tags", $"{Math.Max(then.Count, Math.Max(add?.Count ?? 0, remove?.Count ?? 0))} tags",
                $"at most {CountMax} are possible"));
        return reasons.Count == 0 ? then : throw new RefusedException([.. reasons.Distinct()]);
    }

    [GeneratedRegex("^[a-z0-9._-]{1,63}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
