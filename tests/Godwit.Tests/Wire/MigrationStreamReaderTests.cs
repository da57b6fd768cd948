using System.Buffers;
using CsCheck;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

public sealed class MigrationStreamReaderTests
{
    private static readonly Gen<List<int>> GenCuts = Gen.OneOf(Gen.Int[1, 12], Gen.Int[1, 5000]).List[0, 60];

    [Fact]
    public void What_was_written_is_what_is_reported_however_it_is_cut() =>
        Gen.Select(StreamPlan.Gen, GenCuts).Sample((plan, cuts) =>
        {
            var bytes = plan.Write();
            var reader = new MigrationStreamReader(new RamTraffic(new PageAudit())).Feed(bytes, cuts);

            Assert.Equal("", reader.PassThroughReason);
            Assert.Equal(plan.Machine, reader.Configuration!.MachineType);
            Assert.Equal(plan.Blocks, reader.Ram.Blocks.Select(b => b.Block));
            for (var i = 0; i < plan.Blocks.Count; i++)
            {
                Assert.Equal(plan.Pages.Count(p => p.Block == i && p.IsZero), reader.Ram.Blocks[i].ZeroPages);
                Assert.Equal(plan.Pages.Count(p => p.Block == i && !p.IsZero), reader.Ram.Blocks[i].NormalPages);
            }
            var distinct = plan.Pages.Select(p => (p.Block, p.Number)).Distinct().Count();
            Assert.Equal(plan.Pages.Count() - distinct, reader.Ram.Audit!.RepeatedPages);
            Assert.Equal(reader.Ram.Audit.RepeatedPages, reader.Ram.Blocks.Sum(b => b.RepeatedPages));
            Assert.Equal(plan.Sections.Count - 1, reader.RamRounds);
            Assert.Equal(bytes.Length, Enum.GetValues<StreamPart>().Sum(reader.BytesIn));
            Assert.Equal(StreamPlan.Json, reader.Description.ToArray());

            var complete = Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
            Assert.Equal(bytes.Length - StreamPlan.Json.Length - 5, complete.DescriptionStartsAt);
            Assert.Equal((byte)StreamElement.SectionFull, bytes[complete.DeviceStateStartsAt]);
        }, iter: 400);

    [Fact]
    public void A_stream_cut_short_anywhere_is_damaged() =>
        Gen.Select(StreamPlan.Gen, Gen.Double[0, 1]).Sample((plan, where) =>
        {
            var bytes = plan.Write();
            var cut = bytes.AsSpan(0, (int)(where * (bytes.Length - 1)));
            Assert.IsType<SavedState.Damaged>(SavedState.Of(cut));
        }, iter: 400);

    [Fact]
    public void Any_damage_leaves_every_byte_accounted_for_and_throws_nothing() =>
        Gen.Select(StreamPlan.Gen, Gen.Select(Gen.Double[0, 1], Gen.Byte).List[1, 4], GenCuts).Sample((plan, damage, cuts) =>
        {
            var bytes = plan.Write();
            foreach (var (where, value) in damage) bytes[(int)(where * (bytes.Length - 1))] = value;
            AssertAccounted(new MigrationStreamReader(new RamTraffic(new PageAudit(piecesMax: 4))).Feed(bytes, cuts), bytes.Length);
        }, iter: 1500);

    [Fact]
    public void Any_bytes_behind_a_good_beginning_throw_nothing() =>
        Gen.Select(StreamPlan.Gen, Gen.Double[0, 1], Gen.OneOf(Gen.Byte, Gen.Byte[0, 8]).Array[0, 600], GenCuts)
            .Sample((plan, where, noise, cuts) =>
            {
                var good = plan.Write();
                byte[] bytes = [.. good.AsSpan(0, (int)(where * good.Length)), .. noise];
                AssertAccounted(new MigrationStreamReader().Feed(bytes, cuts), bytes.Length);
            }, iter: 1500);

