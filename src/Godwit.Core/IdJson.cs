using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Core;

/// <summary>An id is a plain string in JSON, as value and as key: <c>"vm-0123456789ab"</c>, not an object around one.</summary>
public abstract class IdJson<T>(Func<string, T> make, Func<T, string> text) : JsonConverter<T> where T : struct
{
    /// <summary>Longer ids than any form of ours are refused before they are kept anywhere.</summary>
    private const int CharsMax = 128;

    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        make(Checked(reader.TokenType == JsonTokenType.String ? reader.GetString() : null));

    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) =>
        writer.WriteStringValue(text(value));

    public override T ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        make(Checked(reader.GetString()));

    public override void WriteAsPropertyName(Utf8JsonWriter writer, T value, JsonSerializerOptions options) =>
        writer.WritePropertyName(text(value));

    private static string Checked(string? id) =>
        id is { Length: > 0 and <= CharsMax } ? id : throw new JsonException($"An id is a string of 1 to {CharsMax} characters");
}

public sealed class VmIdJson() : IdJson<VmId>(text => new VmId(text), id => id.Value);
public sealed class HostIdJson() : IdJson<HostId>(text => new HostId(text), id => id.Value);
public sealed class MoveIdJson() : IdJson<MoveId>(text => new MoveId(text), id => id.Value);

public sealed class EpochJson : JsonConverter<Epoch>
{
    public override Epoch Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        new(reader.GetInt64());
    public override void Write(Utf8JsonWriter writer, Epoch value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(value.Value);
}
