namespace Godwit.Agent.Images;

/// <summary>
/// Which format a file is, by the same marks that QEMU goes by. A file that carries the mark of one format is never
/// taken for another, not even for raw: a tool that guesses would read it as what the mark says.
/// </summary>
internal static class ImageSignatures
{
    private const int HeadBytes = 4096, TrailerBytes = 512, TarMagicAt = 257;

    private static readonly (byte[] Mark, int At, ImageFormat Format)[] Known =
    [
        ([0x51, 0x46, 0x49, 0xfb], 0, ImageFormat.Qcow2), ("KDMV"u8.ToArray(), 0, ImageFormat.Vmdk),
        ("COWD"u8.ToArray(), 0, ImageFormat.Vmdk), ("# Disk DescriptorFile"u8.ToArray(), 0, ImageFormat.Vmdk),
        ("vhdxfile"u8.ToArray(), 0, ImageFormat.Vhdx), ("conectix"u8.ToArray(), 0, ImageFormat.Vhd),
        ("ustar"u8.ToArray(), TarMagicAt, ImageFormat.Ova),
    ];

    /// <summary>Disk formats that QEMU knows and this version does not take.</summary>
    private static readonly (byte[] Mark, int At, string Name)[] Foreign =
    [
        ("QED\0"u8.ToArray(), 0, "QED"), ([0x7f, 0x10, 0xda, 0xbe], 64, "VirtualBox VDI"), ([0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0],
            0, "VMDK seSparse"),
        ("WithoutFreeSpace"u8.ToArray(), 0, "Parallels"), ("WithouFreSpacExt"u8.ToArray(), 0, "Parallels"),
        ([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], 0, "LUKS"), ("Bochs Virtual HD Image"u8.ToArray(), 0, "Bochs"),
        ("#!/bin/sh\n#V2.0 Format\nmodprobe cloop"u8.ToArray(), 0, "cloop"),
    ];

    private static readonly (byte[] Mark, string Name)[] Packed =
    [
        ([0x1f, 0x8b], "gzip"), ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "xz"), ([0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        ("BZh"u8.ToArray(), "bzip2"), ([0x50, 0x4b, 0x03, 0x04], "zip"), ([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "7z"),
    ];

    /// <summary>The format to go on with; <paramref name="findings"/> has a reason where said and seen differ.</summary>
    public static ImageFormat Decide(ImageBytes image, ImageFormat? said, Findings findings)
    {
        var head = image.UpTo(0, HeadBytes);
        if (image.Length == 0) findings.Add("image-size", "the file is empty", "check that the file is complete");
        if (ForeignName(image, head) is { } foreign)
        {
            findings.Add("image-format-unknown", $"it is a {foreign} image, and those are not taken",
                $"convert it: qemu-img convert -O qcow2 IN OUT; {ImageFormats.Words} are taken");
            return said ?? ImageFormat.Raw;
        }
        if (said is null && Array.Find(Packed, p => head.AsSpan().StartsWith(p.Mark)) is { Name: { } packed })
            findings.Add("image-packed", $"the file is packed with {packed}", "unpack it, and import what was in it");

        var seen = Seen(image, head);
        if (said is { } word && word != (seen ?? ImageFormat.Raw)) AddDiffers(word, seen, findings);
        return said ?? seen ?? ImageFormat.Raw;
    }

    /// <summary>Null where nothing is recognised: raw, if anything.</summary>
    internal static ImageFormat? Seen(ImageBytes image, ReadOnlySpan<byte> head)
    {
        foreach (var (mark, at, format) in Known)
            if (head.Length > at && head[at..].StartsWith(mark)) return format;
        if (IsDescriptorText(head)) return ImageFormat.Vmdk;
        // Only a footer marks a VHD of fixed size; a raw disk may end like that by chance only if somebody made it so.
        return EndsWith(image, "conectix"u8) ? ImageFormat.Vhd : null;
    }

    private static void AddDiffers(ImageFormat said, ImageFormat? seen, Findings findings)
    {
        if (said == ImageFormat.Raw)
            findings.Add("image-not-raw", $"it was called raw, and begins or ends as {seen!.Value.Word()} images do",
                $"say --format {seen.Value.Word()}; if a guest wrote that into its disk: qemu-img convert -f raw -O qcow2 IN OUT");
        else
            findings.Add("image-format-differs",
                $"it was called {said.Word()}, and by its content is {seen?.Word() ?? "none of the formats known"}",
                seen is { } other ? $"say --format {other.Word()}" : "check the file; if it is a raw disk, say --format raw");
    }

    private static string? ForeignName(ImageBytes image, ReadOnlySpan<byte> head)
    {
        foreach (var (mark, at, name) in Foreign)
            if (head.Length > at && head[at..].StartsWith(mark)) return name;
        return EndsWith(image, "koly"u8) ? "Apple DMG" : null;
    }

    private static bool EndsWith(ImageBytes image, ReadOnlySpan<byte> mark)
    {
        Span<byte> last = stackalloc byte[8];
        return image.Length >= TrailerBytes && image.TryRead((ulong)image.Length - TrailerBytes, last) && last.StartsWith(mark);
    }

    /// <summary>As QEMU sees a VMDK descriptor: comments and empty lines, then a version.</summary>
    private static bool IsDescriptorText(ReadOnlySpan<byte> head)
    {
        foreach (var line in head.Split((byte)'\n'))
        {
            var text = head[line].Trim(" \t\r"u8);
            if (text.IsEmpty || text[0] == '#') continue;
            return text.StartsWith("version="u8);
        }
        return false;
    }
}
