using System.Globalization;

namespace Godwit.Cli;

/// <summary>"512M", "2G", "1.5GiB": sizes as people type them, always binary units.</summary>
internal static class Sizes
{
    public const string Form = "a number and M, G or T, such as 512M or 2G";

    public static long? Parse(string text)
    {
        var trimmed = text.Trim().ToUpperInvariant();
        if (trimmed.EndsWith("IB", StringComparison.Ordinal)) trimmed = trimmed[..^2];
        else if (trimmed.EndsWith('B')) trimmed = trimmed[..^1];
        if (trimmed.Length < 2) return null;

        var shift = trimmed[^1] switch { 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, _ => 0 };
        if (shift == 0 || !decimal.TryParse(
            trimmed.AsSpan()[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) return null;
        return number is > 0 and < 1_000_000 && number * (1L << shift) <= long.MaxValue ? (long)(number * (1L << shift)) : null;
    }
}
