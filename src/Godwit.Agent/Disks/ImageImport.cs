using System.Security.Cryptography;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Disks;

/// <summary>
/// Takes a disk image into a pool under the SHA-256 of its content: the same image twice is one file, and a template's
/// content can never change under its clones. One at a time; an upload that a crash cut off makes room for the next.
/// </summary>
public sealed class ImageImport(Pools pools, IDisk disk, IRandomness randomness)
{
    public const long FileBytesMax = 16L << 40;
    private const int BlockBytes = 1 << 20;
    /// <summary>Readable by every VM, writable by none: clones read it as their backing file.</summary>
    private const UnixFileMode TemplateMode = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const int Root = 0;

    private readonly SemaphoreSlim one = new(1, 1);
    /// <summary>Other hosts may import into the same pool.</summary>
    private readonly string uploadName = $"upload-{randomness.NextHex(8)}";

    /// <summary>Throws <see cref="RefusedException"/> with every reason why the image is not taken.</summary>
    public async Task<ImportedImage> ImportAsync(ImportImage order, Stream content, CancellationToken cancel)
    {
        if (order.Format is not ("qcow2" or "raw")) throw ImageInspector.FormatUnknown(order.Format);
        var upload = pools.PathOf(order.Pool, uploadName);
        await one.WaitAsync();
        try
        {
            disk.DeleteFile(upload);
            var (sha256, bytes, head) = await WriteAsync(upload, content, cancel);
            var virtualBytes = ImageInspector.Inspect(head, bytes, order.Format);
            var name = $"template-{sha256}.{order.Format}";
            var path = pools.PathOf(order.Pool, name);
            if (disk.SizeOf(path) is null) await disk.PublishAsync(upload, path, Root, TemplateMode, cancel);
            return new ImportedImage(name, sha256, order.Format, virtualBytes, bytes);
        }
        finally
        {
            disk.DeleteFile(upload);
            one.Release();
        }
    }

    private async Task<(string Sha256, long Bytes, byte[] Head)> WriteAsync(
        string path, Stream content, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = await disk.CreateLargeAsync(path, cancel);
        var head = new byte[ImageInspector.HeadBytes];
        var block = new byte[BlockBytes];
        var bytes = 0L;
        for (int read; (read = await content.ReadAsync(block, cancel)) > 0; bytes += read)
        {
            if (bytes + read > FileBytesMax)
                throw new RefusedException("image-too-large", $"the image has more than {FileBytesMax >> 40} TiB",
                    "import a smaller one");
            if (bytes < head.Length)
                block.AsSpan(0, (int)Math.Min(read, head.Length - bytes)).CopyTo(head.AsSpan((int)bytes));
            hash.AppendData(block, 0, read);
            await file.Content.WriteAsync(block.AsMemory(0, read), cancel);
        }
        await file.CommitAsync();
        return (Convert.ToHexStringLower(hash.GetHashAndReset()), bytes, head[..(int)Math.Min(head.Length, bytes)]);
    }
}
