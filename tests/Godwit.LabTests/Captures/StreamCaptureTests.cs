using Godwit.Qmp;
using Godwit.Wire;
using Xunit;

namespace Godwit.LabTests.Captures;

/// <summary>The codec against streams that a real QEMU wrote a moment ago: every byte must be accounted for.</summary>
public sealed class StreamCaptureTests : IDisposable
{
    private static readonly TimeSpan Deadline = CapturedQemu.Deadline;

    private readonly string directory = Directory.CreateTempSubdirectory("godwit-capture-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task A_live_stream_is_understood_to_the_last_byte_and_sends_busy_pages_again()
    {
        await using var source = await CapturedQemu.StartAsync(directory, "source");
        var capture = await LiveAsync(source);

        for (var seed = 0; seed < 5; seed++)
        {
            var reader = Slices.Feed(new MigrationStreamReader(new RamTraffic(new PageAudit())), capture.Main, seed);
            AssertUnderstood(reader, capture);
            Assert.InRange(reader.Ram.Audit!.RepeatedPages, 2, long.MaxValue);
            Assert.Equal(0, reader.Ram.Audit.UnauditedPages);
        }
        Keep(capture.Main);
    }

    [Fact]
    public async Task A_stopped_guest_is_sent_without_one_page_twice()
    {
        await using var source = await CapturedQemu.StartAsync(directory, "source");
        await source.Qmp.StopAsync(Deadline, default);
        var capture = await Capture.TakeAsync(source);

        var reader = Slices.Feed(new MigrationStreamReader(new RamTraffic(new PageAudit())), capture.Main, seed: 1);
        AssertUnderstood(reader, capture);
        Assert.Equal(0, reader.Ram.Audit!.RepeatedPages);
        Assert.Equal((long)reader.Ram.Blocks.Aggregate(0UL, (sum, b) => sum + b.Block.UsedBytes) / 4096,
            reader.Ram.Audit.DistinctPages);
    }

    [Fact]
    public async Task Multifd_channels_and_the_main_channel_together_carry_every_page()
    {
        await using var source = await CapturedQemu.StartAsync(directory, "source");
        await source.Qmp.MigrateSetCapabilitiesAsync(new Dictionary<string, bool> { ["multifd"] = true }, Deadline, default);
        await source.Qmp.MigrateSetParametersAsync(new QmpMigrationParameters { MultifdChannels = 2 }, Deadline, default);
        await source.Qmp.StopAsync(Deadline, default);
        var capture = await Capture.TakeAsync(source, channels: 2);

        var traffic = new RamTraffic(new PageAudit());
        var main = Slices.Feed(new MigrationStreamReader(traffic), capture.Main, seed: 2);
        var channels = capture.Channels
            .Select((bytes, i) => Slices.Feed(new MultifdChannelReader(traffic), bytes, seed: i)).ToList();

        Assert.All(channels, c => Assert.Equal("", c.PassThroughReason));
        Assert.All(channels, c => Assert.True(c.IsBetweenPackets));
        Assert.Equal([0, 1], channels.Select(c => (int)c.Init!.Channel).Order());
        Assert.All(channels, c => Assert.Equal("6f0d2c1e000040008000000000000001", c.Init!.Uuid));
        Assert.Equal(channels[0].Syncs, channels[1].Syncs);
        Assert.InRange(channels[0].Syncs, 1, long.MaxValue);
        Assert.Equal(capture.Ended.Ram!.NormalPages, channels.Sum(c => c.NormalPages));
        Assert.Equal((long)traffic.Blocks.Aggregate(0UL, (sum, b) => sum + b.Block.UsedBytes) / 4096,
            traffic.Audit!.DistinctPages);
        Assert.Equal(0, traffic.Audit.RepeatedPages);
        AssertWhole(main, capture.Main.Length);
    }

    [Fact]
    public async Task Shared_RAM_and_dirty_bitmaps_are_understood_too()
    {
        await using var source = await CapturedQemu.StartAsync(
            directory, "source", "-machine", "memory-backend=ram0",
            "-object", $"memory-backend-file,id=ram0,size=64M,share=on,mem-path={directory}/ram",
            "-blockdev", "driver=null-co,read-zeroes=on,node-name=disk0,size=67108864");
        await source.Qmp.ExecuteAsync(
            "block-dirty-bitmap-add", new() { ["node"] = "disk0", ["name"] = "backup" }, Deadline, default);
        await source.Qmp.MigrateSetCapabilitiesAsync(
            new Dictionary<string, bool> { ["x-ignore-shared"] = true, ["dirty-bitmaps"] = true }, Deadline, default);
        var capture = await Capture.TakeAsync(source);

        var reader = Slices.Feed(new MigrationStreamReader(), capture.Main, seed: 3);
        AssertWhole(reader, capture.Main.Length);
        Assert.Equal(["x-ignore-shared"], reader.Configuration!.Capabilities);
        var ram = Assert.Single(reader.Ram.Blocks, b => b.Block.Name == "ram0");
        Assert.Equal((0, 0, 0UL), (ram.NormalPages, ram.ZeroPages, ram.Block.GuestAddress));
        Assert.InRange(reader.BytesIn(StreamPart.DirtyBitmaps), 40, 4000);
    }

    [Fact]
    public async Task Any_capture_cut_short_is_not_taken_for_complete()
    {
        await using var source = await CapturedQemu.StartAsync(directory, "source");
        await source.Qmp.StopAsync(Deadline, default);
        var stream = (await Capture.TakeAsync(source)).Main;
        Assert.IsType<SavedState.Complete>(SavedState.Of(stream));

        // One reader sees every length: it must say "complete" at the last byte and at no other.
        var reader = new MigrationStreamReader();
        for (var at = 0; at < stream.Length - 1; at++)
        {
            reader.Feed(stream.AsSpan(at, 1));
            if (reader.Ending == StreamEnding.Described) Assert.Fail($"complete at byte {at + 1} of {stream.Length}");
        }
        reader.Feed(stream.AsSpan(stream.Length - 1));
        Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
        reader.Feed([0]);
        Assert.IsType<SavedState.Damaged>(SavedState.Of(reader));
    }

    /// <summary>Three passes over memory at least, then it may stop.</summary>
    private static async Task<Capture> LiveAsync(CapturedQemu source)
    {
        var thirdPass = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var subscription = source.Qmp.Subscribe(e =>
        {
            if (e.PassNumber() >= 3) thirdPass.TrySetResult();
        });
        await source.Qmp.MigrateSetParametersAsync(
            new QmpMigrationParameters { DowntimeLimitMs = 1, MaxBandwidthBytesPerSecond = 4 << 20 }, Deadline, default);
        return await Capture.TakeAsync(source, meanwhile: async () =>
        {
            await thirdPass.Task.WaitAsync(Deadline);
            await source.Qmp.MigrateSetParametersAsync(
                new QmpMigrationParameters { DowntimeLimitMs = 2000, MaxBandwidthBytesPerSecond = 0 }, Deadline, default);
        });
    }

    private static void AssertUnderstood(MigrationStreamReader reader, Capture capture)
    {
        AssertWhole(reader, capture.Main.Length);
        Assert.Equal((capture.Ended.Ram!.ZeroPages, capture.Ended.Ram.NormalPages),
            (reader.Ram.ZeroPages, reader.Ram.NormalPages));
        Assert.Equal(64UL << 20, Assert.Single(reader.Ram.Blocks, b => b.Block.Name == "pc.ram").Block.UsedBytes);

        foreach (var block in reader.Ram.Blocks)
        {
            // 8 bytes of word and 4096 of page, or 1 of fill; the name only where the block is not that of the record before.
            var names = block.WireBytes - (4104 * block.NormalPages) - (9 * block.ZeroPages);
            Assert.Equal(0, names % (1 + block.Block.Name.Length));
            Assert.InRange(names, 1 + block.Block.Name.Length, block.WireBytes);
        }

        var start = 17 + 8 + reader.Ram.Blocks.Sum(b => 1 + b.Block.Name.Length + 8) + 8 + 5;
        Assert.Equal(
            start + ((reader.RamRounds + 1) * (5 + 8 + 5)) + reader.Ram.Blocks.Sum(b => b.WireBytes),
            reader.BytesIn(StreamPart.Ram));
    }

    private static void AssertWhole(MigrationStreamReader reader, long length)
    {
        Assert.Equal("", reader.PassThroughReason);
        Assert.Equal((StreamStanding.DeviceState, StreamEnding.Described), (reader.Standing, reader.Ending));
        Assert.Equal(length, Enum.GetValues<StreamPart>().Sum(reader.BytesIn));
        Assert.Equal(length - reader.DeviceStateStartsAt, reader.BytesIn(StreamPart.Devices));
        Assert.Equal("pc-q35-7.2", reader.Configuration!.MachineType);
        var complete = Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
        Assert.Equal(length, complete.DescriptionStartsAt + 5 + reader.Description.Length);

        Assert.Equal(System.Buffers.OperationStatus.Done, VmDescription.TryRead(reader.Description.Span, out var described));
        Assert.Equal(4096, described!.PageSizeBytes);
        Assert.Contains(described.Devices, d => d.Name == "cpu");
        Assert.Equal("globalstate", described.Devices[^1].Name);
    }

    /// <summary>For a new golden file of the unit tests: GODWIT_KEEP_CAPTURE=/some/file.gz ./test --lab live_stream.</summary>
    private static void Keep(byte[] stream)
    {
        if (Environment.GetEnvironmentVariable("GODWIT_KEEP_CAPTURE") is not { Length: > 0 } path) return;
        using var zip = new System.IO.Compression.GZipStream(
            File.Create(path), System.IO.Compression.CompressionLevel.SmallestSize);
        zip.Write(stream);
    }
}
