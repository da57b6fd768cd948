using System.Buffers;
using System.Globalization;
using System.Text;

namespace Godwit.Agent.Images;

/// <summary>
/// VMDK in one file: monolithicSparse and streamOptimized. A descriptor, alone or embedded, is where a VMDK names other
/// files, so it is read line by line and held to one extent: this file. Layout: VMware's "Virtual Disk Format 5.0".
/// </summary>
internal static class VmdkImage
{
    private const int Sector = 512, HeadBytes = 512, FooterBytes = 1536, QemuDescriptorBytes = 20 * Sector, DescriptorBytesMax = 64 << 10;
    private const ulong DescriptorAtSector = 1, DirectoryAtEnd = ulong.MaxValue, GrainSectorsMin = 8, GrainSectorsMax = 1 << 15;
    private const uint NewlineFlag = 1, RedundantFlag = 2, ZeroGrainFlag = 4, CompressedFlag = 1 << 16, MarkersFlag = 1 << 17;
    private const uint KnownFlags = NewlineFlag | RedundantFlag | ZeroGrainFlag | CompressedFlag | MarkersFlag;
    private const uint EntriesPerTableMax = 512;
    private const string Convert = "convert it where its files are: qemu-img convert -O qcow2 IN OUT";

    private static readonly SearchValues<byte> Controls =
        SearchValues.Create([.. Enumerable.Range(0, 32).Append(127).Select(b => (byte)b).Except("\t\r\n"u8.ToArray())]);

    public static (string Kind, long VirtualBytes)? Inspect(ImageBytes image, Findings findings)
    {
        ReadOnlySpan<byte> head = image.UpTo(0, HeadBytes);
        if (!head.StartsWith("KDMV"u8))
        {
            findings.Add("image-kind", head.StartsWith("COWD"u8) ? "it is a VMDK of the vmfsSparse kind"
                : "it is a VMDK descriptor, a text that names the files of the disk", Convert);
            return null;
        }
        if (head.Length < HeadBytes)
        {
            findings.AddShort("its header", image);
            return null;
        }
        var header = new Header(head);
        CheckHeader(header, findings);
        if (!findings.IsClean) return null;

        var tables = header;
        if (header.DirectoryAt == DirectoryAtEnd && Footer(image, header, findings) is { } footer) tables = footer;
        if (findings.IsClean) CheckDirectory(image, tables, findings);
        if (tables.HasRedundant && findings.IsClean)
            CheckDirectory(image, tables with { DirectoryAt = tables.RedundantAt }, findings);
        var type = findings.IsClean ? CheckDescriptor(image, header, findings) : null;
        return findings.IsClean ? ($"VMDK {type}", (long)header.Capacity * Sector) : null;
    }

    private static void CheckHeader(Header header, Findings findings)
    {
        if (header.Version is < 1 or > 3) findings.Add("image-version", $"VMDK version {header.Version} is not known");
        if (header.Capacity == 0)
            findings.Add("image-kind", "its header gives no size, which makes it a descriptor that names other files", Convert);
        ImageInspector.CheckSize(header.Capacity > ulong.MaxValue / Sector ? ulong.MaxValue : header.Capacity * Sector, findings);
        if ((header.Flags & ~KnownFlags) != 0)
            findings.Add("image-feature-unknown", $"it uses flags this version does not know (0x{header.Flags:x})");
        if (header.Compression > 1) findings.Add("image-feature-unknown", $"its compression {header.Compression} is not known");
        if (!ulong.IsPow2(header.GrainSectors) || header.GrainSectors is < GrainSectorsMin or > GrainSectorsMax)
            findings.Add("image-cluster-size", $"its grains of {header.GrainSectors} sectors are not a power of two from "
                + $"{GrainSectorsMin} to {GrainSectorsMax}");
        if (header.EntriesPerTable is 0 or > EntriesPerTableMax)
            findings.Add("image-tables",
                $"its grain tables have {header.EntriesPerTable} entries; 1 to {EntriesPerTableMax} are possible");
        if (header.DescriptorAt != DescriptorAtSector || header.DescriptorSectors is 0 or > DescriptorBytesMax / Sector)
            findings.Add("image-descriptor",
                $"its descriptor of {header.DescriptorSectors} sectors at sector {header.DescriptorAt} is not "
                + "where every program looks for it, behind the header");
        if (header.HasNewlines && !header.NewlinesAreRight)
            findings.Add("image-corrupt", "its header was damaged by a transfer as text", "copy it again, as binary");
    }

    /// <summary>A stream's directory is named only at its end. The rest must say what the header says.</summary>
    private static Header? Footer(ImageBytes image, Header header, Findings findings)
    {
        ReadOnlySpan<byte> end = image.Length >= FooterBytes + HeadBytes ? image.UpTo((ulong)image.Length - FooterBytes,
            FooterBytes) : [];
        const uint footerMarker = 3;
        if (end.Length < FooterBytes || end.Little64(0) != 1 || end.Little32(8) != 0 || end.Little32(12) != footerMarker
            || !end[Sector..].StartsWith("KDMV"u8) || end[(2 * Sector)..].ContainsAnyExcept((byte)0))
        {
            findings.Add("image-short", "it has no footer where its header says", "check that the file is complete");
            return null;
        }
        var footer = new Header(end.Slice(Sector, HeadBytes));
        if (footer.Shape != header.Shape || footer.DirectoryAt == DirectoryAtEnd)
            findings.Add("image-header", "its footer says something else than its header");
        return footer;
    }

