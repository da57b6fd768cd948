using System.Text;
using static Godwit.Fuzz.MadeImages;

namespace Godwit.Tests.Agent.Images;

/// <summary>One thing that a stranger may try, and the code it is refused with.</summary>
/// <param name="Said">The format as a person says it, or null for auto.</param>
internal sealed record BadImage(string Name, string Code, string? Said, Func<byte[]> Build);

/// <summary>
/// The corpus: every trick of docs and CVEs that names another file, claims what is not there, or hides one thing behind
/// another. Built here; nothing is taken from elsewhere.
/// </summary>
internal static class BadImages
{
    public static IReadOnlyList<BadImage> All { get; } = [.. Qcow2s(), .. Raws(), .. Vmdks(), .. Vhds(), .. Vhdxs(), .. Ovas()];

    private static BadImage Bad(string name, string code, Func<byte[]> build, string? said = null) => new(name, code, said, build);

    private static byte[] Backed(string name, uint version = 3) =>
        Qcow2(version).Big64(8, 512).Big32(16, (uint)name.Length).Text(512, name);

    private static byte[] Extended(uint kind, string content, uint version = 3) => Qcow2(version)
        .Big32(version == 2 ? 72 : 112, kind).Big32(version == 2 ? 76 : 116, (uint)content.Length).Text(version == 2 ? 80 : 120, content);

