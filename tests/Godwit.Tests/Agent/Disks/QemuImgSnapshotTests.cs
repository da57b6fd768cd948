using Godwit.Agent.Disks;
using Godwit.Core;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Agent.Disks;

/// <summary>What qemu-img is told of snapshots, and what it may see meanwhile.</summary>
public sealed class QemuImgSnapshotTests
{
    private const string Disk = "/srv/main/vm-0123456789ab-0.qcow2", Tag = "before.0123456789ab";

    [Theory]
    [InlineData(SnapshotAct.Make, "-c")]
    [InlineData(SnapshotAct.Revert, "-a")]
    [InlineData(SnapshotAct.Drop, "-d")]
    public async Task The_format_is_said_the_backing_file_is_not_opened_and_nothing_else_is_seen(SnapshotAct act, string word)
    {
        var processes = new ListeningProcesses();
        await new QemuImg(processes).SnapshotAsync(act, Tag, Disk, 20_001, default);
        var command = Assert.Single(processes.Heard);
        var file = $$"""{"driver":"file","filename":"{{Disk}}","locking":"on"}""";
        Assert.Equal(["snapshot", "-q", word, Tag, $$"""json:{"driver":"qcow2","backing":null,"file":{{file}}}"""], command.Arguments);
        Assert.Equal((20_001, true, true), (command.RunAsUid, command.WithoutNetwork, command.Limits is not null));
        Assert.Equal([Disk], command.Sees!.Writable);
        Assert.Empty(command.Sees.ReadOnly);
    }

    [Theory]
    [InlineData("""{"format":"qcow2"}""", "")]
    [InlineData("""{"snapshots":[{"name":"a.0123456789ab","id":"1"},{"name":"b","id":"2"}]}""", "a.0123456789ab b")]
    public async Task Names_are_read_from_what_it_says(string said, string names) =>
        Assert.Equal(names, string.Join(' ', await new QemuImg(new ListeningProcesses(_ => new CommandResult(0, said, "")))
            .SnapshotsAsync(Disk, 20_001, default)));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"snapshots":[{"id":"1"}]}""")]
    [InlineData("""{"snapshots":5}""")]
    public async Task What_nobody_understands_is_refused(string said)
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            new QemuImg(new ListeningProcesses(_ => new CommandResult(0, said, ""))).SnapshotsAsync(Disk, 20_001, default));
        Assert.Equal("disk-tool-failed", refused.Reasons[0].Code);
    }
}
