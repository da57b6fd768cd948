using System.Security.Cryptography;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Disks;

/// <summary>
/// Takes a disk image into a pool under the SHA-256 of its content: the same image twice is one file, and a template's
/// content can never change under its clones.
/// </summary>
public sealed class ImageImport(Pools pools, IDisk disk, IProcesses processes, IRandomness randomness)
{
    public const long FileBytesMax = 16L << 40;
    private const int BlockBytes = 1 << 20;
    private static readonly TimeSpan CommandMax = TimeSpan.FromSeconds(20);

    public async Task<ImportedImage> ImportAsync(ImportImage order, Stream content, CancellationToken cancel)
    {
        var upload = pools.PathOf(order.Pool, $"upload-{randomness.NextHex(8)}");
        try
        {
            var (sha256, bytes, head) = await WriteAsync(upload, content, cancel);
            var virtualBytes = ImageInspector.Inspect(head, bytes, order.Format);
            var name = $"template-{sha256}.{order.Format}";
            var path = pools.PathOf(order.Pool, name);
            if (!disk.List(pools.DirectoryOf(order.Pool)).Contains(name)) await PlaceAsync(upload, path, cancel);
            return new ImportedImage(name, sha256, order.Format, virtualBytes, bytes);
        }
        finally { disk.DeleteFile(upload); }
    }

    private async Task<(string Sha256, long Bytes, byte[] Head)> WriteAsync(string path, Stream content, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = await disk.CreateLargeAsync(path, cancel);
        var head = new byte[ImageInspector.HeadBytes];
        var block = new byte[BlockBytes];
        var bytes = 0L;
        for (int read; (read = await content.ReadAsync(block, cancel)) > 0; bytes += read)
        {
            if (bytes + read > FileBytesMax)
                throw new RefusedException("image-too-large", $"the image has more than {FileBytesMax >> 40} TiB", "import a smaller one");
            if (bytes < head.Length) block.AsSpan(0, (int)Math.Min(read, head.Length - bytes)).CopyTo(head.AsSpan((int)bytes));
            hash.AppendData(block, 0, read);
            await file.Content.WriteAsync(block.AsMemory(0, read), cancel);
        }
        await file.CommitAsync();
        return (Convert.ToHexStringLower(hash.GetHashAndReset()), bytes, head[..(int)Math.Min(head.Length, bytes)]);
    }

    /// <summary>Readable by every VM, writable by none: clones read it as their backing file.</summary>
    private async Task PlaceAsync(string upload, string path, CancellationToken cancel)
    {
        await RunAsync(new Command("chmod", ["0444", upload]), cancel);
        await RunAsync(new Command("mv", ["-n", "--", upload, path]), cancel);
    }

    private async Task RunAsync(Command command, CancellationToken cancel)
    {
        var result = await processes.RunAsync(command, CommandMax, cancel);
        if (result.ExitCode != 0) throw new IOException($"{command.Program} failed: {result.Error.Trim()}");
    }
}
