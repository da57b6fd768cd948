using System.Numerics;

namespace Godwit.Agent.Images;

/// <summary>
/// VHDX of fixed or dynamic size. A differencing VHDX has a parent and is refused. All little-endian.
/// Layout: Microsoft's [MS-VHDX].
/// </summary>
internal static class VhdxImage
{
    private const int HeaderBytes = 4096, TableBytes = 64 << 10, RegionsMax = 2047, ItemsMax = 2047;
    private const ulong FirstHeaderAt = 64 << 10, SecondHeaderAt = 128 << 10, FirstRegionsAt = 192 << 10, MiB = 1 << 20;
    private const ulong BlockBytesMin = MiB, BlockBytesMax = 256 * MiB, LogBytesMax = 64 * MiB;
    private static readonly Guid BatRegion = new("2dc27766-f623-4200-9d64-115e9bfd4a08");
    private static readonly Guid MetadataRegion = new("8b7ca206-4790-4b9a-b8fe-575f050f886e");
    private static readonly Guid FileParameters = new("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
    private static readonly Guid DiskSize = new("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
    private static readonly Guid LogicalSector = new("8141bf1d-a96f-4709-ba47-f233a8faab5f");
    private static readonly Guid PhysicalSector = new("cda348c7-445d-4471-9cc9-e9885251c556");
    private static readonly Guid DiskId = new("beca12ab-b2e6-4523-93ef-c309e000c746");
    private static readonly Guid ParentLocator = new("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");

    public static (string Kind, long VirtualBytes)? Inspect(ImageBytes image, Findings findings)
    {
        CheckHeaders(image, findings);
        var regions = findings.IsClean ? Regions(image, findings) : [];
        if (findings.IsClean && (!regions.ContainsKey(BatRegion) || !regions.ContainsKey(MetadataRegion)))
            findings.Add("image-header", "its region table lacks the block table or the metadata");
        if (!findings.IsClean) return null;

        var items = Items(image, regions[MetadataRegion], findings);
        if (findings.IsClean && Shape(image, items, findings) is { } shape)
        {
            CheckBlocks(image, regions[BatRegion], shape, findings);
            if (findings.IsClean) return ("VHDX", (long)shape.VirtualBytes);
        }
        return null;
    }

    private static void CheckHeaders(ImageBytes image, Findings findings)
    {
        var valid = 0;
        foreach (var at in (ulong[])[FirstHeaderAt, SecondHeaderAt])
        {
            ReadOnlySpan<byte> header = image.UpTo(at, HeaderBytes);
            if (header.Length < HeaderBytes || !header.StartsWith("head"u8) || header.Little32(4) != Checksum(header)) continue;
            valid++;
            var (logVersion, version, logBytes, logAt) = (header.Little16(64), header.Little16(66), header.Little32(68),
                header.Little64(72));
            if (version != 1 || logVersion != 0)
                findings.Add("image-version", $"VHDX version {version} with log version {logVersion} is not known");
            if (logBytes > LogBytesMax || logBytes % MiB != 0 || logAt % MiB != 0 || !image.Holds(logAt, logBytes))
                findings.Add("image-tables", $"its log of {logBytes} bytes at byte {logAt} is too large, or beyond the end of the file");
        }
        if (valid == 0) findings.Add("image-header", "neither of its two headers is whole");
    }

    private static Dictionary<Guid, (ulong At, uint Bytes)> Regions(ImageBytes image, Findings findings)
    {
        var regions = new Dictionary<Guid, (ulong, uint)>();
        ReadOnlySpan<byte> table = image.UpTo(FirstRegionsAt, TableBytes);
        if (table.Length < TableBytes || !table.StartsWith("regi"u8) || table.Little32(4) != Checksum(table))
        {
            findings.Add("image-header", "its region table is not whole");
            return regions;
        }
        var count = table.Little32(8);
        if (count > RegionsMax) findings.Add("image-tables", $"it claims {count} regions; {RegionsMax} are the most there can be");
        for (var i = 0; i < count && findings.IsClean; i++)
        {
            var entry = table.Slice(16 + (32 * i), 32);
            var (id, at, bytes, required) = (new Guid(entry[..16]), entry.Little64(16), entry.Little32(24), entry.Little32(28) & 1);
            if (id != BatRegion && id != MetadataRegion)
            {
                if (required != 0) findings.Add("image-feature-unknown", $"it requires a region this version does not know ({id})");
                continue;
            }
            if (at < MiB || at % MiB != 0 || bytes % MiB != 0 || !image.Holds(at, bytes)) findings.AddShort($"its region {id}", image);
            if (!regions.TryAdd(id, (at, bytes))) findings.Add("image-header", $"it has the region {id} twice");
        }
        return regions;
    }

    private static Dictionary<Guid, (ulong At, uint Bytes)> Items(ImageBytes image, (ulong At, uint Bytes) region, Findings findings)
    {
        var items = new Dictionary<Guid, (ulong, uint)>();
        ReadOnlySpan<byte> table = image.UpTo(region.At, (int)Math.Min(TableBytes, region.Bytes));
        if (table.Length < TableBytes || !table.StartsWith("metadata"u8))
        {
            findings.Add("image-header", "its metadata are not whole");
            return items;
        }
        var count = table.Little16(10);
        if (count > ItemsMax) findings.Add("image-tables", $"it claims {count} items of metadata; {ItemsMax} are the most there can be");
        for (var i = 0; i < count && findings.IsClean; i++)
        {
            var entry = table.Slice(32 + (32 * i), 32);
            var (id, at, bytes, required) = (new Guid(entry[..16]), entry.Little32(16), entry.Little32(20),
                (entry.Little32(24) & 4) != 0);
            if (id == ParentLocator) findings.Add("image-backing-file", "it names a parent, which would be read from this host");
            else if (id != FileParameters && id != DiskSize && id != LogicalSector && id != PhysicalSector && id != DiskId)
            {
                if (required) findings.Add("image-feature-unknown", $"it requires metadata this version does not know ({id})");
                continue;
            }
            if (at < TableBytes || (ulong)at + bytes > region.Bytes) findings.AddShort($"its item of metadata {id}", image);
            if (!items.TryAdd(id, (region.At + at, bytes))) findings.Add("image-header", $"it has the item of metadata {id} twice");
        }
        return items;
    }

    private static DiskShape? Shape(ImageBytes image, Dictionary<Guid, (ulong At, uint Bytes)> items, Findings findings)
    {
        if (!items.TryGetValue(FileParameters, out var file) || !items.TryGetValue(DiskSize, out var size)
            || !items.TryGetValue(LogicalSector, out var sector))
        {
            findings.Add("image-header", "its metadata lack block size, disk size or sector size");
            return null;
        }
        ReadOnlySpan<byte> parameters = image.UpTo(file.At, 8), bytes = image.UpTo(size.At, 8), sectors = image.UpTo(sector.At, 4);
        if (file.Bytes < 8 || size.Bytes < 8 || sector.Bytes < 4 || parameters.Length < 8 || bytes.Length < 8 || sectors.Length < 4)
        {
            findings.AddShort("its metadata", image);
            return null;
        }
        const uint hasParent = 2;
        var shape = new DiskShape(bytes.Little64(0), parameters.Little32(0), sectors.Little32(0));
        if ((parameters.Little32(4) & hasParent) != 0)
            findings.Add("image-backing-file", "it is the difference to a parent, which would be read from this host");
        if (shape.SectorBytes is not (512 or 4096)) findings.Add("image-size",
            $"its sectors have {shape.SectorBytes} bytes; 512 and 4096 are possible");
        if (!ulong.IsPow2(shape.BlockBytes) || shape.BlockBytes is < BlockBytesMin or > BlockBytesMax)
            findings.Add("image-cluster-size", $"its blocks of {shape.BlockBytes} bytes are not a power of two from 1 MiB to 256 MiB");
        return ImageInspector.CheckSize(shape.VirtualBytes, findings) && findings.IsClean ? shape : null;
    }

    /// <summary>One entry a block, and after each chunk of 2^23 sectors one of a bitmap that only differencing disks use.</summary>
    private static void CheckBlocks(ImageBytes image, (ulong At, uint Bytes) region, DiskShape shape, Findings findings)
    {
        var ratio = (1ul << 23) * shape.SectorBytes / shape.BlockBytes;
        var blocks = (shape.VirtualBytes + shape.BlockBytes - 1) / shape.BlockBytes;
        var entries = blocks + ((blocks - 1) / ratio);
        if (entries * 8 > ImageInspector.TableBytesMax || entries * 8 > region.Bytes)
        {
            findings.Add("image-tables",
                $"a block table of {entries} entries is too large, or larger than its region of {region.Bytes} bytes");
            return;
        }
        ulong bad = 0;
        image.Walk(region.At, entries * 8, table =>
        {
            const ulong fullyPresent = 6, partlyPresent = 7;
            for (var at = 0; at < table.Length && bad == 0; at += 8)
            {
                var entry = table.Little64(at);
                var isOutside = (entry & 7) == fullyPresent && !image.Holds(entry & ~(MiB - 1), 1);
                if (isOutside || (entry & 7) == partlyPresent) bad = entry;
            }
            return bad == 0;
        });
        if (bad != 0) findings.Add("image-tables", $"its block table has the entry 0x{bad:x}, which leads out of the file");
    }

    /// <summary>CRC-32C with the checksum's own four bytes (4 to 8) as zero.</summary>
    internal static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        for (var i = 0; i < bytes.Length; i++) crc = BitOperations.Crc32C(crc, i is >= 4 and < 8 ? (byte)0 : bytes[i]);
        return ~crc;
    }

    private sealed record DiskShape(ulong VirtualBytes, ulong BlockBytes, uint SectorBytes);
}
