using Godwit.Core.Quoting;

namespace Godwit.Client;

/// <summary>Quotes in words. Pure.</summary>
public static class Estimates
{
    /// <summary>For a receipt: what was expected of the way that was taken.</summary>
    public static string Sentence(WayQuote quote) =>
        $"pause {Between(quote.PauseMs, Amounts.Milliseconds)}, time {Between(quote.DurationMs, Amounts.Milliseconds)}, "
        + $"{Between(quote.WireBytes, bytes => Amounts.Bytes((long)bytes))}";

    /// <summary>"48 ms (30 ms to 90 ms)".</summary>
    public static string Between(Estimate figure, Func<double, string> word) =>
        $"{word(figure.Expected)} ({word(figure.Low)} to {word(figure.High)})";
}
