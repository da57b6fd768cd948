using System.Buffers.Binary;
using System.Text;
using Godwit.Agent.Images;

namespace Godwit.Fuzz;

/// <summary>Small whole images, built field by field, that the inspector takes; bad ones are these with one thing changed.</summary>
internal static class MadeImages
{
    public const int VmdkSectors = 131_072, VhdxMetadataAt = 2 << 20, VhdxBatAt = 3 << 20, VhdxDiskBytes = 64 << 20;
    public const string VmdkDescriptor = """
        # Disk DescriptorFile
        version=1
        CID=6a5b4c3d
        parentCID=ffffffff
        createType="monolithicSparse"
        # Extent description
        RW 131072 SPARSE "disk.vmdk"
        # The Disk Data Base
        ddb.virtualHWVersion = "4"
        """;

    public static byte[] With(this byte[] image, Action<byte[]> change)
    {
        change(image);
        return image;
    }

    public static byte[] Big32(this byte[] image, int at, uint value) =>
        image.With(i => BinaryPrimitives.WriteUInt32BigEndian(i.AsSpan(at), value));
    public static byte[] Big64(this byte[] image, int at, ulong value) =>
        image.With(i => BinaryPrimitives.WriteUInt64BigEndian(i.AsSpan(at), value));
    public static byte[] Little16(this byte[] image, int at, ushort value) =>
        image.With(i => BinaryPrimitives.WriteUInt16LittleEndian(i.AsSpan(at), value));
    public static byte[] Little32(this byte[] image, int at, uint value) =>
        image.With(i => BinaryPrimitives.WriteUInt32LittleEndian(i.AsSpan(at), value));
    public static byte[] Little64(this byte[] image, int at, ulong value) =>
        image.With(i => BinaryPrimitives.WriteUInt64LittleEndian(i.AsSpan(at), value));
    public static byte[] Text(this byte[] image, int at, string text) =>
        image.With(i => Encoding.Latin1.GetBytes(text).CopyTo(i.AsSpan(at)));

    /// <summary>What qemu-img writes for a blank disk of 64 MiB: clusters of 64 KiB, one L1 entry.</summary>
    public static byte[] Qcow2(uint version = 3)
    {
        var image = new byte[256 << 10].Big32(0, 0x514649fb).Big32(4, version).Big32(20, 16).Big64(24, 64 << 20)
            .Big32(36, 1).Big64(40, 0x30000).Big64(48, 0x10000).Big32(56, 1).Big64(0x10000, 0x20000);
        return version < 3 ? image : image.Big32(96, 4).Big32(100, 112);
    }

    /// <summary>A disk of 64 MiB: header, descriptor, directory of two grain tables.</summary>
    public static byte[] Vmdk(string? descriptor = null) =>
        VmdkHeader(new byte[64 << 10], 0, directoryAt: 21).Text(512, descriptor ?? VmdkDescriptor).Little32(21 * 512, 22)
            .Little32(21 * 512 + 4, 26);

    /// <summary>As VMware exports: the directory is found from a footer at the end.</summary>
    public static byte[] VmdkStream()
    {
        var image = Vmdk(VmdkDescriptor.Replace("monolithicSparse", "streamOptimized", StringComparison.Ordinal));
        image.Little32(8, 0x30001).Little16(77, 1).Little64(56, ulong.MaxValue);
        var footer = image.Length - 1536;
        VmdkHeader(image, footer + 512, directoryAt: 21).Little32(footer + 512 + 8, 0x30001).Little16(footer + 512 + 77, 1);
        return image.Little64(footer, 1).Little32(footer + 12, 3);
    }

    private static byte[] VmdkHeader(byte[] image, int at, ulong directoryAt) => image.Text(at, "KDMV").Little32(at + 4, 1)
        .Little32(at + 8, 1).Little64(at + 12, VmdkSectors).Little64(at + 20, 128).Little64(at + 28, 1).Little64(at + 36, 20)
        .Little32(at + 44, 512).Little64(at + 56, directoryAt).Little64(at + 64, 30).Text(at + 73, "\n \r\n");

    public static byte[] VhdFixed() => VhdFooter(new byte[(1 << 20) + 512], 1 << 20, 1 << 20, 2);

    public static byte[] VhdDynamic()
    {
        var image = VhdFooter(VhdFooter(new byte[8 << 10], 0, 64 << 20, 3), (8 << 10) - 512, 64 << 20, 3);
        image.Text(512, "cxsparse").Big64(520, ulong.MaxValue).Big64(528, 2048).Big32(536, 0x10000).Big32(540, 32).Big32(544, 2 << 20);
        image.AsSpan(2048, 128).Fill(0xff);
        return VhdSummed(image);
    }