    private static IEnumerable<BadImage> Qcow2s()
    {
        foreach (var name in (string[])["/etc/shadow", "../other.qcow2", "nbd://192.0.2.1:10809/x", "nbd:unix:/run/x.sock",
            """json:{"driver":"file","filename":"/etc/shadow"}""", "ssh://host/x", "http://169.254.169.254/", "fat:rw:/etc", "/dev/sda",
            "/proc/self/fd/3", "vvfat:/", "\u001b[2J", "a", new string('a', 1023)])
            yield return Bad($"qcow2 backed by {name[..Math.Min(name.Length, 40)].Replace('\u001b', 'E')}", "image-backing-file",
                () => Backed(name));
        yield return Bad("qcow2 v2 backed", "image-backing-file", () => Backed("/etc/passwd", 2), "qcow2");
        yield return Bad("qcow2 backing length without offset", "image-backing-file", () => Qcow2().Big32(16, 11));
        yield return Bad("qcow2 backing offset without length", "image-backing-file", () => Qcow2().Big64(8, 512));
        yield return Bad("qcow2 backing beyond the end", "image-backing-file", () =>
            Qcow2().Big64(8, ulong.MaxValue).Big32(16, uint.MaxValue));
        yield return Bad("qcow2 backing format extension", "image-backing-file", () => Extended(0xe2792aca, "raw"));
        yield return Bad("qcow2 external data bit", "image-data-file", () => Qcow2().Big64(72, 4));
        yield return Bad("qcow2 data file extension", "image-data-file", () => Extended(0x44415441, "/etc/shadow"));
        yield return Bad("qcow2 v2 data file extension", "image-data-file", () => Extended(0x44415441, "/etc/shadow", 2));
        yield return Bad("qcow2 data file as json", "image-data-file", () =>
            Extended(0x44415441, """json:{"driver":"nbd"}""").Big64(72, 4));
        yield return Bad("qcow2 AES", "image-encrypted", () => Qcow2().Big32(32, 1));
        yield return Bad("qcow2 LUKS", "image-encrypted", () => Qcow2().Big32(32, 2));
        yield return Bad("qcow2 crypto extension", "image-encrypted", () => Extended(0x0537be77, new string('\0', 16)));
        yield return Bad("qcow2 corrupt bit", "image-corrupt", () => Qcow2().Big64(72, 2));
        foreach (var bit in (int[])[5, 6, 31, 40, 63])
            yield return Bad($"qcow2 incompatible bit {bit}", "image-feature-unknown", () => Qcow2().Big64(72, 1ul << bit));
        yield return Bad("qcow2 compression 2", "image-feature-unknown", () => Qcow2().Big64(72, 8).With(i => i[104] = 2));
        yield return Bad("qcow2 compression without bit", "image-feature-unknown", () => Qcow2().With(i => i[104] = 1));
        foreach (var version in (uint[])[0, 1, 4, uint.MaxValue])
            yield return Bad($"qcow2 version {version}", "image-version", () => Qcow2().Big32(4, version));
        foreach (var size in (ulong[])[0, 1000, (64ul << 40) + 512, 1ul << 50, 1ul << 63, ulong.MaxValue])
            yield return Bad($"qcow2 of {size} bytes", "image-size", () => Qcow2().Big64(24, size));
        foreach (var bits in (uint[])[0, 8, 22, 63, 64, uint.MaxValue])
            yield return Bad($"qcow2 cluster bits {bits}", "image-cluster-size", () => Qcow2().Big32(20, bits));
        yield return Bad("qcow2 extended L2 in small clusters", "image-cluster-size", () => Qcow2().Big64(72, 16).Big32(20, 9));
        foreach (var bytes in (uint[])[0, 96, 105, 65_544, uint.MaxValue])
            yield return Bad($"qcow2 header of {bytes} bytes", "image-header", () => Qcow2().Big32(100, bytes));
        yield return Bad("qcow2 refcount order 7", "image-tables", () => Qcow2().Big32(96, 7));
        yield return Bad("qcow2 L1 of 2^32", "image-tables", () => Qcow2().Big32(36, uint.MaxValue));
        yield return Bad("qcow2 L1 too small", "image-tables", () => Qcow2().Big64(24, 1ul << 40));
        yield return Bad("qcow2 L1 empty", "image-tables", () => Qcow2().Big32(36, 0));
        yield return Bad("qcow2 L1 not aligned", "image-tables", () => Qcow2().Big64(40, 0x30008));
        yield return Bad("qcow2 L1 on the header", "image-tables", () => Qcow2().Big64(40, 0));
        yield return Bad("qcow2 L1 beyond the end", "image-short", () => Qcow2().Big64(40, 0x40000));
        yield return Bad("qcow2 L1 at 2^64", "image-short", () => Qcow2().Big64(40, ulong.MaxValue << 16));
        yield return Bad("qcow2 L1 entry beyond the end", "image-tables", () => Qcow2().Big64(0x30000, 0x8000_0000_0004_0000));
        yield return Bad("qcow2 L1 entry not aligned", "image-tables", () => Qcow2().Big64(0x30000, 0x8000_0000_0000_0200));
        yield return Bad("qcow2 refcounts of 2^32 clusters", "image-tables", () => Qcow2().Big32(56, uint.MaxValue));
        yield return Bad("qcow2 without refcounts", "image-tables", () => Qcow2().Big32(56, 0));
        yield return Bad("qcow2 refcounts beyond the end", "image-short", () => Qcow2().Big64(48, 1ul << 40));
        yield return Bad("qcow2 refcount entry beyond the end", "image-tables", () => Qcow2().Big64(0x10008, 1ul << 60));
        yield return Bad("qcow2 2^32 snapshots", "image-snapshots", () => Qcow2().Big32(60, uint.MaxValue));
        yield return Bad("qcow2 257 snapshots", "image-snapshots", () => Qcow2().Big32(60, 257));
        yield return Bad("qcow2 snapshots beyond the end", "image-short", () => Qcow2().Big32(60, 1).Big64(64, 0x40000));
        yield return Bad("qcow2 snapshot with L1 of 2^32", "image-snapshots", () =>
            Qcow2().Big32(60, 1).Big64(64, 0x20000).Big32(0x20008, uint.MaxValue));
        yield return Bad("qcow2 snapshot with 4 GiB extra", "image-snapshots", () =>
            Qcow2().Big32(60, 1).Big64(64, 0x20000).Big32(0x20024, uint.MaxValue));
        yield return Bad("qcow2 endless extensions", "image-extensions", () => Qcow2().With(i =>
        {
            for (var at = 112; at < 65_536; at += 8) i.Big32(at, 0x12345678);
        }));
        yield return Bad("qcow2 extension of 4 GiB", "image-extensions", () => Extended(0x12345678, "").Big32(116, uint.MaxValue));
        yield return Bad("qcow2 too many bitmaps", "image-tables", () => Extended(0x23852875, new string('\0', 24)).Big32(120, 65_535));
        yield return Bad("qcow2 bitmaps beyond the end", "image-tables", () =>
            Extended(0x23852875, new string('\0', 24)).Big64(136, 1ul << 50));
        foreach (var bytes in (int[])[4, 71, 80, 200, 65_536, 0x30000])
            yield return Bad($"qcow2 cut to {bytes} bytes", "image-short", () => Qcow2()[..bytes]);
    }

