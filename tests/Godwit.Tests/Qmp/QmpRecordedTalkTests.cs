using System.Text.Json;
using System.Text.Json.Nodes;
using Godwit.Qmp;
using Xunit;

namespace Godwit.Tests.Qmp;

/// <summary>Typed commands against answers recorded from QEMU 7.2.22 (long lists shortened).</summary>
public sealed class QmpRecordedTalkTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public Task Run_state_version_and_identity() => ReplayAsync(async qmp =>
    {
        Assert.Equal(new QmpRunState(QmpRunStatus.Prelaunch, false), await qmp.QueryStatusAsync(Deadline, default));
        await qmp.ContAsync(Deadline, default);
        Assert.Equal(new QmpRunState(QmpRunStatus.Running, true), await qmp.QueryStatusAsync(Deadline, default));
        Assert.Equal("7.2.22", (await qmp.QueryVersionAsync(Deadline, default)).ToString());
        Assert.Equal("11111111-2222-3333-4444-555555555555", await qmp.QueryUuidAsync(Deadline, default));
        Assert.False(await qmp.QueryKvmEnabledAsync(Deadline, default));
        await qmp.SystemPowerdownAsync(Deadline, default);
        await qmp.SystemResetAsync(Deadline, default);
        await qmp.QuitAsync(Deadline, default);
    });

    [Fact]
    public Task Machines_and_processors() => ReplayAsync(async qmp =>
    {
        var q35 = Assert.Single(await qmp.QueryMachinesAsync(Deadline, default), m => m.Name == "pc-q35-7.2");
        Assert.Equal(("q35", 288), (q35.Alias, q35.CpuMax));

        var cpus = (await qmp.QueryCpuDefinitionsAsync(Deadline, default)).ToDictionary(c => c.Name);
        Assert.Equal(["kvm"], cpus["host"].UnavailableFeatures!);
        Assert.False(cpus["host"].MigrationSafe);
        Assert.True(cpus["Nehalem-v1"].MigrationSafe);
        Assert.Equal("Nehalem-v1", cpus["Nehalem"].AliasOf);

        var model = await qmp.QueryCpuModelExpansionAsync("full", QmpCpuModel.Named("Nehalem-v1"), Deadline, default);
        Assert.True(model.Properties["cmov"].GetBoolean());
        Assert.Equal(8638, Assert.Single(await qmp.QueryCpusFastAsync(Deadline, default)).ThreadId);
    });

    [Fact]
    public Task Devices() => ReplayAsync(async qmp =>
    {
        var net = Assert.Single(await qmp.QueryPciAsync(Deadline, default), d => d.QdevId == "net0");
        Assert.Equal((0, 2, 0, 0x1af4, 0x1000, 0x200),
            (net.Bus, net.Slot, net.Function, net.Vendor, net.Device, net.Class));
        var disk = Assert.Single(await qmp.QueryBlockAsync(Deadline, default));
        Assert.Equal(("disk0", "null-co", 1048576), (disk.Inserted!.NodeName, disk.Inserted.Driver, disk.Inserted.VirtualBytes));
        Assert.Equal("disk0", Assert.Single(await qmp.QueryNamedBlockNodesAsync(Deadline, default)).NodeName);
        Assert.Equal(new QmpMemoryBackend("ram0", 64 << 20, Share: true, Prealloc: false),
            Assert.Single(await qmp.QueryMemdevAsync(Deadline, default)));

        var objects = await qmp.QomListAsync("/machine/peripheral", Deadline, default);
        Assert.Equal([null, "virtio-net-pci", "virtio-blk-pci"], objects.Select(o => o.ChildType));
        Assert.Equal("pc-q35-7.2-machine", (await qmp.QomGetAsync("/machine", "type", Deadline, default)).GetString());
    });

    [Fact]
    public Task A_migration_from_setup_to_completed() => ReplayAsync(async qmp =>
    {
        var events = new List<QmpEvent>();
        using var subscription = qmp.Subscribe(events.Add);
        var idle = await qmp.QueryMigrateAsync(Deadline, default);
        Assert.Equal(QmpMigrationStatus.None, idle.Status);
        Assert.False((await qmp.QueryMigrateCapabilitiesAsync(Deadline, default))["events"]);
        Assert.Equal(300, (await qmp.QueryMigrateParametersAsync(Deadline, default)).DowntimeLimitMs);

        await qmp.MigrateSetCapabilitiesAsync(new Dictionary<string, bool> { ["events"] = true }, Deadline, default);
        await qmp.MigrateSetParametersAsync(
            new QmpMigrationParameters { MaxBandwidthBytesPerSecond = 20_000_000, DowntimeLimitMs = 20 }, Deadline, default);
        await qmp.MigrateAsync("exec:cat>/run/vm/state", Deadline, default);
        var ended = await qmp.QueryMigrateAsync(Deadline, default);

        Assert.Equal(QmpMigrationStatus.Completed, ended.Status);
        Assert.True(QmpMigrationStatus.IsEnded(ended.Status));
        Assert.Equal((54, 2), (ended.TotalTimeMs, ended.DowntimeMs));
        Assert.Equal((16389, 128, 524288, 67641344),
            (ended.Ram!.ZeroPages, ended.Ram.NormalPages, ended.Ram.NormalBytes, ended.Ram.TotalBytes));
        Assert.Equal(["setup", "active", "completed"], events.Select(e => e.MigrationStatus()).OfType<string>());
        Assert.Equal([1, 2], events.Select(e => e.PassNumber()).OfType<long>());
        Assert.Equal(1_795_375_133_167_778, events.Single(e => e.Name == QmpEvents.Stop).TimestampMicros);

        await qmp.MigrateCancelAsync(Deadline, default);
        await qmp.AnnounceSelfAsync(new QmpAnnounceRhythm(Rounds: 2), Deadline, default);
        await qmp.SetLinkAsync("net0", up: false, Deadline, default);
    });

    [Fact]
    public Task Features_are_read_from_the_schema() => ReplayAsync(async qmp =>
    {
        var schema = await qmp.QuerySchemaAsync(Deadline, default);
        Assert.True(schema.HasCommand("migrate-incoming"));
        Assert.False(schema.HasCommand("migrate-outgoing"));
        Assert.True(schema.HasEvent(QmpEvents.Migration));
        Assert.True(schema.HasCapability("multifd"));
        Assert.False(schema.HasCapability("mapped-ram"));
        Assert.True(schema.HasParameter("downtime-limit"));
        Assert.False(schema.HasParameter("avail-switchover-bandwidth"));
        Assert.True(schema.HasCommandArgument("migrate-incoming", "uri"));
        Assert.False(schema.HasCommandArgument("migrate-incoming", "exit-on-error"));
        Assert.True(schema.AllowsOob("migrate-pause"));
        Assert.False(schema.AllowsOob("query-status"));
    });

    /// <summary>Each command must be one of the recording, arguments included, and gets what came back then.</summary>
    private static async Task ReplayAsync(Func<QmpClient, Task> talk)
    {
        var monitor = new ScriptedMonitor();
        var lines = await File.ReadAllLinesAsync(
            Path.Combine(RepositoryRulesTests.Root(), "tests/Godwit.Tests/Qmp/Recorded/qemu-7.2.22-talk.txt"));
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, default);
        await monitor.SayAsync(lines[0][2..]);
        var playing = PlayAsync(monitor, lines);
        await using (var client = await connecting) await talk(client);
        await playing;
    }

    private static async Task PlayAsync(ScriptedMonitor monitor, string[] lines)
    {
        var used = new bool[lines.Length];
        while (await monitor.HearOrEndAsync() is { } command)
        {
            var at = Enumerable.Range(0, lines.Length)
                .FirstOrDefault(i => lines[i][0] == '>' && !used[i] && SameCommand(lines[i], command), -1);
            if (at < 0)
            {
                monitor.HangUp(); // The story ends with an error instead of waiting for an answer.
                Assert.Fail($"not in the recording: {command}");
            }
            used[at] = true;
            for (at++; at < lines.Length && lines[at][0] == '<'; at++)
            {
                var said = lines[at][2..];
                await monitor.SayAsync(said.Contains("\"id\": ", StringComparison.Ordinal) ? WithId(said, command) : said);
            }
        }
    }

    private static bool SameCommand(string line, JsonElement command)
    {
        var recorded = JsonElement.Parse(line[2..]);
        return ScriptedMonitor.Name(recorded) == ScriptedMonitor.Name(command)
            && recorded.TryGetProperty("arguments", out var wanted) == command.TryGetProperty("arguments", out var sent)
            && (wanted.ValueKind == JsonValueKind.Undefined || SameArguments(wanted, sent));
    }

    private static bool SameArguments(JsonElement a, JsonElement b) =>
        JsonNode.DeepEquals(
            JsonNode.Parse(a.GetRawText()), JsonNode.Parse(b.GetRawText()));

    private static string WithId(string said, JsonElement command)
    {
        var reply = JsonNode.Parse(said)!;
        if (reply["id"] is null) return said; // An answer with an "id" deeper inside.
        reply["id"] = ScriptedMonitor.Id(command);
        return reply.ToJsonString();
    }
}
