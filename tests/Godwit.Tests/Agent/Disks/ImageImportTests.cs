using System.Security.Cryptography;
using Godwit.Agent.Disks;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Tests.Agent.Machines;
using Xunit;

namespace Godwit.Tests.Agent.Disks;

public sealed class ImageImportTests
{
    private readonly MemoryDisk _disk = new();
    private readonly ImageImport _import;

    public ImageImportTests() => _import = new ImageImport(new Pools(Samples.Layout, _disk), _disk, new RealRandomness());

    private Task<ImportedImage> ImportAsync(byte[] content, string format = "raw") =>
        _import.ImportAsync(new ImportImage("main", format), new MemoryStream(content), default);

    [Fact]
    public async Task An_image_is_named_after_its_content_readable_by_all_and_writable_by_none()
    {
        var content = RandomNumberGenerator.GetBytes(3 << 20);
        var image = await ImportAsync(content);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), image.Sha256);
        Assert.Equal((content.Length, content.Length), (image.FileBytes, image.VirtualBytes));
        var (path, stored) = Assert.Single(_disk.Files);
        Assert.Equal($"/srv/main/template-{image.Sha256}.raw", path);
        Assert.Equal(content, stored);
        Assert.Equal((0, (UnixFileMode)0b100_100_100), _disk.Published[path]);
    }

    [Fact]
    public async Task The_same_image_twice_is_one_file()
    {
        var content = RandomNumberGenerator.GetBytes(1024);
        Assert.Equal(await ImportAsync(content), await ImportAsync(content));
        Assert.Single(_disk.Files);
    }

    [Fact]
    public async Task A_refused_image_leaves_nothing_in_the_pool()
    {
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[100]));
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[1024], "qcow2"));
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[1024], "vmdk"));
        Assert.Empty(_disk.Files);
    }

    [Fact]
    public async Task An_upload_that_breaks_off_leaves_nothing_and_does_not_block_the_next()
    {
        await Assert.ThrowsAsync<IOException>(() =>
            _import.ImportAsync(new ImportImage("main", "raw"), new BreakingStream(), default));
        Assert.Empty(_disk.Files);
        Assert.Equal(512, (await ImportAsync(new byte[512])).FileBytes);
    }

    private sealed class BreakingStream : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default) =>
            throw new IOException("the client hung up");
    }
}