    [Fact]
    public void Device_state_that_looks_like_an_end_is_not_taken_for_it() =>
        Gen.Select(Gen.Byte.Array[0, 30], Gen.Int[0, 60], GenCuts).Sample((noise, length, cuts) =>
        {
            byte[] bait = [0x7e, 0, 0, 0, 7, 0x00, 0x06, 0, 0, 0, (byte)length, (byte)'{', (byte)'"', .. noise];
            var plan = new StreamPlan("q", [new RamBlock("r", 4096)], [[]], [.. bait, .. bait]);
            var bytes = plan.Write();
            var reader = new MigrationStreamReader().Feed(bytes, cuts);
            Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
            Assert.Equal(StreamPlan.Json, reader.Description.ToArray());
        }, iter: 500);

    [Fact]
    public void Bytes_behind_the_description_make_a_complete_stream_damaged()
    {
        var reader = new MigrationStreamReader();
        reader.Feed(new StreamPlan("q", [new RamBlock("r", 4096)], [[]], []).Write());
        Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
        reader.Feed("\n"u8);
        Assert.IsType<SavedState.Damaged>(SavedState.Of(reader));
    }

    [Fact]
    public void Standing_tells_when_device_state_begins()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(output);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = "q" });
        writer.WriteRamStart(2, [new RamBlock("r", 4096)]);
        writer.BeginRam(2, isEnd: true);
        writer.EndRam();
        var memoryEnds = output.WrittenCount;
        writer.WriteDevice(3, "cpu", [1, 2, 3]);

        var reader = new MigrationStreamReader();
        reader.Feed(output.WrittenSpan[..memoryEnds]);
        Assert.Equal((StreamStanding.Reading, true, -1), (reader.Standing, reader.MemoryIsComplete, reader.DeviceStateStartsAt));
        reader.Feed(output.WrittenSpan[memoryEnds..]);
        Assert.Equal((StreamStanding.DeviceState, memoryEnds), (reader.Standing, reader.DeviceStateStartsAt));
        Assert.Equal(StreamEnding.Open, reader.Ending);
        reader.Feed([0]);
        Assert.Equal(StreamEnding.Eof, reader.Ending);
        Assert.Contains("nothing proves its end", ((SavedState.Damaged)SavedState.Of(reader)).Why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_postcopy_stream_is_understood_through_its_package_to_its_EOF()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(output);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = "q" });
        writer.WriteCommand(StreamCommand.OpenReturnPath, []);
        writer.WriteCommand(StreamCommand.PostcopyAdvise, new byte[16]);
        writer.WriteRamStart(2, [new RamBlock("r", 8192)]);
        writer.BeginRam(2, isEnd: false);
        writer.WriteZeroPage("r", 0);
        writer.EndRam();
        writer.WriteCommand(StreamCommand.Packaged, new byte[13_000]);
        writer.BeginRam(2, isEnd: true);
        writer.WriteZeroPage("r", 4096);
        writer.EndRam();
        writer.WriteEof();

        var reader = new MigrationStreamReader().Feed(output.WrittenSpan, Enumerable.Repeat(7, 500));
        Assert.Equal(("", true, StreamEnding.Eof, 2),
            (reader.PassThroughReason, reader.IsPostcopy, reader.Ending, reader.Ram.ZeroPages));
        Assert.Equal(13_000 + 9, reader.BytesIn(StreamPart.Devices));
    }

    private static void AssertAccounted(MigrationStreamReader reader, long length)
    {
        var accounted = Enum.GetValues<StreamPart>().Sum(reader.BytesIn) + reader.UnreadBytes;
        Assert.Equal(length, reader.BytesFed);
        Assert.InRange(length - accounted, 0, 4096); // At most one unit is held.
        Assert.Equal(reader.IsPassThrough, reader.Standing == StreamStanding.PassThrough);
        _ = SavedState.Of(reader);
    }
}
