using Godwit.Qmp;
using Xunit;

namespace Godwit.LabTests.Captures;

/// <summary>Every typed question to a real QEMU: the answers have the shapes the records promise.</summary>
public sealed class QmpTalkTests : IDisposable
{
    private static readonly TimeSpan Deadline = CapturedQemu.Deadline;

    private readonly string directory = Directory.CreateTempSubdirectory("godwit-capture-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task A_real_QEMU_answers_every_typed_question()
    {
        await using var qemu = await CapturedQemu.StartAsync(
            directory, "vm", "-S",
            "-blockdev", "driver=null-co,read-zeroes=on,node-name=disk0,size=1048576",
            "-device", "virtio-blk-pci,id=vda,drive=disk0",
            "-netdev", "user,id=net0", "-device", "virtio-net-pci,id=nic0,netdev=net0,romfile=");
        var qmp = qemu.Qmp;

        Assert.Equal(qmp.Version, (await qmp.QueryVersionAsync(Deadline, default)).ToString());
        Assert.Equal(new QmpRunState(QmpRunStatus.Prelaunch, false), await qmp.QueryStatusAsync(Deadline, default));
        Assert.Contains(await qmp.QueryMachinesAsync(Deadline, default), m => m.Name == "pc-q35-7.2");
        Assert.Contains(await qmp.QueryCpuDefinitionsAsync(Deadline, default),
            c => c is { Name: "Nehalem-v1", MigrationSafe: true });
        Assert.NotEmpty((await qmp.QueryCpuModelExpansionAsync(
            "full", QmpCpuModel.Named("Nehalem-v1"), Deadline, default)).Properties);
        Assert.InRange(Assert.Single(await qmp.QueryCpusFastAsync(Deadline, default)).ThreadId, 1, int.MaxValue);
        var disk = Assert.Single(await qmp.QueryPciAsync(Deadline, default), d => d.QdevId == "vda");
        Assert.Equal(0x1af4, disk.Vendor);
        Assert.Equal("disk0", Assert.Single(await qmp.QueryBlockAsync(Deadline, default)).Inserted!.NodeName);
        Assert.Single(await qmp.QueryNamedBlockNodesAsync(Deadline, default));
        Assert.Equal(new QmpMemoryBackend("pc.ram", 64 << 20, Share: false, Prealloc: false),
            Assert.Single(await qmp.QueryMemdevAsync(Deadline, default)));
        Assert.False(await qmp.QueryKvmEnabledAsync(Deadline, default));
        Assert.Equal("6f0d2c1e-0000-4000-8000-000000000001", await qmp.QueryUuidAsync(Deadline, default));
        Assert.Contains(await qmp.QomListAsync("/machine/peripheral", Deadline, default),
            o => o is { Name: "nic0", ChildType: "virtio-net-pci" });
        Assert.Equal("pc-q35-7.2-machine", (await qmp.QomGetAsync("/machine", "type", Deadline, default)).GetString());
        Assert.True((await qmp.QueryMigrateCapabilitiesAsync(Deadline, default))["events"]);
        Assert.Equal(QmpMigrationStatus.None, (await qmp.QueryMigrateAsync(Deadline, default)).Status);

        var schema = await qmp.QuerySchemaAsync(Deadline, default);
        Assert.True(schema.HasCapability("multifd") && schema.HasParameter("downtime-limit"));
        Assert.True(schema.HasCommand("announce-self") && schema.AllowsOob("yank") && schema.HasEvent(QmpEvents.Resume));
        Assert.False(schema.HasCapability("no-such-thing") || schema.HasParameter("no-such-thing"));
    }

    [Fact]
    public async Task Commands_and_events_of_a_real_QEMU_arrive_as_promised()
    {
        await using var qemu = await CapturedQemu.StartAsync(
            directory, "vm", "-S", "-netdev", "user,id=net0", "-device", "virtio-net-pci,id=nic0,netdev=net0,romfile=");
        var seen = new List<string>();
        using var subscription = qemu.Qmp.Subscribe(e => seen.Add(e.Name));

        var parameters = new QmpMigrationParameters
        {
            MaxBandwidthBytesPerSecond = 123_000_000, DowntimeLimitMs = 20, AnnounceInitialMs = 10, AnnounceMaxMs = 100,
            AnnounceRounds = 3, AnnounceStepMs = 20, MultifdChannels = 4, MultifdCompression = "none",
        };
        await qemu.Qmp.MigrateSetParametersAsync(parameters, Deadline, default);
        var set = await qemu.Qmp.QueryMigrateParametersAsync(Deadline, default);
        Assert.Equal((123_000_000, 20, 3, 4),
            (set.MaxBandwidthBytesPerSecond, set.DowntimeLimitMs, set.AnnounceRounds, set.MultifdChannels));

        await qemu.Qmp.ContAsync(Deadline, default);
        await qemu.Qmp.AnnounceSelfAsync(new QmpAnnounceRhythm(Rounds: 1), Deadline, default);
        await qemu.Qmp.SetLinkAsync("nic0", up: false, Deadline, default);
        await qemu.Qmp.StopAsync(Deadline, default);
        await Assert.ThrowsAsync<QmpException>(() => qemu.Qmp.YankMigrationAsync(Deadline, default)); // Nothing to yank.
        await qemu.Qmp.MigrateCancelAsync(Deadline, default);
        await qemu.Qmp.SystemResetAsync(Deadline, default);
        var refused = await Assert.ThrowsAsync<QmpException>(
            () => qemu.Qmp.SetLinkAsync("nowhere", up: true, Deadline, default));
        Assert.Equal("DeviceNotFound", refused.ErrorClass);
        await qemu.Qmp.QuitAsync(Deadline, default);

        Assert.Equal("QEMU closed the monitor", await qemu.Qmp.Closed.WaitAsync(Deadline));
        Assert.Equal([QmpEvents.Resume, QmpEvents.Stop, QmpEvents.Reset, QmpEvents.Shutdown], seen);
    }
}
