namespace Godwit.Core.Quoting;

/// <summary>What moves between two hosts cost, whatever is in the guest's memory.</summary>
public sealed record PathProfile
{
    /// <summary>On the wire, packed, in bytes a second.</summary>
    public required double WireBytesPerSecond { get; init; }
    /// <summary>The most QEMU and the link have taken of a guest's memory here, unpacked; a processor's limit, not the wire's.</summary>
    public required double StreamBytesPerSecondMax { get; init; }
    /// <summary>Checks, target QEMU, proof and cleaning: all that is not memory, in ms.</summary>
    public required double AroundMs { get; init; }
    /// <summary>Of the memory phase, whatever crosses in it: the first look at the dirty log, the link's opening; in ms.</summary>
    public double SetupMs { get; init; }
    /// <summary>State of the VM's devices: of a machine with some virtio devices, unless its moves have told.</summary>
    public double DeviceBytes { get; init; } = 0.4e6;
    /// <summary>Moves these figures are from; 0: assumed, or tested.</summary>
    public required int Moves { get; init; }
    /// <summary>A link test was there.</summary>
    public bool IsTested { get; init; }

    /// <summary>On a faster wire the link sends memory as it is (ADR 19).</summary>
    public const double PackedBelowBytesPerSecond = 300e6;

    /// <summary>Before any move was seen: a path of 1 Gbit/s, and agents that have just started.</summary>
    public static readonly PathProfile Assumed = new()
    {
        WireBytesPerSecond = 117e6, StreamBytesPerSecondMax = 400e6, AroundMs = 700, SetupMs = 600, Moves = 0,
    };

    /// <summary>How fast a guest's memory crosses, in its own bytes a second.</summary>
    /// <param name="ceilingBytesPerSecond">Of the wire, by a person's word; 0 is none.</param>
    public double StreamBytesPerSecond(double packRatio, long ceilingBytesPerSecond)
    {
        var wire = ceilingBytesPerSecond > 0 ? Math.Min(WireBytesPerSecond, ceilingBytesPerSecond) : WireBytesPerSecond;
        var packed = wire < PackedBelowBytesPerSecond ? Math.Max(1, packRatio) : 1;
        return Math.Max(1, Math.Min(wire * packed, StreamBytesPerSecondMax));
    }
}