    private static IEnumerable<BadImage> Raws()
    {
        yield return Bad("an empty file", "image-size", () => []);
        yield return Bad("raw of 513 bytes", "image-size", () => new byte[513], "raw");
        yield return Bad("one byte", "image-size", () => [7]);
        yield return Bad("qcow2 header called raw", "image-not-raw", () => Backed("/etc/shadow"), "raw");
        yield return Bad("VMDK called raw", "image-not-raw", () => Vmdk(), "raw");
        yield return Bad("VMDK descriptor called raw", "image-not-raw", () => Descriptor("RW 8 FLAT \"/etc/shadow\" 0"), "raw");
        yield return Bad("VMDK descriptor behind comments called raw", "image-not-raw",
            () => new byte[1024].With(i => i.AsSpan().Fill((byte)' ')).Text(0, "# x\n  \r\n#y\nversion=1\n"), "raw");
        yield return Bad("VHDX called raw", "image-not-raw", Vhdx, "raw");
        yield return Bad("VHD called raw", "image-not-raw", VhdFixed, "raw");
        yield return Bad("OVA called raw", "image-not-raw", () => Ova(), "raw");
        yield return Bad("zeros called qcow2", "image-format-differs", () => new byte[4096], "qcow2");
        yield return Bad("qcow2 called vmdk", "image-format-differs", () => Qcow2(), "vmdk");
        yield return Bad("VMDK called qcow2", "image-format-differs", () => Vmdk(), "qcow2");
        foreach (var (mark, at, name) in ((string, int, string)[])[("QED\0", 0, "QED"), ("\u007f\u0010Ú¾", 64, "VDI"),
            ("WithoutFreeSpace", 0, "Parallels"),
            ("WithouFreSpacExt", 0, "Parallels 2"), ("LUKSº¾", 0, "LUKS"), ("Bochs Virtual HD Image", 0, "Bochs"),
            ("#!/bin/sh\n#V2.0 Format\nmodprobe cloop", 0, "cloop"), ("koly", 3584, "DMG"), ("¾ºþÊ\0\0\0\0", 0, "seSparse")])
        {
            yield return Bad($"{name} image", "image-format-unknown", () => new byte[4096].Text(at, mark));
            yield return Bad($"{name} image called raw", "image-format-unknown", () => new byte[4096].Text(at, mark), "raw");
        }
        foreach (var (mark, name) in ((string, string)[])[("\u001f\u008b", "gzip"), ("ý7zXZ\0", "xz"), ("(µ/ý", "zstd"), ("BZh9",
            "bzip2"), ("PK\u0003\u0004", "zip")])
            yield return Bad($"{name} file", "image-packed", () => new byte[4096].Text(0, mark));
    }

    private static byte[] Descriptor(string extent, string type = "monolithicFlat", string more = "") => Encoding.ASCII.GetBytes(
        $"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"{type}\"\n{more}\n{extent}\n".PadRight(1024));

    private static string Changed(string from, string to) => VmdkDescriptor.Replace(from, to, StringComparison.Ordinal);

