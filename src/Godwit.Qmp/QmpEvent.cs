using System.Text.Json;

namespace Godwit.Qmp;

/// <param name="Data">The event's members; an empty object where it has none.</param>
/// <param name="TimestampMicros">QEMU's own clock at the event: microseconds since 1970; -1 when QEMU could not read it.</param>
public sealed record QmpEvent(string Name, JsonElement Data, long TimestampMicros)
{
    private const long SecondsMax = 1L << 40; // Keeps the product below 2^63; some 35,000 years.

    internal static QmpEvent Read(JsonElement message)
    {
        var stamp = message.Object("timestamp");
        var (seconds, micros) = (stamp.Number("seconds"), stamp.Number("microseconds"));
        var known = seconds is >= 0 and < SecondsMax && micros is >= 0 and < 1_000_000;
        return new QmpEvent(
            message.Text("event"),
            message.ObjectOrNull("data") ?? QmpJson.EmptyObject,
            known ? seconds * 1_000_000 + micros : -1);
    }
}