    /// <summary>Directory → grain tables, all inside the file. Grains themselves are read by the tool, under its limits.</summary>
    private static void CheckDirectory(ImageBytes image, Header header, Findings findings)
    {
        var perTable = header.EntriesPerTable * header.GrainSectors;
        var entries = (header.Capacity + perTable - 1) / perTable;
        if (entries * 4 > ImageInspector.TableBytesMax)
        {
            findings.Add("image-tables", $"its directory has {entries} entries");
            return;
        }
        ulong bad = 0;
        var inside = header.DirectoryAt <= (ulong)image.Length / Sector && image.Walk(header.DirectoryAt * Sector, entries * 4, block =>
        {
            for (var at = 0; at < block.Length && bad == 0; at += 4)
            {
                ulong table = block.Little32(at);
                if (table > 1 && !image.Holds(table * Sector, header.EntriesPerTable * 4ul)) bad = table;
            }
            return bad == 0;
        });
        if (!inside) findings.AddShort("its directory", image);
        if (bad != 0) findings.Add("image-tables", $"its directory leads to sector {bad} of a file of {image.Length / Sector}");
        if (header.OverheadSectors > (ulong)image.Length / Sector) findings.AddShort("its first grain", image);
    }

    private static string? CheckDescriptor(ImageBytes image, Header header, Findings findings)
    {
        var length = (int)header.DescriptorSectors * Sector;
        // QEMU reads 20 sectors here, whatever the header says: nothing may hide between the two lengths.
        ReadOnlySpan<byte> bytes = image.UpTo(Sector, Math.Max(length, QemuDescriptorBytes));
        if (bytes.Length < length)
        {
            findings.AddShort("its descriptor", image);
            return null;
        }
        if (bytes.IndexOf("parentFileNameHint"u8) is var hint and >= 0)
            findings.Add("image-backing-file",
                $"it names a parent ({Findings.Printable(Line(bytes[hint..]))}), which would be read from this host");
        var text = bytes[..length];
        if (text.IndexOf((byte)0) is var end and >= 0) text = text[..end];
        if (text.ContainsAny(Controls))
            findings.Add("image-descriptor", "its descriptor is no plain text");
        return CheckLines(Encoding.ASCII.GetString(text), header, findings);
    }

    private static ReadOnlySpan<byte> Line(ReadOnlySpan<byte> text) => text.IndexOf((byte)'\n') is var end and >= 0 ? text[..end] : text;

    private static string? CheckLines(string descriptor, Header header, Findings findings)
    {
        var (type, parent, extents) = ("", "ffffffff", 0);
        foreach (var raw in descriptor.Split('\n'))
        {
            var line = raw.Trim();
            var words = line.Split((char[])[' ', '\t'], 4, StringSplitOptions.RemoveEmptyEntries);
            if (line.StartsWith("createType", StringComparison.OrdinalIgnoreCase)) type = Value(line);
            else if (line.StartsWith("parentCID", StringComparison.OrdinalIgnoreCase)) parent = Value(line);
            else if (line.StartsWith("encryption", StringComparison.OrdinalIgnoreCase)) findings.Add("image-encrypted",
                "it is encrypted");
            else if (words is ["RW" or "RDONLY" or "NOACCESS", ..])
            {
                extents++;
                CheckExtent(line, words, header, findings);
            }
        }
        if (type is not ("monolithicSparse" or "streamOptimized"))
            findings.Add("image-kind", $"it is a VMDK of the kind '{type}'; monolithicSparse and streamOptimized are taken", Convert);
        if (!parent.Equals("ffffffff", StringComparison.OrdinalIgnoreCase))
            findings.Add("image-backing-file", "it is the difference to a parent, which would be read from this host");
        if (extents != 1) findings.Add("image-extent", $"its descriptor has {extents} extents; one, this file, is taken", Convert);
        return type;
    }

    private static void CheckExtent(string line, string[] words, Header header, Findings findings)
    {
        var name = words.Length == 4 ? words[3].Trim('"') : "";
        var isPlain = name.Length > 0 && words[3] == $"\"{name}\"" && !name.AsSpan().ContainsAny("/\\\":") && name is not ("." or "..");
        var isThis = words.Length == 4 && words[2] == "SPARSE" && isPlain
            && ulong.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var sectors) && sectors == header.Capacity;
        if (!isThis)
            findings.Add("image-extent",
                $"its descriptor has the extent {Findings.Printable(Encoding.ASCII.GetBytes(line))}, which is not this file",
                Convert);
    }

    private static string Value(string line) => line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim().Trim('"');

    private sealed record Header
    {
        public Header(ReadOnlySpan<byte> head)
        {
            (Version, Flags, Capacity, GrainSectors) = (head.Little32(4), head.Little32(8), head.Little64(12), head.Little64(20));
            (DescriptorAt, DescriptorSectors, EntriesPerTable) = (head.Little64(28), head.Little64(36), head.Little32(44));
            (RedundantAt, DirectoryAt, OverheadSectors, Compression) = (head.Little64(48), head.Little64(56), head.Little64(64),
                head.Little16(77));
            NewlinesAreRight = head[73..77].SequenceEqual("\n \r\n"u8);
        }

        public uint Version { get; }
        public uint Flags { get; }
        public ulong Capacity { get; }
        public ulong GrainSectors { get; }
        public ulong DescriptorAt { get; }
        public ulong DescriptorSectors { get; }
        public uint EntriesPerTable { get; }
        public ulong RedundantAt { get; init; }
        public ulong DirectoryAt { get; init; }
        public ulong OverheadSectors { get; init; }
        public ushort Compression { get; }
        public bool NewlinesAreRight { get; }
        /// <summary>What decides how the tables are read; the rest of a footer differs between programs.</summary>
        public (uint, uint, ulong, ulong, uint, ushort) Shape => (Version, Flags, Capacity, GrainSectors, EntriesPerTable, Compression);
        public bool HasNewlines => (Flags & NewlineFlag) != 0;
        public bool HasRedundant => (Flags & RedundantFlag) != 0;
    }
}