    private static IEnumerable<BadImage> Vmdks()
    {
        foreach (var extent in (string[])["RW 2048 FLAT \"/etc/shadow\" 0", "RW 2048 FLAT \"../x\" 0", "RW 2048 SPARSE \"other.vmdk\"",
            "RW 2048 FLAT \"json:{}\" 0", "RW 2048 FLAT \"nbd://192.0.2.1/\" 0", "RW 2048 VMFS \"x-flat.vmdk\" 0", "RW 2048 ZERO"])
            yield return Bad($"VMDK descriptor with {extent}", "image-kind", () => Descriptor(extent));
        yield return Bad("VMDK descriptor of a device", "image-kind", () => Descriptor("RW 2048 FLAT \"/dev/sda\" 0", "fullDevice"));
        yield return Bad("VMDK descriptor without its comment", "image-kind", () =>
            Descriptor("RW 8 FLAT \"/etc/shadow\" 0")[22..], "vmdk");
        yield return Bad("VMDK that is only a descriptor inside", "image-kind", () => Vmdk().Little64(12, 0));
        yield return Bad("VMDK COWD", "image-kind", () => new byte[4096].Text(0, "COWD"));
        foreach (var type in (string[])["monolithicFlat", "twoGbMaxExtentFlat", "vmfs", "custom", "fullDevice", "seSparse", ""])
            yield return Bad($"VMDK of type '{type}'", "image-kind", () => Vmdk(Changed("monolithicSparse", type)));
        yield return Bad("VMDK with a parent", "image-backing-file", () =>
            Vmdk(Changed("ddb.", "parentFileNameHint=\"/etc/shadow\"\nddb.")));
        yield return Bad("VMDK with a parent behind the end of the text", "image-backing-file", () =>
            Vmdk(VmdkDescriptor + "\0parentFileNameHint=\"/etc/shadow\""));
        yield return Bad("VMDK with a parent behind the descriptor", "image-backing-file",
            () => Vmdk().Little64(36, 4).Text(512 * 6, "parentFileNameHint=\"/etc/shadow\""));
        yield return Bad("VMDK with a parent's CID", "image-backing-file", () => Vmdk(Changed("ffffffff", "12345678")));
        foreach (var extent in (string[])["RW 131072 SPARSE \"/etc/shadow\"", "RW 131072 SPARSE \"../x.vmdk\"",
            "RW 131072 FLAT \"x.raw\" 0",
            "RW 131072 SPARSE \"nbd:x\"", "RW 131072 SPARSE disk.vmdk", "RW 7 SPARSE \"disk.vmdk\"", "RW -1 SPARSE \"disk.vmdk\"",
                "RW 131072 SPARSE \"..\"",
            "RW 131072 ZERO", "RW 131072 SPARSE \"a\" \"/etc/shadow\""])
            yield return Bad($"VMDK with the extent {extent}", "image-extent", () =>
                Vmdk(Changed("RW 131072 SPARSE \"disk.vmdk\"", extent)));
        yield return Bad("VMDK with two extents", "image-extent", () => Vmdk(VmdkDescriptor + "\nRW 131072 SPARSE \"disk2.vmdk\""));
        yield return Bad("VMDK without extents", "image-extent", () => Vmdk(Changed("RW", "#RW")));
        yield return Bad("VMDK encrypted", "image-encrypted", () => Vmdk(Changed("ddb.", "encryption.keySafe = \"x\"\nddb.")));
        yield return Bad("VMDK descriptor with control characters", "image-descriptor", () => Vmdk(Changed("CID=6a", "CID=\u001b[2J")));
        yield return Bad("VMDK descriptor elsewhere", "image-descriptor", () => Vmdk().Little64(28, 40));
        yield return Bad("VMDK without descriptor", "image-descriptor", () => Vmdk().Little64(28, 0).Little64(36, 0));
        yield return Bad("VMDK descriptor of 2^64 sectors", "image-descriptor", () => Vmdk().Little64(36, ulong.MaxValue));
        yield return Bad("VMDK descriptor of 65 KiB", "image-descriptor", () => Vmdk().Little64(36, 130));
        yield return Bad("VMDK version 4", "image-version", () => Vmdk().Little32(4, 4));
        yield return Bad("VMDK version 0", "image-version", () => Vmdk().Little32(4, 0));
        yield return Bad("VMDK of 2^64 sectors", "image-size", () => Vmdk().Little64(12, ulong.MaxValue));
        yield return Bad("VMDK of 128 TiB", "image-size", () => Vmdk().Little64(12, 1ul << 38));
        foreach (var grain in (ulong[])[0, 1, 7, 96, 1 << 16, ulong.MaxValue])
            yield return Bad($"VMDK grains of {grain}", "image-cluster-size", () => Vmdk().Little64(20, grain));
        yield return Bad("VMDK grain tables of 2^32", "image-tables", () => Vmdk().Little32(44, uint.MaxValue));
        yield return Bad("VMDK grain tables of 0", "image-tables", () => Vmdk().Little32(44, 0));
        yield return Bad("VMDK directory of 64 TiB in small grains", "image-tables", () =>
            Vmdk().Little64(12, 1ul << 37).Little64(20, 8).Little32(44, 1));
        yield return Bad("VMDK directory entry beyond the end", "image-tables", () => Vmdk().Little32(21 * 512, 0xfffffff0));
        yield return Bad("VMDK directory beyond the end", "image-short", () => Vmdk().Little64(56, 1ul << 40));
        yield return Bad("VMDK directory at 2^63", "image-short", () => Vmdk().Little64(56, 1ul << 63));
        yield return Bad("VMDK redundant directory beyond the end", "image-short", () => Vmdk().Little32(8, 3).Little64(48, 1ul << 40));
        yield return Bad("VMDK overhead beyond the end", "image-short", () => Vmdk().Little64(64, 1ul << 40));
        yield return Bad("VMDK unknown flag", "image-feature-unknown", () => Vmdk().Little32(8, 0x101));
        yield return Bad("VMDK unknown compression", "image-feature-unknown", () => Vmdk().Little16(77, 2));
        yield return Bad("VMDK damaged as text", "image-corrupt", () => Vmdk().Text(73, "\n \n\n"));
        yield return Bad("VMDK stream without footer", "image-short", () => VmdkStream()[..^512]);
        yield return Bad("VMDK stream whose footer says another size", "image-header", () => VmdkStream().With(i =>
            i.Little64(i.Length - 1024 + 12, 8)));
        yield return Bad("VMDK stream whose footer has no directory", "image-header",
            () => VmdkStream().With(i => i.Little64(i.Length - 1024 + 56, ulong.MaxValue)));
        yield return Bad("VMDK stream whose footer leads out", "image-short", () => VmdkStream().With(i =>
            i.Little64(i.Length - 1024 + 56, 1ul << 50)));
        foreach (var bytes in (int[])[100, 512, 1024]) yield return Bad($"VMDK cut to {bytes} bytes", "image-short", () =>
            Vmdk()[..bytes]);
    }

