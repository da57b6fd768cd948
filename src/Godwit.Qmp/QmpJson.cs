using System.Text.Json;

namespace Godwit.Qmp;

/// <summary>
/// Reads members of an answer; an answer of the wrong shape is a <see cref="QmpErrors.Protocol"/> error that names
/// the member.
/// </summary>
internal static class QmpJson
{
    public static readonly JsonElement EmptyObject = JsonElement.Parse("{}"u8);

    public static string Text(this JsonElement answer, string name) =>
        answer.TextOrNull(name) ?? throw Misshapen(answer, name, "text");

    public static string? TextOrNull(this JsonElement answer, string name) =>
        answer.Member(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.String ? value.SafeString() : throw Misshapen(answer, name, "text");

    public static long Number(this JsonElement answer, string name) =>
        answer.NumberOrNull(name) ?? throw Misshapen(answer, name, "a whole number");

    public static long? NumberOrNull(this JsonElement answer, string name) =>
        answer.Member(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number
        : throw Misshapen(answer, name, "a whole number");

    public static double? FractionOrNull(this JsonElement answer, string name) =>
        answer.Member(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) ? number
        : throw Misshapen(answer, name, "a number");

    public static bool Flag(this JsonElement answer, string name) =>
        answer.FlagOrNull(name) ?? throw Misshapen(answer, name, "true or false");

    public static bool? FlagOrNull(this JsonElement answer, string name) =>
        answer.Member(name) is not { } value ? null
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
        : throw Misshapen(answer, name, "true or false");

    public static JsonElement Object(this JsonElement answer, string name) =>
        answer.Member(name) is { ValueKind: JsonValueKind.Object } value ? value : throw Misshapen(answer, name, "an object");

    public static JsonElement? ObjectOrNull(this JsonElement answer, string name) =>
        answer.Member(name) is null ? null : answer.Object(name);

    /// <summary>The elements of a list member; empty where it is missing.</summary>
    public static IReadOnlyList<T> Items<T>(this JsonElement answer, string name, Func<JsonElement, T> read) =>
        answer.ItemsOrNull(name, read) ?? [];

    public static IReadOnlyList<T>? ItemsOrNull<T>(this JsonElement answer, string name, Func<JsonElement, T> read) =>
        answer.Member(name) is not { } value ? null : value.Items(read);

    /// <summary>The elements of an answer that is itself a list.</summary>
    public static IReadOnlyList<T> Items<T>(this JsonElement list, Func<JsonElement, T> read)
    {
        if (list.ValueKind != JsonValueKind.Array) throw Misshapen(list, "the list", "a list");
        var items = new List<T>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray()) items.Add(read(item));
        return items;
    }

    public static string AsText(this JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.SafeString() : throw Misshapen(value, "an element", "text");

    private static JsonElement? Member(this JsonElement answer, string name) =>
        answer.ValueKind != JsonValueKind.Object ? throw Misshapen(answer, name, "a member of an object")
        : answer.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string SafeString(this JsonElement value)
    {
        try { return value.GetString()!; }
        catch (InvalidOperationException e) // Bytes that are not UTF-8, or half a surrogate pair.
        {
            throw new QmpException(QmpErrors.Protocol, "A text in the answer is not valid Unicode", e);
        }
    }

    private static QmpException Misshapen(JsonElement answer, string name, string wanted)
    {
        var seen = answer.ValueKind == JsonValueKind.Undefined ? "nothing" : answer.GetRawText();
        if (seen.Length > 200) seen = seen[..200] + "…";
        return new QmpException(QmpErrors.Protocol, $"'{name}' should be {wanted} in: {seen}");
    }
}
