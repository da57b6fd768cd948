namespace Godwit.Agent.Images;

/// <summary>
/// qcow2 versions 2 and 3: header, header extensions, and the tables they lead to. Layout: QEMU docs/interop/qcow2.txt.
/// </summary>
internal static class Qcow2Image
{
    private const int HeadBytes = 112, Version2HeaderBytes = 72, Version3HeaderBytes = 104, CompressionAt = 104;
    private const int ExtensionsMax = 32, SnapshotsMax = 256, SnapshotHeadBytes = 40, SnapshotExtraMax = 1024, BitmapsMax = 1024;
    private const int ClusterBitsMin = 9, ClusterBitsMax = 21, ClusterBitsMinExtendedL2 = 14, RefcountOrderMax = 6;
    private const long RefcountTableBytesMax = 8 << 20, BackingNameMax = 1023;
    private const ulong DirtyBit = 1 << 0, CorruptBit = 1 << 1, ExternalDataBit = 1 << 2, CompressionBit = 1 << 3, ExtendedL2Bit = 1 << 4;
    private const ulong KnownBits = DirtyBit | CorruptBit | ExternalDataBit | CompressionBit | ExtendedL2Bit;
    private const ulong L1OffsetMask = 0x00ff_ffff_ffff_fe00, RefcountOffsetMask = ~0x1fful;
    private const uint DataFileExtension = 0x4441_5441, CryptoExtension = 0x0537_be77, BackingFormatExtension = 0xe279_2aca;
    private const uint BitmapsExtension = 0x2385_2875;

    public static (string Kind, long VirtualBytes)? Inspect(ImageBytes image, Findings findings)
    {
        var head = new byte[HeadBytes];
        var all = image.UpTo(0, HeadBytes);
        if (all.Length < Version2HeaderBytes)
        {
            findings.AddShort("its header", image);
            return null;
        }
        all.CopyTo(head, 0); // What the file does not have reads as zero, as in a header of version 2.
        var header = new Header(head);
        if (header.Version is not (2 or 3)) findings.Add("image-version", $"qcow2 version {header.Version} is not known");
        if (header.BackingAt != 0 || header.BackingLength != 0) AddBacking(image, header, findings);
        if (header.Encryption != 0) findings.Add("image-encrypted", "it is encrypted");
        ImageInspector.CheckSize(header.VirtualBytes, findings);
        if (header.ClusterBits is < ClusterBitsMin or > ClusterBitsMax)
        {
            findings.Add("image-cluster-size",
                $"its cluster size 2^{header.ClusterBits} is outside 2^{ClusterBitsMin} to 2^{ClusterBitsMax}");
            return null;
        }
        if (header.Version >= 3) CheckVersion3(header, all.Length, findings);
        if (findings.IsClean) CheckExtensions(image, header, findings);
        if (findings.IsClean) CheckTables(image, header, findings);
        if (findings.IsClean) CheckSnapshots(image, header, findings);
        return findings.IsClean ? ($"qcow2 version {header.Version}", (long)header.VirtualBytes) : null;
    }

    private static void AddBacking(ImageBytes image, Header header, Findings findings)
    {
        var name = image.UpTo(header.BackingAt, (int)Math.Min(header.BackingLength, BackingNameMax));
        findings.Add("image-backing-file", $"it names a backing file ({Findings.Printable(name)}), which would be read from this host");
    }

