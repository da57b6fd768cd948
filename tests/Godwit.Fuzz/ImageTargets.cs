using System.Text;
using Godwit.Agent.Images;

namespace Godwit.Fuzz;

/// <summary>
/// The inspector always answers with a verdict, having read and allocated within limits. Where a format has checksums
/// they are made right first, or a fuzzer would never get past them.
/// </summary>
internal static class ImageTargets
{
    public const long ReadBytesMax = 200 << 20, AllocatedBytesMax = 16 << 20;
    public static readonly (string, string) Code = ("Godwit.Agent.dll", "Godwit.Agent.Images");
    /// <summary>Where the pieces of <see cref="Vhdx"/> lie: header, regions, metadata, values, block table.</summary>
    private static readonly int[] VhdxPlaces =
        [64 << 10, 192 << 10, MadeImages.VhdxMetadataAt, MadeImages.VhdxMetadataAt + (64 << 10), MadeImages.VhdxBatAt];
    private const int VhdxPieceBytes = 256, Block = 512;

    public static IEnumerable<byte[]> Seeds() =>
    [
        SmallQcow2(3), SmallQcow2(2), SmallQcow2(3).Big32(112, 0x23852875).Big32(116, 24), SmallQcow2(3).Big32(60, 1).Big64(64, 1536),
        MadeImages.Vmdk()[..(16 << 10)], MadeImages.VmdkStream(), MadeImages.VhdDynamic(), new byte[1024],
        Encoding.ASCII.GetBytes(MadeImages.VmdkDescriptor),
    ];

    public static void Any(byte[] bytes)
    {
        Verdict(bytes, null);
        Verdict(bytes, (ImageFormat)(bytes.Length % 6));
    }

    public static void Vhd(byte[] bytes) => Verdict(bytes.Length >= 1600 ? MadeImages.VhdSummed(bytes) : bytes, ImageFormat.Vhd);

    public static byte[] VhdxPieces() => [.. VhdxPlaces.SelectMany(at => MadeImages.Vhdx().AsSpan(at, VhdxPieceBytes).ToArray())];

    public static void Vhdx(byte[] pieces)
    {
        var image = MadeImages.Vhdx();
        for (var i = 0; i < VhdxPlaces.Length; i++)
            pieces.AsSpan(Math.Min(pieces.Length, i * VhdxPieceBytes))[..Math.Clamp(pieces.Length - i * VhdxPieceBytes, 0,
                VhdxPieceBytes)]
                .CopyTo(image.AsSpan(VhdxPlaces[i]));
        Verdict(MadeImages.VhdxSummed(image), ImageFormat.Vhdx);
    }

    public static byte[] OvaWithManifest() => MadeImages.Ova(null,
        MadeImages.TarFile("vm.mf",
            Encoding.ASCII.GetBytes($"SHA256(disk.vmdk)= {new string('a', 64)}\nSHA1(vm.ovf)= {new string('b', 40)}\n")));

    public static void Ova(byte[] archive)
    {
        for (int at = 0, files = 0; at + Block <= archive.Length && files < 70; files++)
        {
            var header = archive.AsSpan(at, Block);
            if (!header.ContainsAnyExcept((byte)0)) break;
            MadeImages.TarSummed(header.ToArray()).CopyTo(header);
            var size = 0L;
            foreach (var digit in header.Slice(124, 11)) size = digit is >= (byte)'0' and <= (byte)'7' ? size * 8 + digit - '0' : size;
            at += (int)Math.Min(archive.Length, Block + (size + Block - 1) / Block * Block);
        }
        Verdict(archive, ImageFormat.Ova);
    }

    public static ImageVerdict Verdict(byte[] bytes, ImageFormat? said)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        var verdict = ImageInspector.Inspect(new ImageBytes(new CountedFile(bytes, ReadBytesMax)), said);
        PromiseBrokenException.Unless(GC.GetAllocatedBytesForCurrentThread() - before < AllocatedBytesMax, "little memory is used");
        if (verdict is ImageVerdict.Refused refused)
            PromiseBrokenException.Unless(refused.Reasons.Count is > 0 and <= Findings.ReasonsMax
                && refused.Reasons.All(r =>
                    r.Fix.Length > 0 && !r.Cause.Any(char.IsControl)), "every refusal has plain reasons, not too many");
        if (verdict is ImageVerdict.Taken { Image: var image })
            PromiseBrokenException.Unless(image.VirtualBytes is > 0 and <= ImageInspector.VirtualBytesMax && image.Disk.Offset >= 0
                && image.Disk.Bytes > 0 && image.Disk.Offset + image.Disk.Bytes <= bytes.Length, "a disk that is taken lies in its file");
        return verdict;
    }

    /// <summary>4 KiB: a fuzzer gets through many more of them.</summary>
    private static byte[] SmallQcow2(uint version)
    {
        var image = new byte[4096].Big32(0, 0x514649fb).Big32(4, version).Big32(20, 9).Big64(24, 64 << 10)
            .Big32(36, 2).Big64(40, 512).Big64(48, 1024).Big32(56, 1).Big64(1024, 2048).Big64(512, 2560);
        return version < 3 ? image : image.Big32(96, 4).Big32(100, 112);
    }
}
