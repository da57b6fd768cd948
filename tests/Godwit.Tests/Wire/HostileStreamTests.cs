using System.Buffers;
using System.Text;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

/// <summary>Each thing a stream may not say, and what is answered: pass-through with a reason, at the right byte.</summary>
public sealed class HostileStreamTests
{
    private const string Head = "5145564d 00000003 07 00000001 71"; // "QEVM", 3, machine "q".
    private const string Start = "01 00000002 03 72616d 00000000 00000004"; // START 2 "ram" 0 version 4.
    private const string OneBlock = "0000000000002004 01 72 0000000000002000"; // 8 KiB in block "r".
    private const string Eos = "0000000000000010";
    private const string Foot = "7e 00000002";
    private const string Ready = $"{Head} {Start} {OneBlock} {Eos} {Foot}";
    private const string Part = $"{Ready} 02 00000002";

    [Theory]
    [InlineData("", "51455640", "no QEMU migration stream of version 3 at byte 0")]
    [InlineData("", "5145564d 00000002", "no QEMU migration stream of version 3 at byte 0")]
    [InlineData("5145564d 00000003", "07 00000100", "a configuration that is not one")]
    [InlineData(Head, "05 03 616263 00000001", "a configuration subsection of an unknown kind")]
    [InlineData(Head, "05 1a 636f6e66696775726174696f6e2f6361706162696c6974696573 00000001 ffffffff", "subsection")]
    [InlineData(Head, "09", "element 0x09, which is unknown here")]
    [InlineData(Head, "7e 00000002", "element 0x7e, which is unknown here")]
    [InlineData(Head, "06 00000002 7b7d", "element 0x06, which is unknown here")]
    [InlineData(Head, "08 000c 0000", "an unknown command")]
    [InlineData(Head, "08 0000 0000", "an unknown command")]
    [InlineData(Head, "08 0007 0008", "an unknown command")]
    [InlineData(Head, "02 00000002", "section id 2, which is not open")]
    [InlineData(Head, "04 00000002 03 637075 00000000 0000000c", "device section 'cpu' before memory was complete")]
    [InlineData(Head, "01 00000002 04 7666696f 00000000 00000001", "section 'vfio' version 1, which is unknown here")]
    [InlineData(Head, "01 00000002 03 72616d 00000000 00000003", "section 'ram' version 3, which is unknown here")]
    [InlineData($"{Head} {Start}", Eos, "a RAM START without a block list")]
    [InlineData($"{Head} {Start}", "0000000000000004", "an empty RAM block list")]
    [InlineData($"{Head} {Start} 0000000000002004", "00", "a RAM block list that does not add up")]
    [InlineData($"{Head} {Start} 0000000000002004", "01 72 0000000000003000", "a RAM block list that does not add up")]
    [InlineData($"{Head} {Start} 0000000000002004 01 72 0000000000001000", "01 72 0000000000001000", "does not add up")]
    [InlineData($"{Head} {Start} 0000000000002004 01 72 0000000000001000", "0000000000000010", "does not add up")]
    [InlineData($"{Head} {Start} {OneBlock}", OneBlock, "a second RAM block list")]
    [InlineData($"{Head} {Start} {OneBlock} {Eos}", "7e 00000003", "no footer of section 2")]
    [InlineData($"{Head} {Start} {OneBlock} {Eos}", "02 00000002", "no footer of section 2")]
    [InlineData(Ready, Start, "a second section 'ram'")]
    [InlineData(Ready, "01 00000005 03 72616d 00000000 00000004 0000000000001004 01 72 0000000000001000", "a second section")]
    [InlineData(Ready, "01 00000002 0c 64697274792d6269746d6170 00000000 00000001", "a section id used twice")]
    [InlineData(Part, "0000000000002004", "a second RAM block list")]
    [InlineData(Part, "0000000000000022 00", "a page of no listed RAM block")]
    [InlineData(Part, "0000000000000002 01 73 00", "a page of no listed RAM block")]
    [InlineData(Part, "0000000000000002 01 72 01", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000002 00 00", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000002002 01 72 00", "a page outside of RAM block 'r'")]
    [InlineData(Part, "fffffffffffff002 01 72 00", "a page outside of RAM block 'r'")]
    [InlineData(Part, "0000000000000080", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000001", "a RAM record of an unknown kind")]
    [InlineData(Part, "000000000000000a", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000030", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000001010", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000040 01 72 02 0004", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000040 01 72 01 1001", "a RAM record of an unknown kind")]
    [InlineData(Part, "0000000000000100 01 72 ffffffff", "a RAM record of an unknown kind")]
    [InlineData($"{Ready} 00", "00", "bytes behind the end of the stream")]
    public void What_may_not_come_is_passed_through_from_its_first_byte(string before, string offence, string reason)
    {
        var (good, bad) = (Bytes(before), Bytes(offence));
        var reader = new MigrationStreamReader();
        reader.Feed(good);
        Assert.Equal("", reader.PassThroughReason);
        reader.Feed(bad);
        reader.Feed(new byte[50]); // Not even more bytes make sense of it.

        Assert.Contains(reason, reader.PassThroughReason, StringComparison.Ordinal);
        Assert.EndsWith($"at byte {good.Length}", reader.PassThroughReason, StringComparison.Ordinal);
        Assert.Equal(bad.Length + 50, reader.UnreadBytes);

        var byteByByte = new MigrationStreamReader().Feed([.. good, .. bad, .. new byte[50]], Enumerable.Repeat(1, 5000));
        Assert.Equal(reader.PassThroughReason, byteByByte.PassThroughReason);
        Assert.Equal(reader.UnreadBytes, byteByByte.UnreadBytes);
    }

    [Fact]
    public void Claimed_sizes_allocate_nothing()
    {
        var huge = $"{Head} {Start} fffffffffffff004 01 72 fffffffffffff000 {Eos} {Foot} 02 00000002";
        var page = "7ffffffffffff002 01 72 00 00000000000000a2 00"; // One page at 2^63, then an unaligned one.
        var bytes = Bytes($"{huge} {page}");
        var audit = new PageAudit();
        var reader = new MigrationStreamReader(new RamTraffic(audit));

        var before = GC.GetAllocatedBytesForCurrentThread();
        reader.Feed(bytes);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
        Assert.Equal((1, 1), (audit.DistinctPages, reader.Ram.ZeroPages));
    }

    [Fact]
    public void A_description_that_claims_gigabytes_is_not_waited_for()
    {
        var reader = new MigrationStreamReader();
        reader.Feed(Bytes($"{Ready} 03 00000002 {Eos} {Foot} 00 06 ffffffff 7b"));
        var before = GC.GetAllocatedBytesForCurrentThread();
        reader.Feed(Encoding.ASCII.GetBytes(new string('x', 100_000)));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 500_000);
        Assert.IsType<SavedState.Damaged>(SavedState.Of(reader));
    }

    [Theory]
    [InlineData("""{"a": {}}""", true)]
    [InlineData("""{"a": "}"}""", true)]
    [InlineData("""{"a": {}""", false)]
    [InlineData("""{"a": "}""", false)]
    [InlineData("""{"a": {}}}""", false)]
    [InlineData("""{}{}""", false)]
    [InlineData("""5""", false)]
    public void A_description_must_close_exactly_at_its_length(string json, bool complete)
    {
        foreach (var device in new[] { "", "04 00000003 03 637075 00000000 00000001 aabb 7e 00000003" })
        {
            byte[] stream =
            [
                .. Bytes($"{Ready} 03 00000002 {Eos} {Foot} {device} 00 06 000000"), (byte)json.Length,
                .. Encoding.ASCII.GetBytes(json),
            ];
            Assert.Equal(complete, SavedState.Of(stream) is SavedState.Complete);
        }
    }

    [Fact]
    public void More_blocks_than_the_limit_are_passed_through()
    {
        var blocks = Enumerable.Range(0, RamTraffic.BlocksMax + 1).Select(i => new RamBlock($"b{i}", 4096)).ToList();
        var output = new ArrayBufferWriter<byte>();
        output.Write(Bytes(Head));
        new MigrationStreamWriter(output).WriteRamStart(2, blocks);
        var reader = new MigrationStreamReader();
        reader.Feed(output.WrittenSpan);

        Assert.True(reader.IsPassThrough);
        Assert.Equal(RamTraffic.BlocksMax, reader.Ram.Blocks.Count);
    }

    [Fact]
    public void A_mapped_ram_file_is_recognised_and_left_alone()
    {
        var output = new ArrayBufferWriter<byte>();
        output.Write(Bytes("5145564d 00000003"));
        new StreamConfiguration { MachineType = "q", Capabilities = ["mapped-ram"] }.Write(output);
        output.Write(Bytes(Start));
        var reader = new MigrationStreamReader();
        reader.Feed(output.WrittenSpan);
        Assert.Contains("mapped-ram", reader.PassThroughReason, StringComparison.Ordinal);
    }

    internal static byte[] Bytes(string hex) => Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
}