    private static void CheckVersion3(Header header, int headBytes, Findings findings)
    {
        if (headBytes < Version3HeaderBytes) findings.Add("image-short", $"its header ends after {headBytes} bytes");
        if (header.HeaderBytes < Version3HeaderBytes || header.HeaderBytes % 8 != 0 || header.HeaderBytes > header.ClusterBytes)
            findings.Add("image-header", $"its header claims {header.HeaderBytes} bytes");
        if ((header.Features & ExternalDataBit) != 0)
            findings.Add("image-data-file", "it names an external data file, which would be read from this host");
        if ((header.Features & CorruptBit) != 0) findings.Add("image-corrupt", "it is marked corrupt");
        if ((header.Features & ~KnownBits) != 0)
            findings.Add("image-feature-unknown", $"it uses features this version does not know (0x{header.Features:x})");
        const byte zstd = 1;
        var hasCompression = header.HeaderBytes > CompressionAt && headBytes > CompressionAt;
        if ((header.Features & CompressionBit) != 0 ? !hasCompression || header.Compression > zstd : hasCompression
            && header.Compression != 0)
            findings.Add("image-feature-unknown", "its compression is neither zlib nor zstd");
        if ((header.Features & ExtendedL2Bit) != 0 && header.ClusterBits < ClusterBitsMinExtendedL2)
            findings.Add("image-cluster-size", $"its cluster size 2^{header.ClusterBits} is too small for its extended L2 entries");
        if (header.RefcountOrder > RefcountOrderMax)
            findings.Add("image-tables", $"its refcounts have 2^{header.RefcountOrder} bits; 2^{RefcountOrderMax} is the most there is");
    }

    /// <summary>Extensions lie in the first cluster, each 8 bytes of kind and length, then padded to 8.</summary>
    private static void CheckExtensions(ImageBytes image, Header header, Findings findings)
    {
        Span<byte> bytes = stackalloc byte[8];
        ulong at = header.Version == 2 ? Version2HeaderBytes : header.HeaderBytes;
        for (var count = 0; at + 8 <= header.ClusterBytes; count++)
        {
            if (count == ExtensionsMax)
            {
                findings.Add("image-extensions", $"it has more than {ExtensionsMax} header extensions");
                return;
            }
            if (!image.TryRead(at, bytes))
            {
                findings.AddShort("a header extension", image);
                return;
            }
            ReadOnlySpan<byte> extension = bytes;
            var (kind, length) = (extension.Big32(0), extension.Big32(4));
            if (kind == 0) return;
            if (length > header.ClusterBytes - at - 8)
            {
                findings.Add("image-extensions", $"its header extension 0x{kind:x8} claims {length} bytes");
                return;
            }
            CheckExtension(image, kind, at + 8, length, findings);
            at += 8 + ((length + 7ul) & ~7ul);
        }
    }

    private static void CheckExtension(ImageBytes image, uint kind, ulong at, uint length, Findings findings)
    {
        switch (kind)
        {
            case DataFileExtension:
                findings.Add("image-data-file",
                    $"it names an external data file ({Findings.Printable(image.UpTo(at, (int)Math.Min(length, 1023)))}), "
                    + "which would be read from this host");
                break;
            case BackingFormatExtension:
                findings.Add("image-backing-file", "it names the format of a backing file");
                break;
            case CryptoExtension:
                findings.Add("image-encrypted", "it has an encryption header");
                break;
            case BitmapsExtension:
                ReadOnlySpan<byte> bitmaps = image.UpTo(at, 24);
                if (length < 24 || bitmaps.Length < 24 || bitmaps.Big32(0) > BitmapsMax || !image.Holds(bitmaps.Big64(16),
                    bitmaps.Big64(8)))
                    findings.Add("image-tables", "its directory of bitmaps is too large, or beyond the end of the file");
                break;
            default: break; // The format says that unknown extensions mean nothing to who does not know them.
        }
    }

    private static void CheckTables(ImageBytes image, Header header, Findings findings)
    {
        var refcountBytes = (ulong)header.RefcountClusters << (int)header.ClusterBits;
        var l1Bytes = header.L1Entries * 8ul;
        if (l1Bytes > ImageInspector.TableBytesMax || refcountBytes is 0 or > RefcountTableBytesMax)
        {
            findings.Add("image-tables", $"its tables are too large or missing ({header.L1Entries} L1 entries, {refcountBytes} bytes of "
                + "refcount table)");
            return;
        }
        var l2EntryBytes = (header.Features & ExtendedL2Bit) != 0 ? 16u : 8u;
        var bytesPerL1Entry = header.ClusterBytes / l2EntryBytes * header.ClusterBytes;
        var needed = (header.VirtualBytes + bytesPerL1Entry - 1) / bytesPerL1Entry;
        if (header.L1Entries < needed)
            findings.Add("image-tables",
                $"its L1 table has {header.L1Entries} entries; a disk of {header.VirtualBytes} bytes needs {needed}");
        CheckTable(image, header, new Table("L1", header.L1At, l1Bytes, L1OffsetMask), findings);
        CheckTable(image, header, new Table("refcount", header.RefcountAt, refcountBytes, RefcountOffsetMask), findings);
    }

