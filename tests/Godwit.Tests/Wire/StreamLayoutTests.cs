using System.Buffers;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

/// <summary>Bytes as WireFormat.md has them, read and written.</summary>
public sealed class StreamLayoutTests
{
    private const string Head = "5145564d 00000003 07 00000001 71";
    private const string Start = "01 00000002 03 72616d 00000000 00000004";
    private const string Eos = "0000000000000010";
    private const string Foot = "7e 00000002";

    [Fact]
    public void The_writer_writes_the_bytes_of_the_format()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(output, pageBytes: 4096);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = "q", Capabilities = ["x-ignore-shared"] });
        writer.WriteCommand(StreamCommand.Ping, [0, 0, 0, 1]);
        writer.WriteRamStart(2, [new RamBlock("r", 0x2000, GuestAddress: 0x100000), new RamBlock("s", 0x1000, GuestAddress: 0)]);
        writer.BeginRam(2, isEnd: false);
        writer.WriteZeroPage("r", 0);
        writer.WriteZeroPage("r", 0x1000);
        writer.WriteMultifdFlush();
        writer.EndRam();
        writer.BeginRam(2, isEnd: true);
        writer.WriteZeroPage("r", 0);
        writer.EndRam();
        writer.WriteDevice(9, "cpu", [0xaa, 0xbb]);
        writer.WriteEof();
        writer.WriteDescription("{}"u8);

        const string expected = $"""
            5145564d 00000003 07 00000001 71
            05 1a 636f6e66696775726174696f6e2f6361706162696c6974696573 00000001 00000001 0f 782d69676e6f72652d736861726564
            08 0002 0004 00000001
            {Start} 0000000000003004 01 72 0000000000002000 0000000000100000 01 73 0000000000001000 0000000000000000 {Eos} {Foot}
            02 00000002 0000000000000002 01 72 00 0000000000001022 00 0000000000000200 {Eos} {Foot}
            03 00000002 0000000000000022 00 {Eos} {Foot}
            04 00000009 03 637075 00000000 00000001 aabb 7e 00000009
            00 06 00000002 7b7d
            """;
        Assert.Equal(HostileStreamTests.Bytes(expected.ReplaceLineEndings(" ")), output.WrittenSpan.ToArray());

        var complete = Assert.IsType<SavedState.Complete>(SavedState.Of(output.WrittenSpan));
        Assert.Equal([0x100000UL, 0UL], complete.Blocks.Select(b => b.GuestAddress!.Value));
    }

    [Theory]
    [InlineData("")]
    [InlineData("0000000000200000")]
    public void A_block_may_name_its_page_size(string pageSize)
    {
        var list = $"0000000000600004 01 72 0000000000400000 {pageSize} 01 73 0000000000200000 {pageSize}";
        foreach (var cut in new[] { 1, 3, 10_000 })
        {
            var reader = new MigrationStreamReader();
            reader.Feed(HostileStreamTests.Bytes($"{Head} {Start} {list} {Eos} {Foot}"), Enumerable.Repeat(cut, 200));
            Assert.Equal("", reader.PassThroughReason);
            ulong? expected = pageSize.Length > 0 ? 0x200000UL : null;
            Assert.Equal([("r", expected), ("s", expected)], reader.Ram.Blocks.Select(b => (b.Block.Name, b.Block.PageSizeBytes)));
        }
    }

    [Fact]
    public void Deltas_and_compressed_pages_are_counted_and_passed_over()
    {
        var reader = new MigrationStreamReader();
        reader.Feed(HostileStreamTests.Bytes($"""
            {Head} {Start} 0000000000002004 01 72 0000000000002000 {Eos} {Foot} 02 00000002
            0000000000000040 01 72 01 0003 010203
            0000000000001120 00000002 0102
            {Eos} {Foot}
            """.ReplaceLineEndings(" ")));
        Assert.Equal(("", 2, 14 + 2 + 12), (reader.PassThroughReason, reader.Ram.EncodedPages, (int)reader.Ram.Blocks[0].WireBytes - 2));
    }

    [Fact]
    public void Configuration_subsections_are_read()
    {
        var reader = new MigrationStreamReader();
        reader.Feed(HostileStreamTests.Bytes("""
            5145564d 00000003 07 00000001 71
            05 1e 636f6e66696775726174696f6e2f7461726765742d706167652d62697473 00000001 00000010
            05 12 636f6e66696775726174696f6e2f75756964 00000001 000102030405060708090a0b0c0d0e0f
            08 0001 0000
            """.ReplaceLineEndings(" ")));
        Assert.Equal(("", 16, "000102030405060708090a0b0c0d0e0f"),
            (reader.PassThroughReason, reader.Configuration!.TargetPageBits, reader.Configuration.Uuid));
    }

    [Fact]
    public void Dirty_bitmap_chunks_are_passed_over()
    {
        var reader = new MigrationStreamReader();
        reader.Feed(HostileStreamTests.Bytes($"""
            {Head} 01 00000003 0c 64697274792d6269746d6170 00000000 00000001
            1c 01 64 01 62 00010000 01
            01 7e 00000003
            02 00000003 40 0000000000000000 00000080 0000000000000004 ffffffff 42 0000000000000080 00000080 01 7e 00000003
            03 00000003 20 01 7e 00000003 00
            """.ReplaceLineEndings(" ")));
        Assert.Equal(("", StreamEnding.Eof), (reader.PassThroughReason, reader.Ending));
    }

    [Theory]
    [InlineData("{\"page_size\": 4096}")]
    [InlineData("{\"page_size\": 4096, \"devices\": 5}")]
    [InlineData("{\"page_size\": 4096, \"devices\": [7]}")]
    [InlineData("{\"page_size\": 4096, \"devices\": [{\"name\": 1, \"instance_id\": 0}]}")]
    [InlineData("{\"page_size\": 1e99, \"devices\": []}")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("")]
    public void A_description_of_another_shape_is_invalid(string json) =>
        Assert.Equal(OperationStatus.InvalidData, VmDescription.TryRead(System.Text.Encoding.UTF8.GetBytes(json), out _));
}
