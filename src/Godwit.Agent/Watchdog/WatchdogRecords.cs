using System.Text.Json;
using System.Text.Json.Serialization;
using Godwit.Core.Ports;

namespace Godwit.Agent.Watchdog;

/// <summary>Which arming this host holds to, in one durable file of the state directory.</summary>
public sealed class WatchdogRecords(IDisk disk, string stateDirectory)
{
    private const int FormatNow = 1, BytesMax = 4096;
    /// <summary>Of a file that cannot be read: no guest begins until the server has granted something, or let it go.</summary>
    public const string Unreadable = "unreadable";
    private readonly string path = Path.Combine(stateDirectory, "watchdog.json");

    /// <summary>An arming was held to once, and let go: the device may run all the same.</summary>
    public bool WasLetGo { get; private set; }

    /// <summary>Null: none.</summary>
    public async Task<string?> ReadAsync(CancellationToken cancel)
    {
        try
        {
            var bytes = await disk.ReadAsync(path, BytesMax, cancel);
            if (bytes is null) return null;
            var record = JsonSerializer.Deserialize(bytes, WatchdogRecordJson.Default.WatchdogRecord);
            if (record is not { Format: FormatNow }) return Unreadable;
            WasLetGo = record.Arming is null;
            return record.Arming;
        }
        catch (Exception broken) when (broken is JsonException or IOException) { return Unreadable; }
    }

    /// <summary>Durable on return. Throws <see cref="IOException"/>.</summary>
    public async Task WriteAsync(string? arming)
    {
        disk.CreateDirectory(stateDirectory);
        await disk.WriteDurablyAsync(path, JsonSerializer.SerializeToUtf8Bytes(
            new WatchdogRecord(FormatNow, arming), WatchdogRecordJson.Default.WatchdogRecord), CancellationToken.None);
    }
}

internal sealed record WatchdogRecord(int Format, string? Arming);

[JsonSerializable(typeof(WatchdogRecord))]
internal sealed partial class WatchdogRecordJson : JsonSerializerContext;
