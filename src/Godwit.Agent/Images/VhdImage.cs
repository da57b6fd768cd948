namespace Godwit.Agent.Images;

/// <summary>
/// VHD of fixed or dynamic size (QEMU: vpc). A differencing VHD names its parent and is refused. All big-endian.
/// Layout: Microsoft's "Virtual Hard Disk Image Format Specification" 1.0.
/// </summary>
internal static class VhdImage
{
    private const int FooterBytes = 512, HeaderBytes = 1024, Sector = 512;
    private const uint FixedType = 2, DynamicType = 3, DifferencingType = 4, Version = 0x0001_0000, Unused = uint.MaxValue;
    private const uint BlockBytesMin = 4096, BlockBytesMax = 256 << 20;

    public static (string Kind, long VirtualBytes)? Inspect(ImageBytes image, Findings findings)
    {
        ReadOnlySpan<byte> end = image.Length < FooterBytes ? [] : image.UpTo((ulong)image.Length - FooterBytes, FooterBytes);
        if (end.Length < FooterBytes || !end.StartsWith("conectix"u8))
        {
            findings.Add("image-short", "it does not end with the footer of a VHD", "check that the file is complete");
            return null;
        }
        var (virtualBytes, type) = (end.Big64(48), end.Big32(60));
        if (end.Big32(64) != Checksum(end, 64)) findings.Add("image-corrupt", "the checksum of its footer is wrong");
        if (end.Big32(12) != Version) findings.Add("image-version", $"VHD version 0x{end.Big32(12):x8} is not known");
        ImageInspector.CheckSize(virtualBytes, findings);
        switch (type)
        {
            case FixedType:
                if (findings.IsClean && virtualBytes + FooterBytes != (ulong)image.Length)
                    findings.Add("image-short", $"it says {virtualBytes} bytes of disk; the file has {image.Length - FooterBytes}");
                break;
            case DynamicType:
                if (findings.IsClean) CheckDynamic(image, end, virtualBytes, findings);
                break;
            case DifferencingType:
                findings.Add("image-backing-file", "it is the difference to a parent, which would be read from this host");
                break;
            default:
                findings.Add("image-kind", $"VHD type {type} is not known");
                break;
        }
        return findings.IsClean ? (type == FixedType ? "VHD fixed" : "VHD dynamic", (long)virtualBytes) : null;
    }

    private static void CheckDynamic(ImageBytes image, ReadOnlySpan<byte> footer, ulong virtualBytes, Findings findings)
    {
        // Programs read the copy at the front: two stories would be one for us and another for them.
        if (!footer.SequenceEqual(image.UpTo(0, FooterBytes)))
            findings.Add("image-header", "its footer and the copy at its front differ");
        ReadOnlySpan<byte> header = image.UpTo(footer.Big64(16), HeaderBytes);
        if (header.Length < HeaderBytes || !header.StartsWith("cxsparse"u8))
        {
            findings.AddShort("its dynamic header", image);
            return;
        }
        if (header.Big32(36) != Checksum(header, 36)) findings.Add("image-corrupt", "the checksum of its dynamic header is wrong");
        if (header.Big32(24) != Version) findings.Add("image-version",
            $"its dynamic header's version 0x{header.Big32(24):x8} is not known");
        if (header[40..56].ContainsAnyExcept((byte)0) || header[64..768].ContainsAnyExcept((byte)0))
            findings.Add("image-backing-file", "it names a parent, which would be read from this host");
        var (tableAt, entries, blockBytes) = (header.Big64(16), header.Big32(28), header.Big32(32));
        if (!uint.IsPow2(blockBytes) || blockBytes is < BlockBytesMin or > BlockBytesMax)
            findings.Add("image-cluster-size",
                $"its blocks of {blockBytes} bytes are not a power of two from {BlockBytesMin} to {BlockBytesMax}");
        if (entries * 4L > ImageInspector.TableBytesMax || (ulong)entries * blockBytes < virtualBytes)
            findings.Add("image-tables", $"its table of {entries} blocks is not that of a disk of {virtualBytes} bytes");
        if (findings.IsClean) CheckTable(image, (tableAt, entries, blockBytes), findings);
    }

    private static void CheckTable(ImageBytes image, (ulong At, uint Entries, uint BlockBytes) table, Findings findings)
    {
        var bitmapBytes = ((table.BlockBytes / Sector / 8) + Sector - 1) / Sector * Sector;
        ulong bad = 0;
        var inside = image.Walk(table.At, table.Entries * 4ul, block =>
        {
            for (var at = 0; at < block.Length && bad == 0; at += 4)
                if (block.Big32(at) is var sector and not Unused && !image.Holds(sector * (ulong)Sector, bitmapBytes)) bad = sector;
            return bad == 0;
        });
        if (!inside) findings.AddShort("its block table", image);
        if (bad != 0) findings.Add("image-tables", $"its block table leads to sector {bad} of a file of {image.Length / Sector}");
    }

    /// <summary>The sum of all bytes but the checksum's own, inverted.</summary>
    internal static uint Checksum(ReadOnlySpan<byte> bytes, int own)
    {
        uint sum = 0;
        for (var i = 0; i < bytes.Length; i++) sum += i >= own && i < own + 4 ? 0u : bytes[i];
        return ~sum;
    }
}