    /// <summary>Both checksums made right again after a change.</summary>
    public static byte[] VhdSummed(byte[] image)
    {
        var end = image.Length - 512;
        image.Big32(end + 64, VhdImage.Checksum(image.AsSpan(end, 512), 64));
        if (!image.AsSpan().StartsWith("conectix"u8)) return image;
        image.Big32(64, VhdImage.Checksum(image.AsSpan(0, 512), 64));
        return image.Big32(548, VhdImage.Checksum(image.AsSpan(512, 1024), 36));
    }

    private static byte[] VhdFooter(byte[] image, int at, ulong virtualBytes, uint type)
    {
        image.Text(at, "conectix").Big32(at + 8, 2).Big32(at + 12, 0x10000).Big64(at + 16, type == 2 ? ulong.MaxValue : 512)
            .Big64(at + 40, virtualBytes).Big64(at + 48, virtualBytes).Big32(at + 60, type);
        return image.Big32(at + 64, VhdImage.Checksum(image.AsSpan(at, 512), 64));
    }

    /// <summary>A disk of 64 MiB in blocks of 32 MiB; log at 1 MiB, metadata at 2 MiB, block table at 3 MiB.</summary>
    public static byte[] Vhdx()
    {
        var image = new byte[4 << 20].Text(0, "vhdxfile");
        foreach (var at in (int[])[64 << 10, 128 << 10])
            image.Text(at, "head").Little64(at + 8, 1).Little16(at + 66, 1).Little32(at + 68, 1 << 20).Little64(at + 72, 1 << 20);
        foreach (var at in (int[])[192 << 10, 256 << 10])
        {
            image.Text(at, "regi").Little32(at + 8, 2);
            VhdxEntry(image, at + 16, "2dc27766-f623-4200-9d64-115e9bfd4a08").Little64(at + 32, VhdxBatAt).Little32(at + 40,
                1 << 20).Little32(at + 44, 1);
            VhdxEntry(image, at + 48, "8b7ca206-4790-4b9a-b8fe-575f050f886e").Little64(at + 64, VhdxMetadataAt).Little32(at + 72,
                1 << 20);
        }
        image.Text(VhdxMetadataAt, "metadata").Little16(VhdxMetadataAt + 10, 3);
        VhdxItem(image, 0, "caa16737-fa36-4d43-b3b6-33f0aa44e76b", 8);
        VhdxItem(image, 1, "2fa54224-cd1b-4876-b211-5dbed83bf4b8", 8);
        VhdxItem(image, 2, "8141bf1d-a96f-4709-ba47-f233a8faab5f", 4);
        var values = VhdxMetadataAt + (64 << 10);
        return VhdxSummed(image.Little32(values, 32 << 20).Little64(values + 16, VhdxDiskBytes).Little32(values + 32, 512));
    }

    public static byte[] VhdxItem(byte[] image, int index, string id, uint bytes) =>
        VhdxEntry(image, VhdxMetadataAt + 32 + 32 * index, id)
        .Little32(VhdxMetadataAt + 48 + 32 * index, (64u << 10) + 16 * (uint)index).Little32(VhdxMetadataAt + 52 + 32 * index, bytes)
        .Little32(VhdxMetadataAt + 56 + 32 * index, 6);

    public static byte[] VhdxEntry(byte[] image, int at, string id) => image.With(i => new Guid(id).TryWriteBytes(i.AsSpan(at)));

    public static byte[] VhdxSummed(byte[] image)
    {
        foreach (var (at, bytes) in ((int, int)[])[(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)])
            image.Little32(at + 4, VhdxImage.Checksum(image.AsSpan(at, bytes)));
        return image;
    }

    public static string Ovf(string files = """<File ovf:id="f1" ovf:href="disk.vmdk"/>""",
        string disks = """<Disk ovf:diskId="d1" ovf:fileRef="f1"/>""") => $"""
        <?xml version="1.0"?>
        <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
          <References>{files}</References>
          <DiskSection><Info>disks</Info>{disks}</DiskSection>
        </Envelope>
        """;

    public static byte[] Ova(string? ovf = null, params IEnumerable<byte[]> more) =>
        [.. TarFile("vm.ovf", Encoding.UTF8.GetBytes(ovf ?? Ovf())), .. TarFile("disk.vmdk", VmdkStream()), .. more.SelectMany(m =>
            m), .. new byte[1024]];

    public static byte[] TarFile(string name, byte[] content, char type = '0', string link = "") =>
        [.. TarHeader(name, Convert.ToString(content.Length, 8).PadLeft(11, '0'), type, link), .. content,
            .. new byte[(512 - content.Length % 512) % 512]];

    public static byte[] TarHeader(string name, string size, char type = '0', string link = "") => TarSummed(new byte[512]
        .Text(0, name).Text(100, "0000644").Text(124, size).Text(156, type.ToString()).Text(157, link).Text(257, "ustar\0" + "00"));

    public static byte[] TarSummed(byte[] header)
    {
        header.AsSpan(148, 8).Fill((byte)' ');
        return header.Text(148, Convert.ToString(header.Sum(b => b), 8).PadLeft(6, '0') + "\0");
    }
}
