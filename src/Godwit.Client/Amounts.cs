using System.Globalization;

namespace Godwit.Client;

/// <summary>Numbers as people read them: at most three significant digits, binary units, never a bare number.</summary>
public static class Amounts
{
    private static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static string Bytes(long bytes)
    {
        double value = bytes;
        var unit = 0;
        while (value >= 1023.5 && unit < ByteUnits.Length - 1)
        {
            value /= 1024;
            unit++;
        }
        return $"{Digits(value, whole: unit == 0)} {ByteUnits[unit]}";
    }

    public static string Rate(long bytesPerSecond) => $"{Bytes(bytesPerSecond)}/s";

    /// <summary>2.4 ms · 48 ms · 1.42 s · 75 s · 12 min.</summary>
    public static string Milliseconds(double ms) => ms switch
    {
        < 999.5 => $"{Digits(ms, whole: false)} ms",
        < 599_500 => $"{Digits(ms / 1000, whole: false)} s",
        _ => $"{Math.Round(ms / 60_000).ToString("N0", CultureInfo.InvariantCulture)} min",
    };

    public static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>How long ago, in the one unit that matters: 12s · 4m · 3h · 9d.</summary>
    public static string Age(TimeSpan age) => age.TotalSeconds switch
    {
        < 0 => "0s",
        < 120 => $"{(int)age.TotalSeconds}s",
        < 7_200 => $"{(int)age.TotalMinutes}m",
        < 172_800 => $"{(int)age.TotalHours}h",
        _ => $"{(int)age.TotalDays}d",
    };

    private static string Digits(double value, bool whole)
    {
        var format = whole || value >= 99.95 ? "0" : value >= 9.995 ? "0.#" : "0.##";
        return value.ToString(format, CultureInfo.InvariantCulture);
    }
}
