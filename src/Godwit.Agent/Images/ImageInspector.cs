namespace Godwit.Agent.Images;

/// <summary>
/// Looks into a stranger's disk image before any other program opens it. A header can name other files of this host (as
/// backing file, data file, extent: CVE-2015-5163, CVE-2024-32498), have a tool connect somewhere (nbd:), or claim tables
/// that fill all memory. So: the format is found by content and must be the one that was said, every number is held
/// against the file's real length and a limit, and whatever names another file is refused. Reads, and does nothing else.
/// </summary>
public static class ImageInspector
{
    public const long VirtualBytesMax = 64L << 40;
    /// <summary>Of one table of block addresses; QEMU's own limit for qcow2.</summary>
    public const long TableBytesMax = 32 << 20;
    public const int Sector = 512;

    /// <param name="said">The format as the person said it; null lets the content decide.</param>
    public static ImageVerdict Inspect(ImageBytes image, ImageFormat? said)
    {
        var findings = new Findings();
        var format = ImageSignatures.Decide(image, said, findings);
        var found = findings.IsClean ? Look(image, format, findings) : null;
        return findings.IsClean && found is not null
            ? new ImageVerdict.Taken(found) : new ImageVerdict.Refused(findings.Reasons);
    }

    private static InspectedImage? Look(ImageBytes image, ImageFormat format, Findings findings)
    {
        if (format == ImageFormat.Ova) return OvaArchive.Inspect(image, findings);
        return Disk(image, format, findings) is not { } disk ? null : new InspectedImage
        {
            Format = format, Kind = disk.Kind, VirtualBytes = disk.VirtualBytes, Disk = new DiskPlace(format, 0, image.Length),
        };
    }

    /// <summary>Null only where <paramref name="findings"/> has got a reason.</summary>
    internal static (string Kind, long VirtualBytes)? Disk(ImageBytes image, ImageFormat format, Findings findings) => format switch
    {
        ImageFormat.Raw => Raw(image, findings),
        ImageFormat.Qcow2 => Qcow2Image.Inspect(image, findings),
        ImageFormat.Vmdk => VmdkImage.Inspect(image, findings),
        ImageFormat.Vhdx => VhdxImage.Inspect(image, findings),
        ImageFormat.Vhd => VhdImage.Inspect(image, findings),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "an archive is no disk"),
    };

    private static (string Kind, long VirtualBytes)? Raw(ImageBytes image, Findings findings) =>
        CheckSize((ulong)image.Length, findings) ? ("raw", image.Length) : null;

    /// <summary>What any disk is held to: whole sectors, not none, not more than <see cref="VirtualBytesMax"/>.</summary>
    internal static bool CheckSize(ulong virtualBytes, Findings findings)
    {
        if (virtualBytes is > 0 and <= VirtualBytesMax && virtualBytes % Sector == 0) return true;
        findings.Add("image-size", $"its disk size, {virtualBytes} bytes, is not a whole number of sectors of {Sector} bytes "
            + $"up to {VirtualBytesMax >> 40} TiB", "check that the file is complete and of the format it was called");
        return false;
    }
}
