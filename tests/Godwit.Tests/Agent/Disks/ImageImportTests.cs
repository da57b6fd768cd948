using System.Security.Cryptography;
using Godwit.Agent.Disks;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Fuzz;
using Godwit.Tests.Agent.Images;
using Godwit.Tests.Agent.Machines;
using Xunit;

namespace Godwit.Tests.Agent.Disks;

public sealed class ImageImportTests
{
    private readonly MemoryDisk _disk = new();
    private readonly ListeningProcesses _processes;
    private readonly ImageImport _import;
    private Func<Command, CommandResult> _tool = _ => throw new InvalidOperationException("no tool is needed for this");

    public ImageImportTests()
    {
        _processes = new ListeningProcesses(command => _tool(command));
        _import = new ImageImport(new Pools(Samples.Layout, _disk), _disk, _processes, new RealRandomness());
    }

    private IEnumerable<KeyValuePair<string, byte[]>> Stored =>
        _disk.Files.Where(f => f.Key.StartsWith("/srv/main/", StringComparison.Ordinal));

    private Task<ImportedImage> ImportAsync(byte[] content, string format = "raw") =>
        _import.ImportAsync(new ImportImage("main", format), new MemoryStream(content), default);

    [Fact]
    public async Task An_image_is_named_after_its_content_readable_by_all_and_writable_by_none()
    {
        var content = RandomNumberGenerator.GetBytes(3 << 20);
        var image = await ImportAsync(content);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), image.Sha256);
        Assert.Equal((content.Length, content.Length), (image.FileBytes, image.VirtualBytes));
        var (path, stored) = Assert.Single(Stored);
        Assert.Equal($"/srv/main/template-{image.Sha256}.raw", path);
        Assert.Equal(content, stored);
        Assert.Equal((0, (UnixFileMode)0b100_100_100), _disk.Published[path]);
    }

    [Fact]
    public async Task The_same_image_twice_is_one_file()
    {
        var content = RandomNumberGenerator.GetBytes(1024);
        Assert.Equal(await ImportAsync(content), await ImportAsync(content));
        Assert.Single(Stored);
    }

    [Fact]
    public async Task A_refused_image_leaves_nothing_in_the_pool()
    {
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[100]));
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[1024], "qcow2"));
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[1024], "vmdk"));
        await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(new byte[1024], "exe"));
        Assert.Empty(Stored);
    }

    [Fact]
    public async Task An_upload_that_breaks_off_leaves_nothing_and_does_not_block_the_next()
    {
        await Assert.ThrowsAsync<IOException>(() =>
            _import.ImportAsync(new ImportImage("main", "raw"), new BreakingStream(), default));
        Assert.Empty(Stored);
        Assert.Equal(512, (await ImportAsync(new byte[512])).FileBytes);
    }

    [Fact]
    public async Task Another_format_is_converted_by_a_tool_that_is_nobody_without_network_and_within_limits()
    {
        _tool = command =>
        {
            _disk.Files[command.Arguments[^1]] = MadeImages.Qcow2();
            return new CommandResult(0, "", "");
        };
        var image = await ImportAsync(MadeImages.Ova(), "auto");
        Assert.Equal(("OVA with VMDK streamOptimized", "qcow2", 64 << 20), (image.Kind, image.Format, image.VirtualBytes));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(MadeImages.Qcow2())), image.Sha256);
        var (path, stored) = Assert.Single(Stored);
        Assert.Equal($"/srv/main/{image.File}", path);
        Assert.Equal(MadeImages.Qcow2(), stored);
        Assert.Equal((0, (UnixFileMode)0b100_100_100), _disk.Published[path]);

        var command = Assert.Single(_processes.Heard);
        Assert.Equal(("qemu-img", QemuImg.Uid, true), (command.Program, command.RunAsUid, command.WithoutNetwork));
        Assert.True(command is { Limits: not null, FileBytesMax: > 64 << 20 and < 200 << 20 });
        var source = command.Arguments[^2];
        const string begin = """json:{"driver":"vmdk","read-only":true,"backing":null,"file":{"driver":"raw",""";
        Assert.StartsWith(begin, source, StringComparison.Ordinal);
        Assert.Contains(""","offset":1536,"size":65536,"file":{"driver":"file","filename":""", source, StringComparison.Ordinal);
        Assert.Equal(["convert", "-q", "-m", "1", "-O", "qcow2"], command.Arguments.Take(6));
    }

    [Fact]
    public async Task What_the_tool_wrote_is_inspected_like_a_strangers_image()
    {
        _tool = command =>
        {
            _disk.Files[command.Arguments[^1]] = MadeImages.Qcow2().Big64(8, 512).Big32(16, 11).Text(512, "/etc/shadow");
            return new CommandResult(0, "", "");
        };
        var refused = await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(MadeImages.Vhdx(), "vhdx"));
        Assert.Equal("image-backing-file", refused.Reasons[0].Code);
        Assert.Empty(Stored);
    }

    [Fact]
    public async Task A_tool_that_fails_or_is_stopped_leaves_nothing()
    {
        _tool = _ => new CommandResult(153, "", "");
        var refused = await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(MadeImages.VhdDynamic(), "vhd"));
        Assert.Equal("image-conversion-failed", refused.Reasons[0].Code);
        Assert.Empty(Stored);
    }

    [Fact]
    public async Task Nothing_bad_ever_reaches_a_tool()
    {
        foreach (var bad in BadImages.All.Where(b => b.Name.Contains("VMDK", StringComparison.Ordinal)))
            await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(bad.Build(), bad.Said ?? "auto"));
        Assert.Empty(_processes.Heard);
        Assert.Empty(Stored);
    }

    [Fact]
    public async Task A_manifest_that_does_not_fit_the_disk_is_refused_before_any_tool_runs()
    {
        var right = Convert.ToHexStringLower(SHA256.HashData(MadeImages.VmdkStream()));
        byte[] With(string hex) =>
            MadeImages.Ova(null, MadeImages.TarFile("vm.mf", System.Text.Encoding.ASCII.GetBytes($"SHA256(disk.vmdk)= {hex}\n")));
        var refused = await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(With(new string('0', 64)), "ova"));
        Assert.Equal("archive-digest", refused.Reasons[0].Code);
        Assert.Empty(_processes.Heard);
        _tool = command =>
        {
            _disk.Files[command.Arguments[^1]] = MadeImages.Qcow2();
            return new CommandResult(0, "", "");
        };
        Assert.Equal("qcow2", (await ImportAsync(With(right), "ova")).Format);
    }

    [Fact]
    public async Task What_a_crash_left_of_an_import_is_removed_by_the_next_agent_and_another_hosts_is_not()
    {
        await ImportAsync(new byte[512]);
        var name = "/srv/main/" + System.Text.Encoding.ASCII.GetString(_disk.Files["/var/lib/godwit/upload-name"]);
        (_disk.Files[name], _disk.Files[name + ".qcow2"], _disk.Files["/srv/main/upload-0123456789abcdef"]) = ([1], [2], [3]);
        var next = new ImageImport(new Pools(Samples.Layout, _disk), _disk, _processes, new RealRandomness());
        await next.ImportAsync(new ImportImage("main", "raw"), new MemoryStream(new byte[512]), default);
        Assert.Equal(["upload-0123456789abcdef"], _disk.List("/srv/main").Where(n => n.StartsWith("upload-", StringComparison.Ordinal)));
    }

    private sealed class BreakingStream : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default) =>
            throw new IOException("the client hung up");
    }
}