    private static IEnumerable<BadImage> Vhds()
    {
        byte[] Fixed(Action<byte[]> change) => VhdSummed(VhdFixed().With(change));
        byte[] Dynamic(Action<byte[]> change) => VhdSummed(VhdDynamic().With(change));
        byte[] Both(int at, uint value) => Dynamic(i => i.Big32(at, value).Big32(i.Length - 512 + at, value));
        yield return Bad("VHD differencing", "image-backing-file", () => Both(60, 4));
        yield return Bad("VHD with a parent's name", "image-backing-file", () => Dynamic(i => i.Text(512 + 64, "\0/\0e\0t\0c")));
        yield return Bad("VHD with a parent's id", "image-backing-file", () => Dynamic(i => i[512 + 40] = 1));
        yield return Bad("VHD with a parent locator", "image-backing-file", () => Dynamic(i => i.Text(512 + 576, "W2ku")));
        yield return Bad("VHD type 9", "image-kind", () => Both(60, 9));
        yield return Bad("VHD version 2", "image-version", () => Both(12, 0x20000));
        yield return Bad("VHD wrong checksum", "image-corrupt", () => VhdFixed().With(i => i[^1] ^= 1));
        yield return Bad("VHD wrong dynamic checksum", "image-corrupt", () => VhdDynamic().With(i => i[512 + 1000] ^= 1));
        yield return Bad("VHD fixed that claims more", "image-short", () => Fixed(i => i.Big64((1 << 20) + 48, 2 << 20)));
        yield return Bad("VHD of 2^64 bytes", "image-size", () => Fixed(i => i.Big64((1 << 20) + 48, ulong.MaxValue)));
        yield return Bad("VHD of 0 bytes", "image-size", () => Fixed(i => i.Big64((1 << 20) + 48, 0)));
        yield return Bad("VHD with two stories", "image-header", () => VhdSummed(VhdDynamic().Big64(48, 1 << 20)));
        yield return Bad("VHD header beyond the end", "image-short", () => Dynamic(i =>
            i.Big64(16, 1ul << 40).Big64(i.Length - 512 + 16, 1ul << 40)));
        yield return Bad("VHD blocks of 3 MiB", "image-cluster-size", () => Dynamic(i => i.Big32(544, 3 << 20)));
        yield return Bad("VHD blocks of 512 bytes", "image-cluster-size", () => Dynamic(i => i.Big32(544, 512)));
        yield return Bad("VHD table of 2^32", "image-tables", () => Dynamic(i => i.Big32(540, uint.MaxValue)));
        yield return Bad("VHD table too small", "image-tables", () => Dynamic(i => i.Big32(540, 31)));
        yield return Bad("VHD table beyond the end", "image-short", () => Dynamic(i => i.Big64(528, ulong.MaxValue - 10)));
        yield return Bad("VHD block beyond the end", "image-tables", () => Dynamic(i => i.Big32(2048, 0x7fffffff)));
        yield return Bad("VHD dynamic version", "image-version", () => Dynamic(i => i.Big32(536, 0x20000)));
        yield return Bad("VHD without its end", "image-short", () => VhdDynamic()[..^512]);
    }

