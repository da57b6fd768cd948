using System.Text.Json;

namespace Godwit.Moves;

/// <summary>A move's quote and receipt, from the last document of <c>vm migrate --json</c>. Times in ms; null: was not told.</summary>
internal sealed record QuotedMove(
    string End, string Reason, double? QuotedPauseMs, double? QuotedMs, double? QuotedBytes, bool QuotedToFit,
    double? PauseMs, double TotalMs, double WireBytes, int Passes, QuotedMove.Between DurationMs, QuotedMove.Between Bytes)
{
    /// <summary>What a quote's figure lies between in four of five moves, by its own word.</summary>
    internal sealed record Between(double? Low, double? High)
    {
        public bool Holds(double actual) => actual >= Low && actual <= High;
    }

    public bool IsDone => End == "done";

    /// <summary>Stayed at home to keep its limit.</summary>
    public bool IsRefusal => Reason.StartsWith(Core.Quoting.PromiseScore.WouldHavePaused, StringComparison.Ordinal);

    public static QuotedMove Read(JsonElement move)
    {
        var receipt = Part(move, "receipt");
        var quote = Part(move, "quote");
        var queued = Number(Part(receipt, "phaseMs"), "queued") ?? 0;
        return new QuotedMove(
            move.GetProperty("end").GetString() ?? "", Part(move, "reason")?.GetString() ?? "",
            Expected(quote, "pauseMs"), Expected(quote, "durationMs"), Expected(quote, "wireBytes"),
            Part(quote, "breaks") is { } breaks && breaks.GetArrayLength() == 0,
            Number(receipt, "pauseMs"), (Number(receipt, "totalMs") ?? 0) - queued, Number(receipt, "wireBytes") ?? 0,
            (int)(Number(receipt, "passes") ?? 0), Lies(quote, "durationMs"), Lies(quote, "wireBytes"));
    }

    private static Between Lies(JsonElement? quote, string name) =>
        new(Number(Part(quote, name), "low"), Number(Part(quote, name), "high"));

    private static double? Expected(JsonElement? quote, string name) => Number(Part(quote, name), "expected");

    private static JsonElement? Part(JsonElement? of, string name) =>
        of is { ValueKind: JsonValueKind.Object } there && there.TryGetProperty(name, out var part)
            && part.ValueKind != JsonValueKind.Null ? part : null;

    private static double? Number(JsonElement? of, string name) => Part(of, name)?.GetDouble();
}
