using System.Data.Common;
using System.Text.Json;
using Godwit.Server.Api;

namespace Godwit.Server.Store;

/// <summary>How values look in columns: JSON documents, kebab-case words, Unix milliseconds.</summary>
internal static class Fields
{
    public static string Doc<T>(T record) => JsonSerializer.Serialize(record, ApiJson.Lenient);

    /// <summary>An older or newer server may have written it: members we do not know are skipped.</summary>
    public static T Doc<T>(this DbDataReader row, int column) =>
        JsonSerializer.Deserialize<T>(row.GetString(column), ApiJson.Lenient)
        ?? throw new InvalidDataException($"an empty {typeof(T).Name} is in the store");

    /// <exception cref="JsonException">It is no such document.</exception>
    public static T Parse<T>(string document) =>
        JsonSerializer.Deserialize<T>(document, ApiJson.Lenient) ?? throw new JsonException($"an empty {typeof(T).Name}");

    public static string Word<T>(T value) where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());

    public static T Word<T>(this DbDataReader row, int column) where T : struct, Enum
    {
        var word = row.GetString(column);
        foreach (var value in Enum.GetValues<T>())
            if (Word(value) == word) return value;
        throw new InvalidDataException($"'{word}' in the store is no {typeof(T).Name}");
    }

    /// <summary>Parted by spaces, which no tag has.</summary>
    public static string Tags(IReadOnlyList<string> tags) => string.Join(' ', tags);

    public static IReadOnlyList<string> Tags(this DbDataReader row, int column) =>
        row.GetString(column).Split(' ', StringSplitOptions.RemoveEmptyEntries);

    public static long Time(DateTimeOffset time) => time.ToUnixTimeMilliseconds();

    public static DateTimeOffset Time(this DbDataReader row, int column) =>
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(column));

    public static string? TextOrNull(this DbDataReader row, int column) =>
        row.IsDBNull(column) ? null : row.GetString(column);
}
