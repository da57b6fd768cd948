using System.Security.Cryptography;
using System.Text;
using Godwit.Agent.Images;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Disks;

/// <summary>
/// Takes a disk image into a pool under the SHA-256 of what is stored: the same image twice is one file, and a template's
/// content can never change under its clones. Received, inspected, its digests compared; then kept as it is (raw, qcow2)
/// or converted to qcow2 by a tool that sees nothing else. One at a time; what a crash cut off makes room for the next.
/// </summary>
public sealed class ImageImport(Pools pools, IDisk disk, IProcesses processes, IRandomness randomness)
{
    public const long FileBytesMax = 16L << 40;
    private const int BlockBytes = 1 << 20, NameBytesMax = 64;
    /// <summary>Readable by every VM, writable by none: clones read it as their backing file.</summary>
    private const UnixFileMode TemplateMode = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const UnixFileMode ReadMode = UnixFileMode.UserRead, WriteMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int Root = 0;

    private readonly SemaphoreSlim one = new(1, 1);
    private readonly QemuImg qemuImg = new(processes);
    /// <summary>Throws <see cref="RefusedException"/> with every reason why the image is not taken.</summary>
    public async Task<ImportedImage> ImportAsync(ImportImage order, Stream content, CancellationToken cancel)
    {
        var said = Said(order.Format);
        await one.WaitAsync();
        var upload = "";
        try
        {
            upload = pools.PathOf(order.Pool, await UploadNameAsync(cancel));
            DropLeftovers(upload);
            var (sha256, bytes) = await WriteAsync(upload, content, cancel);
            var image = await InspectAsync(upload, said, cancel);
            if (image.Format is ImageFormat.Raw or ImageFormat.Qcow2)
                return await KeepAsync(upload, order.Pool, new ImportedImage("", sha256, image.Format.Word(), image.VirtualBytes,
                    bytes, image.Kind), cancel);

            var converted = await ConvertAsync(upload, image, cancel);
            // The tool read a stranger's bytes: what it wrote is inspected as if a stranger had sent it.
            var result = await InspectAsync(converted, ImageFormat.Qcow2, cancel);
            return await KeepAsync(converted, order.Pool, new ImportedImage("", await HashAsync(converted, cancel),
                ImageFormat.Qcow2.Word(), result.VirtualBytes, disk.SizeOf(converted) ?? 0, image.Kind), cancel);
        }
        finally
        {
            if (upload.Length > 0) DropLeftovers(upload);
            one.Release();
        }
    }

    /// <summary>
    /// This host's own, because others may import into the same pool; and the same after a restart, so that what a crash
    /// left there is found and removed.
    /// </summary>
    private async Task<string> UploadNameAsync(CancellationToken cancel)
    {
        var path = Path.Combine(pools.StateDirectory, "upload-name");
        if (await disk.ReadAsync(path, NameBytesMax, cancel) is { } known) return Encoding.ASCII.GetString(known);
        var name = $"upload-{randomness.NextHex(8)}";
        disk.CreateDirectory(pools.StateDirectory);
        await disk.WriteDurablyAsync(path, Encoding.ASCII.GetBytes(name), cancel);
        return name;
    }

    private static ImageFormat? Said(string format) => format == ImageFormats.Auto ? null : ImageFormats.Of(format)
        ?? throw new RefusedException("image-format-unknown", $"'{format}' is no format of an image",
            $"say {ImageFormats.Words}, or {ImageFormats.Auto}");

    private static string SourceOf(string upload) => upload + ".source";
    private static string BlankOf(string upload) => upload + ".blank";
    private static string ConvertedOf(string upload) => upload + ".qcow2";

    private void DropLeftovers(string upload)
    {
        foreach (var file in (string[])[upload, SourceOf(upload), BlankOf(upload), ConvertedOf(upload)]) disk.DeleteFile(file);
    }

    private async Task<InspectedImage> InspectAsync(string path, ImageFormat? said, CancellationToken cancel)
    {
        await using var file = await disk.OpenLargeAsync(path, cancel);
        var image = ImageInspector.Inspect(new ImageBytes(file), said) switch
        {
            ImageVerdict.Taken taken => taken.Image,
            ImageVerdict.Refused refused => throw new RefusedException(refused.Reasons),
            var other => throw new InvariantBrokenException($"no verdict: {other}"),
        };
        foreach (var claim in image.Digests)
        {
            file.Position = claim.Offset;
            var hex = await HashAsync(file, claim.Algorithm, claim.Bytes, cancel);
            if (hex != claim.Hex)
                throw new RefusedException("archive-digest", $"the image is refused: its manifest gives {claim.Name} the "
                    + $"{claim.Algorithm.Name} {claim.Hex}; it has {hex}", "the file is damaged or was changed: get it again");
        }
        return image;
    }

    /// <summary>Source and target are given to the tool's uid; it can open no other file of the pool.</summary>
    private async Task<string> ConvertAsync(string upload, InspectedImage image, CancellationToken cancel)
    {
        var (source, blank, converted) = (SourceOf(upload), BlankOf(upload), ConvertedOf(upload));
        await disk.PublishAsync(upload, source, QemuImg.Uid, ReadMode, cancel);
        await disk.WriteDurablyAsync(blank, ReadOnlyMemory<byte>.Empty, cancel);
        await disk.PublishAsync(blank, converted, QemuImg.Uid, WriteMode, cancel);
        await qemuImg.ConvertAsync(source, image.Disk, image.VirtualBytes, converted, cancel);
        disk.DeleteFile(source);
        return converted;
    }

    private async Task<ImportedImage> KeepAsync(string path, string pool, ImportedImage image, CancellationToken cancel)
    {
        var name = $"template-{image.Sha256}.{image.Format}";
        var kept = pools.PathOf(pool, name);
        if (disk.SizeOf(kept) is null) await disk.PublishAsync(path, kept, Root, TemplateMode, cancel);
        return image with { File = name };
    }

    private async Task<(string Sha256, long Bytes)> WriteAsync(string path, Stream content, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = await disk.CreateLargeAsync(path, cancel);
        var block = new byte[BlockBytes];
        var bytes = 0L;
        for (int read; (read = await content.ReadAsync(block, cancel)) > 0; bytes += read)
        {
            if (bytes + read > FileBytesMax)
                throw new RefusedException("image-too-large", $"the image has more than {FileBytesMax >> 40} TiB",
                    "import a smaller one");
            hash.AppendData(block, 0, read);
            await file.Content.WriteAsync(block.AsMemory(0, read), cancel);
        }
        await file.CommitAsync();
        return (Convert.ToHexStringLower(hash.GetHashAndReset()), bytes);
    }

    private async Task<string> HashAsync(string path, CancellationToken cancel)
    {
        await using var file = await disk.OpenLargeAsync(path, cancel);
        return await HashAsync(file, HashAlgorithmName.SHA256, file.Length, cancel);
    }

    /// <summary>Of the next <paramref name="bytes"/> bytes, or those up to the end; lower-case hex.</summary>
    private static async Task<string> HashAsync(Stream file, HashAlgorithmName algorithm, long bytes, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(algorithm);
        var block = new byte[BlockBytes];
        for (int read; bytes > 0 && (read = await file.ReadAsync(block.AsMemory(0, (int)Math.Min(bytes, block.Length)),
            cancel)) > 0; bytes -= read)
            hash.AppendData(block, 0, read);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
