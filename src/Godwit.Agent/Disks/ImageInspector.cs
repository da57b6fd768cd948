using System.Buffers.Binary;
using Godwit.Core;

namespace Godwit.Agent.Disks;

/// <summary>
/// Looks into a disk image's head before any other program opens it. An image is a stranger's input: a backing file,
/// an external data file or a feature we do not know could make a tool read files of this host (CVE-2015-5163,
/// CVE-2024-32498), so all of these are refused. Layout: QEMU docs/interop/qcow2.txt.
/// </summary>
public static class ImageInspector
{
    public const int HeadBytes = 112;
    public const long VirtualBytesMax = 64L << 40;
    private const uint Qcow2Magic = 0x514649fb;
    private const ulong DirtyBit = 1 << 0, CorruptBit = 1 << 1, ExternalDataBit = 1 << 2, CompressionBit = 1 << 3, ExtendedL2Bit = 1 << 4;

    /// <summary>The disk size the guest would see, or every reason why the image is refused.</summary>
    public static long Inspect(ReadOnlySpan<byte> head, long fileBytes, string format) => format switch
    {
        "raw" => Raw(fileBytes),
        "qcow2" => Qcow2(head, fileBytes),
        _ => throw Refused("image-format-unknown", $"format '{format}' is not known", "convert it to qcow2 or raw, and say which with --format"),
    };

    private static long Raw(long fileBytes) => fileBytes > 0 && fileBytes % 512 == 0 && fileBytes <= VirtualBytesMax ? fileBytes
        : throw Refused("image-size", $"a raw disk has whole sectors of 512 bytes, up to {VirtualBytesMax >> 40} TiB; this file has {fileBytes} bytes",
            "check that the file is complete and really a raw disk");

    private static long Qcow2(ReadOnlySpan<byte> head, long fileBytes)
    {
        if (head.Length < 72 || BinaryPrimitives.ReadUInt32BigEndian(head) != Qcow2Magic)
            throw Refused("image-not-qcow2", "the file does not begin with a qcow2 header", "if it is a raw disk, say --format raw");
        var version = BinaryPrimitives.ReadUInt32BigEndian(head[4..]);
        var backingOffset = BinaryPrimitives.ReadUInt64BigEndian(head[8..]);
        var clusterBits = BinaryPrimitives.ReadUInt32BigEndian(head[20..]);
        var virtualBytes = BinaryPrimitives.ReadUInt64BigEndian(head[24..]);
        var encryption = BinaryPrimitives.ReadUInt32BigEndian(head[32..]);
        var incompatible = version >= 3 && head.Length >= 80 ? BinaryPrimitives.ReadUInt64BigEndian(head[72..]) : 0;

        List<Refusal> reasons = [];
        if (version is not (2 or 3)) reasons.Add(Reason("image-version", $"qcow2 version {version} is not known"));
        if (backingOffset != 0) reasons.Add(Reason("image-backing-file", "it names a backing file, which would be read from this host"));
        if ((incompatible & ExternalDataBit) != 0) reasons.Add(Reason("image-data-file", "it names an external data file, which would be read from this host"));
        if ((incompatible & CorruptBit) != 0) reasons.Add(Reason("image-corrupt", "it is marked corrupt"));
        if ((incompatible & ~(DirtyBit | CorruptBit | ExternalDataBit | CompressionBit | ExtendedL2Bit)) != 0)
            reasons.Add(Reason("image-feature-unknown", $"it uses features this version does not know (0x{incompatible:x})"));
        if (encryption != 0) reasons.Add(Reason("image-encrypted", "it is encrypted"));
        if (clusterBits is < 9 or > 21) reasons.Add(Reason("image-cluster-size", $"its cluster size 2^{clusterBits} is outside 2^9 to 2^21"));
        if (virtualBytes is 0 or > (ulong)VirtualBytesMax || virtualBytes % 512 != 0)
            reasons.Add(Reason("image-size", $"its disk size {virtualBytes} is not a whole number of sectors up to {VirtualBytesMax >> 40} TiB"));
        if (fileBytes < 512) reasons.Add(Reason("image-short", $"the file has only {fileBytes} bytes"));
        return reasons.Count == 0 ? (long)virtualBytes : throw new RefusedException(reasons);
    }

    private static Refusal Reason(string code, string cause) =>
        new(code, $"the image is refused: {cause}", "flatten it where it comes from: qemu-img convert -O qcow2 IN OUT");

    private static RefusedException Refused(string code, string cause, string fix) => new(code, $"the image is refused: {cause}", fix);
}