    private static IEnumerable<BadImage> Vhdxs()
    {
        byte[] Made(Action<byte[]> change) => VhdxSummed(Vhdx().With(change));
        const int regions = 192 << 10, values = VhdxMetadataAt + (64 << 10);
        yield return Bad("VHDX with a parent", "image-backing-file", () => Made(i => i.Little32(values + 4, 2)));
        yield return Bad("VHDX with a parent locator", "image-backing-file", () => Made(i =>
            VhdxItem(i.Little16(VhdxMetadataAt + 10, 4), 3, "a8d35f2d-b30b-454d-abf7-d3d84834ab0c", 64)));
        yield return Bad("VHDX unknown required region", "image-feature-unknown", () => Made(i =>
            VhdxEntry(i.Little32(regions + 8, 3).Little32(regions + 80 + 28, 1), regions + 80, "11111111-2222-3333-4444-555555555555")));
        yield return Bad("VHDX unknown required metadata", "image-feature-unknown", () => Made(i =>
            VhdxItem(i.Little16(VhdxMetadataAt + 10, 4), 3, "11111111-2222-3333-4444-555555555555", 64)));
        yield return Bad("VHDX version 2", "image-version", () => Made(i => i.Little16((64 << 10) + 66, 2)));
        yield return Bad("VHDX log version 1", "image-version", () => Made(i => i.Little16((64 << 10) + 64, 1)));
        yield return Bad("VHDX log beyond the end", "image-tables", () => Made(i => i.Little64((64 << 10) + 72, 1ul << 50)));
        yield return Bad("VHDX log of 4 GiB", "image-tables", () => Made(i => i.Little32((64 << 10) + 68, 0xfff00000)));
        yield return Bad("VHDX without a whole header", "image-header", () => Vhdx().With(i =>
            (i[(64 << 10) + 9], i[(128 << 10) + 9]) = (1, 1)));
        yield return Bad("VHDX without a whole region table", "image-header", () => Vhdx().With(i => i[regions + 100] = 1));
        yield return Bad("VHDX 2^32 regions", "image-tables", () => Made(i => i.Little32(regions + 8, uint.MaxValue)));
        yield return Bad("VHDX region beyond the end", "image-short", () => Made(i => i.Little64(regions + 32, 1ul << 60)));
        yield return Bad("VHDX region twice", "image-header", () => Made(i =>
            VhdxEntry(i, regions + 48, "2dc27766-f623-4200-9d64-115e9bfd4a08")));
        yield return Bad("VHDX without metadata region", "image-header", () => Made(i => i.Little32(regions + 8, 1)));
        yield return Bad("VHDX metadata that are not", "image-header", () => Made(i => i[VhdxMetadataAt] = 0));
        yield return Bad("VHDX 65535 items", "image-tables", () => Made(i => i.Little16(VhdxMetadataAt + 10, 65_535)));
        yield return Bad("VHDX item beyond its region", "image-short", () => Made(i => i.Little32(VhdxMetadataAt + 48, 0xffffffff)));
        yield return Bad("VHDX item twice", "image-header", () => Made(i => VhdxItem(i, 1, "caa16737-fa36-4d43-b3b6-33f0aa44e76b", 8)));
        yield return Bad("VHDX without sizes", "image-header", () => Made(i => i.Little16(VhdxMetadataAt + 10, 1)));
        yield return Bad("VHDX item too short", "image-short", () => Made(i => i.Little32(VhdxMetadataAt + 52, 4)));
        yield return Bad("VHDX of 2^64 bytes", "image-size", () => Made(i => i.Little64(values + 16, ulong.MaxValue)));
        yield return Bad("VHDX of 65 TiB", "image-size", () => Made(i => i.Little64(values + 16, 65ul << 40)));
        yield return Bad("VHDX sectors of 7", "image-size", () => Made(i => i.Little32(values + 32, 7)));
        yield return Bad("VHDX blocks of 0", "image-cluster-size", () => Made(i => i.Little32(values, 0)));
        yield return Bad("VHDX blocks of 3 MiB", "image-cluster-size", () => Made(i => i.Little32(values, 3 << 20)));
        yield return Bad("VHDX block table larger than its region", "image-tables", () => Made(i => i.Little64(values + 16, 60ul << 40)));
        yield return Bad("VHDX block beyond the end", "image-tables", () => Made(i => i.Little64(VhdxBatAt, (1ul << 50) + 6)));
        yield return Bad("VHDX block of a difference", "image-tables", () => Made(i => i.Little64(VhdxBatAt, 7)));
        yield return Bad("VHDX cut", "image-header", () => Vhdx()[..(64 << 10)]);
    }

