using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>
/// Migration parameters by QEMU's meaning; null means "leave as it is" when set and "unknown to this QEMU" when read.
/// </summary>
public sealed record QmpMigrationParameters
{
    /// <summary>0 = no limit. QEMU checks it in slices of 100 ms.</summary>
    public long? MaxBandwidthBytesPerSecond { get; init; }
    /// <summary>QEMU stops the guest once pending bytes / measured bandwidth is below this. At most 2,000,000.</summary>
    public long? DowntimeLimitMs { get; init; }
    /// <summary>Replaces the measured bandwidth in that decision (QEMU 8.2).</summary>
    public long? AvailSwitchoverBandwidthBytesPerSecond { get; init; }
    public long? AnnounceInitialMs { get; init; }
    public long? AnnounceMaxMs { get; init; }
    public long? AnnounceRounds { get; init; }
    public long? AnnounceStepMs { get; init; }
    /// <summary>Must be equal on both sides.</summary>
    public long? MultifdChannels { get; init; }
    /// <summary>"none", "zlib", "zstd", …</summary>
    public string? MultifdCompression { get; init; }
    public long? MaxPostcopyBandwidthBytesPerSecond { get; init; }
    public long? XbzrleCacheBytes { get; init; }
    public long? CpuThrottleInitialPercent { get; init; }
    public long? CpuThrottleIncrementPercent { get; init; }
    public long? MaxCpuThrottlePercent { get; init; }
    /// <summary>"multifd", "legacy", "none" (QEMU 9.0).</summary>
    public string? ZeroPageDetection { get; init; }

    internal JsonObject ToJson()
    {
        var json = new JsonObject();
        Add("max-bandwidth", MaxBandwidthBytesPerSecond);
        Add("downtime-limit", DowntimeLimitMs);
        Add("avail-switchover-bandwidth", AvailSwitchoverBandwidthBytesPerSecond);
        Add("announce-initial", AnnounceInitialMs);
        Add("announce-max", AnnounceMaxMs);
        Add("announce-rounds", AnnounceRounds);
        Add("announce-step", AnnounceStepMs);
        Add("multifd-channels", MultifdChannels);
        Add("multifd-compression", MultifdCompression);
        Add("max-postcopy-bandwidth", MaxPostcopyBandwidthBytesPerSecond);
        Add("xbzrle-cache-size", XbzrleCacheBytes);
        Add("cpu-throttle-initial", CpuThrottleInitialPercent);
        Add("cpu-throttle-increment", CpuThrottleIncrementPercent);
        Add("max-cpu-throttle", MaxCpuThrottlePercent);
        Add("zero-page-detection", ZeroPageDetection);
        return json;

        void Add(string name, JsonNode? value)
        {
            if (value is not null) json[name] = value;
        }
    }

    internal static QmpMigrationParameters Read(JsonElement answer) => new()
    {
        MaxBandwidthBytesPerSecond = answer.NumberOrNull("max-bandwidth"),
        DowntimeLimitMs = answer.NumberOrNull("downtime-limit"),
        AvailSwitchoverBandwidthBytesPerSecond = answer.NumberOrNull("avail-switchover-bandwidth"),
        AnnounceInitialMs = answer.NumberOrNull("announce-initial"),
        AnnounceMaxMs = answer.NumberOrNull("announce-max"),
        AnnounceRounds = answer.NumberOrNull("announce-rounds"),
        AnnounceStepMs = answer.NumberOrNull("announce-step"),
        MultifdChannels = answer.NumberOrNull("multifd-channels"),
        MultifdCompression = answer.TextOrNull("multifd-compression"),
        MaxPostcopyBandwidthBytesPerSecond = answer.NumberOrNull("max-postcopy-bandwidth"),
        XbzrleCacheBytes = answer.NumberOrNull("xbzrle-cache-size"),
        CpuThrottleInitialPercent = answer.NumberOrNull("cpu-throttle-initial"),
        CpuThrottleIncrementPercent = answer.NumberOrNull("cpu-throttle-increment"),
        MaxCpuThrottlePercent = answer.NumberOrNull("max-cpu-throttle"),
        ZeroPageDetection = answer.TextOrNull("zero-page-detection"),
    };
}
