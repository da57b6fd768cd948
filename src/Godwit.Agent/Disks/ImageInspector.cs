using System.Buffers.Binary;
using Godwit.Core;

namespace Godwit.Agent.Disks;

/// <summary>
/// Looks into a disk image's head before any other program opens it. An image is a stranger's input: a backing file,
/// an external data file or a feature we do not know could make a tool read files of this host (CVE-2015-5163,
/// CVE-2024-32498), and tables of absurd size make it use all memory; so all of these are refused. Layout: QEMU
/// docs/interop/qcow2.txt.
/// </summary>
public static class ImageInspector
{
    public const int HeadBytes = 112;
    public const long VirtualBytesMax = 64L << 40;
    private const int Sector = 512, HeaderBytesMin = 72, FeaturesAt = 72, CompressionAt = 104;
    private const uint Qcow2Magic = 0x514649fb;
    private const ulong DirtyBit = 1 << 0, CorruptBit = 1 << 1, ExternalDataBit = 1 << 2;
    private const ulong CompressionBit = 1 << 3, ExtendedL2Bit = 1 << 4;
    private const ulong KnownBits = DirtyBit | CorruptBit | ExternalDataBit | CompressionBit | ExtendedL2Bit;
    /// <summary>QEMU's own limits, so that what passes here opens there.</summary>
    private const long L1BytesMax = 32 << 20, RefcountTableBytesMax = 8 << 20, SnapshotsMax = 65_536;

    /// <summary>The disk size the guest would see, or every reason why the image is refused.</summary>
    /// <param name="head">The file's first <see cref="HeadBytes"/> bytes, or all of a shorter file.</param>
    public static long Inspect(ReadOnlySpan<byte> head, long fileBytes, string format) => format switch
    {
        "raw" => Raw(head, fileBytes),
        "qcow2" => Qcow2(head, fileBytes),
        _ => throw FormatUnknown(format),
    };

    public static RefusedException FormatUnknown(string format) => new("image-format-unknown",
        $"the image is refused: format '{format}' is not known", "convert it to qcow2 or raw, and say which with --format");

    private static long Raw(ReadOnlySpan<byte> head, long fileBytes)
    {
        if (IsQcow2(head)) throw new RefusedException("image-not-raw",
            "the image is refused: it begins as a qcow2 file does, and was called raw", "say --format qcow2");
        if (fileBytes > 0 && fileBytes % Sector == 0 && fileBytes <= VirtualBytesMax) return fileBytes;
        throw new RefusedException("image-size",
            $"the image is refused: a raw disk has whole sectors of {Sector} bytes, up to {VirtualBytesMax >> 40} TiB; "
            + $"this file has {fileBytes} bytes", "check that the file is complete and really a raw disk");
    }

    private static long Qcow2(ReadOnlySpan<byte> head, long fileBytes)
    {
        if (!IsQcow2(head) || head.Length < HeaderBytesMin) throw new RefusedException("image-not-qcow2",
            "the image is refused: the file does not begin with a qcow2 header", "if it is a raw disk, say --format raw");
        var version = U32(head, 4);
        var virtualBytes = U64(head, 24);
        List<Refusal> reasons = [];
        if (version is not (2 or 3)) Add("image-version", $"qcow2 version {version} is not known");
        if (U64(head, 8) != 0) Add("image-backing-file", "it names a backing file, which would be read from this host");
        if (U32(head, 32) != 0) Add("image-encrypted", "it is encrypted");
        if (virtualBytes is 0 or > (ulong)VirtualBytesMax || virtualBytes % Sector != 0)
            Add("image-size", $"its disk size {virtualBytes} is not a whole number of sectors up to {VirtualBytesMax >> 40} TiB");
        if (version >= 3) CheckFeatures(head, Add);
        CheckTables(head, fileBytes, Add);
        return reasons.Count == 0 ? (long)virtualBytes : throw new RefusedException(reasons);

        void Add(string code, string cause) => reasons.Add(new Refusal(code, $"the image is refused: {cause}",
            "flatten it where it comes from: qemu-img convert -O qcow2 IN OUT"));
    }

    private static void CheckFeatures(ReadOnlySpan<byte> head, Action<string, string> refuse)
    {
        if (head.Length < CompressionAt)
        {
            refuse("image-short", $"its header ends after {head.Length} bytes");
            return;
        }
        var features = U64(head, FeaturesAt);
        if ((features & ExternalDataBit) != 0)
            refuse("image-data-file", "it names an external data file, which would be read from this host");
        if ((features & CorruptBit) != 0) refuse("image-corrupt", "it is marked corrupt");
        if ((features & ~KnownBits) != 0)
            refuse("image-feature-unknown", $"it uses features this version does not know (0x{features:x})");
        const byte zstd = 1;
        if ((features & CompressionBit) != 0 && (head.Length <= CompressionAt || head[CompressionAt] > zstd))
            refuse("image-feature-unknown", "its compression is neither zlib nor zstd");
    }

    private static void CheckTables(ReadOnlySpan<byte> head, long fileBytes, Action<string, string> refuse)
    {
        var (clusterBits, l1Entries, snapshots) = (U32(head, 20), U32(head, 36), U32(head, 60));
        if (clusterBits is < 9 or > 21)
        {
            refuse("image-cluster-size", $"its cluster size 2^{clusterBits} is outside 2^9 to 2^21");
            return;
        }
        var refcountBytes = (long)U32(head, 56) << (int)clusterBits;
        if (l1Entries * 8L > L1BytesMax || refcountBytes > RefcountTableBytesMax || snapshots > SnapshotsMax)
            refuse("image-tables", $"its tables are too large ({l1Entries} L1 entries, {refcountBytes} bytes of refcount "
                + $"table, {snapshots} snapshots)");
        if (IsOutside(U64(head, 40), l1Entries * 8L, fileBytes) || IsOutside(U64(head, 48), refcountBytes, fileBytes))
            refuse("image-short", $"the file ends, at {fileBytes} bytes, before the tables its header names");
    }

    private static bool IsOutside(ulong offset, long length, long fileBytes) =>
        offset > (ulong)fileBytes || length > fileBytes - (long)offset;

    private static bool IsQcow2(ReadOnlySpan<byte> head) => head.Length >= 4 && U32(head, 0) == Qcow2Magic;

    private static uint U32(ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt32BigEndian(head[at..]);
    private static ulong U64(ReadOnlySpan<byte> head, int at) => BinaryPrimitives.ReadUInt64BigEndian(head[at..]);
}