    /// <summary>Every entry that is not zero leads to a whole cluster inside the file.</summary>
    private static void CheckTable(ImageBytes image, Header header, Table table, Findings findings)
    {
        if (table.At % header.ClusterBytes != 0 || (table.At == 0 && table.Bytes > 0))
            findings.Add("image-tables", $"its {table.Name} table begins at byte {table.At}, which is no cluster of its own");
        ulong bad = 0;
        var inside = image.Walk(table.At, table.Bytes, block =>
        {
            for (var at = 0; at < block.Length && bad == 0; at += 8)
            {
                var offset = block.Big64(at) & table.Mask;
                if (offset != 0 && (offset % header.ClusterBytes != 0 || !image.Holds(offset, header.ClusterBytes))) bad = offset;
            }
            return bad == 0;
        });
        if (!inside) findings.AddShort($"its {table.Name} table", image);
        if (bad != 0) findings.Add("image-tables", $"its {table.Name} table leads to byte {bad} of a file of {image.Length}");
    }

    private static void CheckSnapshots(ImageBytes image, Header header, Findings findings)
    {
        if (header.Snapshots > SnapshotsMax)
        {
            findings.Add("image-snapshots", $"it has {header.Snapshots} snapshots inside; at most {SnapshotsMax} are taken");
            return;
        }
        Span<byte> bytes = stackalloc byte[SnapshotHeadBytes];
        var at = header.SnapshotsAt;
        for (var i = 0u; i < header.Snapshots; i++)
        {
            if (!image.TryRead(at, bytes))
            {
                findings.AddShort("its snapshot table", image);
                return;
            }
            ReadOnlySpan<byte> entry = bytes;
            var (l1At, l1Bytes, extra) = (entry.Big64(0), entry.Big32(8) * 8ul, entry.Big32(36));
            if (l1Bytes > ImageInspector.TableBytesMax || extra > SnapshotExtraMax || !image.Holds(l1At, l1Bytes))
            {
                findings.Add("image-snapshots", $"its snapshot {i + 1} has tables that are too large or beyond the end of the file");
                return;
            }
            at += (SnapshotHeadBytes + extra + entry.Big16(12) + entry.Big16(14) + 7ul) & ~7ul;
        }
    }

    private sealed record Table(string Name, ulong At, ulong Bytes, ulong Mask);

    /// <summary>The fields by their place; all big-endian.</summary>
    private sealed class Header(byte[] bytes)
    {
        public uint Version => U32(4);
        public ulong BackingAt => U64(8);
        public uint BackingLength => U32(16);
        public uint ClusterBits => U32(20);
        public ulong VirtualBytes => U64(24);
        public uint Encryption => U32(32);
        public uint L1Entries => U32(36);
        public ulong L1At => U64(40);
        public ulong RefcountAt => U64(48);
        public uint RefcountClusters => U32(56);
        public uint Snapshots => U32(60);
        public ulong SnapshotsAt => U64(64);
        /// <summary>None in version 2, whose header ends before: what lies there is an extension.</summary>
        public ulong Features => Version >= 3 ? U64(72) : 0;
        public uint RefcountOrder => U32(96);
        public uint HeaderBytes => U32(100);
        public byte Compression => bytes[CompressionAt];
        /// <summary>Only where <see cref="ClusterBits"/> is in range.</summary>
        public ulong ClusterBytes => 1ul << (int)ClusterBits;

        private uint U32(int at) => new ReadOnlySpan<byte>(bytes).Big32(at);
        private ulong U64(int at) => new ReadOnlySpan<byte>(bytes).Big64(at);
    }
}
