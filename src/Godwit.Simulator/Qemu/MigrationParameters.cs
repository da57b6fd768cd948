namespace Godwit.Simulator.Qemu;

/// <summary>QEMU 7.2's defaults.</summary>
internal sealed class MigrationParameters
{
    public long MaxBandwidthBytesPerSecond { get; set; } = 128 << 20;
    public long DowntimeLimitMs { get; set; } = 300;
}
