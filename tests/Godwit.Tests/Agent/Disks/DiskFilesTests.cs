using Godwit.Agent.Disks;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Tests.Agent.Machines;
using Xunit;

namespace Godwit.Tests.Agent.Disks;

public sealed class DiskFilesTests
{
    private static readonly DiskSpec Clone = new("main", "vm-0123456789ab-0.qcow2", "qcow2", 1 << 30, Samples.Template);
    private const string ClonePath = "/srv/main/vm-0123456789ab-0.qcow2";
    private readonly MemoryDisk _disk = new();
    private readonly ListeningProcesses _processes;
    private readonly DiskFiles _files;

    public DiskFilesTests()
    {
        _processes = new ListeningProcesses(command =>
        {
            _disk.Files[command.Arguments[^2]] = [1];
            return new CommandResult(0, "", "");
        });
        _files = new DiskFiles(new Pools(Samples.Layout, _disk), _disk, _processes);
    }

    [Fact]
    public async Task A_clone_names_its_template_relative_with_both_formats_spelt_out_and_under_limits()
    {
        _disk.Files["/srv/main/" + Samples.Template] = [1];
        await _files.CreateAsync(Clone, 20_001, default);
        var command = Assert.Single(_processes.Heard);
        Assert.Equal("qemu-img", command.Program);
        Assert.NotNull(command.Limits);
        Assert.Equal(["create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", Samples.Template, ClonePath + ".new", "1073741824"],
            command.Arguments);
        Assert.Equal((20_001, (UnixFileMode)0b110_000_000), _disk.Published[ClonePath]);
    }

    [Fact]
    public async Task A_disk_that_is_there_stays_as_it_is()
    {
        _disk.Files[ClonePath] = [7];
        await _files.CreateAsync(Clone, 20_001, default);
        Assert.Empty(_processes.Heard);
        Assert.Equal([7], _disk.Files[ClonePath]);
    }

    [Fact]
    public async Task A_clone_without_its_template_is_refused_before_any_tool_runs()
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(() => _files.CreateAsync(Clone, 20_001, default));
        Assert.Equal("template-file-missing", refused.Reasons[0].Code);
        Assert.Empty(_processes.Heard);
    }

    [Theory]
    [InlineData("../escape.qcow2", null)]
    [InlineData("-o.qcow2", null)]
    [InlineData("a.qcow2", "/etc/shadow")]
    [InlineData("a.qcow2", "other.qcow2")]
    public async Task A_name_that_leads_elsewhere_is_refused(string file, string? backing)
    {
        await Assert.ThrowsAsync<RefusedException>(() =>
            _files.CreateAsync(new DiskSpec("main", file, "qcow2", 1 << 20, backing), 20_001, default));
        Assert.Empty(_processes.Heard);
    }

    [Fact]
    public async Task A_tool_that_fails_is_told_in_its_own_words_and_leaves_nothing()
    {
        var files = new DiskFiles(new Pools(Samples.Layout, _disk), _disk, new ListeningProcesses(command =>
        {
            _disk.Files[command.Arguments[^2]] = [1];
            return new CommandResult(1, "", "qemu-img: No space left on device\n");
        }));
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            files.CreateAsync(Clone with { BackingFile = null }, 20_001, default));
        Assert.Contains("No space left on device", refused.Message, StringComparison.Ordinal);
        Assert.Empty(_disk.Files);
    }

    [Fact]
    public async Task A_nonce_written_by_one_host_is_seen_by_the_other_and_no_other_nonce_is()
    {
        var pools = new Pools(Samples.Layout, _disk);
        await pools.WriteNonceAsync("main", "ab12", default);
        Assert.True(await pools.SeesNonceAsync("main", "ab12", default));
        Assert.False(await pools.SeesNonceAsync("main", "ab13", default));
        Assert.False(await pools.SeesNonceAsync("other", "ab12", default));
        await Assert.ThrowsAsync<RefusedException>(() => pools.WriteNonceAsync("main", "../x", default));
    }
}