    private static IEnumerable<BadImage> Ovas()
    {
        foreach (var name in (string[])["/etc/cron.d/x", "../x", "..", ".", "a/b", "a/../b", "./disk2.vmdk", "-rf", ".hidden",
            "a\u0001b", "a\nb", "", "x\\y", "café"])
            yield return Bad($"OVA with the entry '{name.Replace('\n', 'N').Replace('\u0001', '1')}'", "archive-entry", () =>
                Ova(null, TarFile(name, [1])));
        foreach (var (type, what) in ((char, string)[])[('1', "hard link"), ('2', "symbolic link"), ('3', "character device"),
            ('4', "block device"),
            ('5', "directory"), ('6', "pipe"), ('7', "contiguous"), ('x', "pax header"), ('g', "global pax header"), ('L',
                "GNU long name"), ('K', "GNU long link"),
            ('S', "GNU sparse"), ('D', "GNU directory"), ('M', "GNU continuation"), ('V', "GNU volume")])
            yield return Bad($"OVA with a {what}", "archive-entry", () => Ova(null, TarFile("x", [], type, "/etc/shadow")));
        yield return Bad("OVA with a link name on a plain file", "archive-entry", () => Ova(null, TarFile("x", [1], '0', "/etc/shadow")));
        yield return Bad("OVA with a prefix", "archive-entry", () => Ova(null, TarSummed(TarHeader("x", "0").Text(345, "/etc"))));
        yield return Bad("OVA with a file twice", "archive-entry", () => Ova(null, TarFile("disk.vmdk", Vmdk())));
        yield return Bad("OVA with a file twice in capitals", "archive-entry", () => Ova(null, TarFile("DISK.vmdk", Vmdk())));
        yield return Bad("OVA with a file nobody listed", "archive-entry", () => Ova(null, TarFile("payload.sh", [1])));
        yield return Bad("OVA with a wrong checksum", "archive-entry", () => Ova().With(i => i[0] = (byte)'w'));
        yield return Bad("OVA with bytes behind its end", "archive-entry", () => [.. Ova(), .. TarFile("x", [1])]);
        yield return Bad("OVA with bytes 2 MiB behind its end", "archive-entry", () => [.. Ova(), .. new byte[2 << 20], 1]);
        foreach (var size in (string[])["77777777777", "00000200000"])
            yield return Bad($"OVA with a size of {size}", "image-short", () =>
                [.. Ova()[..^1024], .. TarHeader("x", size), .. new byte[1024]]);
        foreach (var size in (string[])["-1", "9", "0x10", "\u0080\u0001\0\0\0\0\0\0\0\0\0\0", "\u0080\0\0\0\u00ff\0\0\0\0\0\0\0",
            "ÿÿÿÿÿÿÿÿÿÿÿÿ", ""])
            yield return Bad($"OVA with a size of '{Convert.ToHexString(Encoding.Latin1.GetBytes(size))}'", "archive-entry",
                () => [.. Ova()[..^1024], .. TarHeader("x", size), .. new byte[1024]]);
        yield return Bad("OVA with a binary size of 2^62", "image-short",
            () => [.. Ova()[..^1024], .. TarHeader("x", "\u0080\0\0\0@\0\0\0\0\0\0\0"), .. new byte[1024]]);
        yield return Bad("OVA with 65 files", "archive-entries", () => Ova(null, [.. Enumerable.Range(0, 65).Select(i =>
            TarFile($"f{i}", []))]));
        yield return Bad("tar without OVF", "archive-ovf", () => [.. TarFile("disk.vmdk", Vmdk()), .. new byte[1024]]);
        yield return Bad("tar whose OVF is not the first", "archive-ovf",
            () => [.. TarFile("disk.vmdk", Vmdk()), .. TarFile("vm.ovf", Encoding.UTF8.GetBytes(Ovf())), .. new byte[1024]]);
        yield return Bad("OVA with two OVFs", "archive-ovf", () => Ova(null, TarFile("b.ovf", [1])));
        yield return Bad("OVA with an empty OVF", "archive-ovf", () => [.. TarFile("vm.ovf", []), .. new byte[1024]]);
        yield return Bad("OVA with an OVF of 2 MiB", "archive-ovf", () => Ova(Ovf().PadRight(2 << 20)));
        yield return Bad("OVF with an external entity", "archive-ovf",
            () => Ova("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/shadow\">]>" + Ovf()[Ovf().IndexOf("<Env",
                StringComparison.Ordinal)..]));
        yield return Bad("OVF with a billion laughs", "archive-ovf", () =>
            Ova("<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>"));
        yield return Bad("OVF that is not XML", "archive-ovf", () => Ova("{}"));
        yield return Bad("OVF that ends early", "archive-ovf", () => Ova(Ovf()[..200]));
        yield return Bad("OVF 100,000 deep", "archive-ovf", () => Ova(string.Concat(Enumerable.Repeat("<a>", 100_000))));
        yield return Bad("OVF of 30,000 elements", "archive-ovf", () =>
            Ova($"<x>{string.Concat(Enumerable.Repeat("<a/>", 30_000))}</x>"));
        yield return Bad("OVF of 100 files", "archive-ovf", () => Ova(Ovf(string.Concat(Enumerable.Repeat("<File/>", 100)))));
        foreach (var href in (string[])["/etc/shadow", "../disk.vmdk", "http://192.0.2.1/disk.vmdk", "file:///etc/shadow",
            "missing.vmdk", ""])
            yield return Bad($"OVF with the file '{href}'", "archive-ovf", () => Ova(Ovf($"""<File ovf:id="f1" ovf:href="{href}"/>""")));
        yield return Bad("OVF with a size that lies", "archive-ovf", () =>
            Ova(Ovf("""<File ovf:id="f1" ovf:href="disk.vmdk" ovf:size="1"/>""")));
        yield return Bad("OVF with a size that is none", "archive-ovf", () =>
            Ova(Ovf("""<File ovf:id="f1" ovf:href="disk.vmdk" ovf:size="-1"/>""")));
        yield return Bad("OVF with a file twice", "archive-ovf", () =>
            Ova(Ovf(string.Concat(Enumerable.Repeat("""<File ovf:id="f1" ovf:href="disk.vmdk"/>""", 2)))));
        yield return Bad("OVF with gzip", "image-packed", () =>
            Ova(Ovf("""<File ovf:id="f1" ovf:href="disk.vmdk" ovf:compression="gzip"/>""")));
        yield return Bad("OVF in chunks", "image-packed", () =>
            Ova(Ovf("""<File ovf:id="f1" ovf:href="disk.vmdk" ovf:chunkSize="512"/>""")));
        yield return Bad("OVF without disk", "image-disks", () => Ova(Ovf(disks: "")));
        yield return Bad("OVF with two disks", "image-disks", () =>
            Ova(Ovf(disks: """<Disk ovf:fileRef="f1"/><Disk ovf:fileRef="f1"/>""")));
        yield return Bad("OVF with a disk of no file", "archive-ovf", () => Ova(Ovf(disks: """<Disk ovf:fileRef="f9"/>""")));
        yield return Bad("OVF with a parent disk", "image-backing-file", () =>
            Ova(Ovf(disks: """<Disk ovf:fileRef="f1" ovf:parentRef="d0"/>""")));
        byte[] WithDisk(byte[] disk) =>
            [.. TarFile("vm.ovf", Encoding.UTF8.GetBytes(Ovf())), .. TarFile("disk.vmdk", disk), .. new byte[1024]];
        yield return Bad("OVA with a VMDK descriptor", "image-kind", () => WithDisk(Descriptor("RW 8 FLAT \"/etc/shadow\" 0")));
        yield return Bad("OVA with a backed qcow2", "image-backing-file", () => WithDisk(Backed("/etc/shadow")));
        yield return Bad("OVA with a VMDK with a parent", "image-backing-file", () =>
            WithDisk(Vmdk(Changed("ddb.", "parentFileNameHint=\"x\"\nddb."))));
        yield return Bad("OVA with a raw disk", "image-format-unknown", () => WithDisk(new byte[1024]));
        yield return Bad("OVA in an OVA", "image-format-unknown", () => WithDisk(Ova()));
        foreach (var line in (string[])["SHA256(disk.vmdk)= 00", "MD5(disk.vmdk)= 00000000000000000000000000000000",
            "SHA256(/etc/shadow)= " + new string('0', 64),
            "SHA256(disk.vmdk)= " + new string('0', 64) + "\nSHA256(disk.vmdk)= " + new string('1', 64), "x"])
            yield return Bad($"OVA with the manifest {line[..Math.Min(line.Length, 24)]}", "archive-manifest",
                () => Ova(null, TarFile("vm.mf", Encoding.ASCII.GetBytes(line))));
        yield return Bad("OVA with two manifests", "archive-manifest", () => Ova(null, TarFile("a.mf", [10]), TarFile("b.mf", [10])));
        yield return Bad("OVA with a manifest of 65 KiB", "archive-manifest", () => Ova(null, TarFile("a.mf", new byte[65 << 10])));
        foreach (var bytes in (int[])[600, 700, 3000, 20_000]) yield return Bad($"OVA cut to {bytes} bytes", "image-short", () =>
            Ova()[..bytes]);
    }
}
