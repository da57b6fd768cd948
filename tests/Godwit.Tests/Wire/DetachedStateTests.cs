using System.Buffers;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

/// <summary>A stream with x-ignore-shared is taken apart and written anew: nothing is lost, nothing else is taken for one.</summary>
public sealed class DetachedStateTests
{
    private const string Ram = "ram0", Rom = "pc.bios";
    private static readonly byte[] devices = [.. Enumerable.Range(0, 200).Select(i => (byte)(i * 7))];

    [Fact]
    public void What_was_taken_apart_is_all_there()
    {
        var state = Read(Saved());

        Assert.Equal(("pc-q35-7.2", "11".PadLeft(32, '1')), (state.Configuration.MachineType, state.Configuration.Uuid));
        Assert.Empty(state.Configuration.Capabilities);
        Assert.Equal([(Ram, 8192UL, null), (Rom, 8192UL, (ulong?)null)], state.Blocks.Select(b => (b.Name, b.UsedBytes, b.GuestAddress)));
        Assert.Equal([(Rom, 0UL, 4096), (Rom, 4096UL, 0)], state.Pages.Select(p => (p.Block, p.Offset, p.Content.Length)));
        Assert.Equal(9U, state.RamSection);
        Assert.Contains(devices[17..60], Windows(state.Devices, 43));
    }

    [Fact]
    public void Written_anew_with_its_memory_first_it_is_a_whole_stream()
    {
        var bytes = new ArrayBufferWriter<byte>();
        var writer = new DetachedStateWriter(bytes, Read(Saved()));
        writer.WriteOpening();
        writer.BeginPages();
        writer.WritePage(Ram, 0, Page(3));
        writer.EndPages();
        writer.WriteDevices();

        var reader = new MigrationStreamReader();
        reader.Feed(bytes.WrittenSpan);
        Assert.Equal("", reader.PassThroughReason);
        Assert.True(reader.MemoryIsComplete);
        Assert.Equal(StreamStanding.DeviceState, reader.Standing);
        Assert.Equal([Ram, Rom], reader.Ram.Blocks.Select(b => b.Block.Name));
        Assert.Equal((0, 1), bytes.WrittenSpan[^1] == 0 ? (0, 1) : (1, 1));
    }

    [Fact]
    public void Written_anew_with_its_devices_first_it_is_what_a_source_in_post_copy_writes()
    {
        var bytes = new ArrayBufferWriter<byte>();
        var writer = new DetachedStateWriter(bytes, Read(Saved()));
        writer.WriteOpeningForLazyMemory(Ram);
        writer.BeginPages();
        writer.WritePage(Ram, 4096, Page(5));
        writer.WritePage(Ram, 0, []);
        writer.EndPages();
        writer.WriteEndOfMemory();

        var reader = new MigrationStreamReader();
        reader.Feed(bytes.WrittenSpan);
        Assert.Equal("", reader.PassThroughReason);
        Assert.True(reader.IsPostcopy);
        Assert.True(reader.MemoryIsComplete);
        Assert.Equal(StreamEnding.Eof, reader.Ending);
    }

    [Fact]
    public void A_stream_cut_off_anywhere_is_refused()
    {
        var (whole, reader) = (Saved(), new MigrationStreamReader());
        reader.Feed(whole);
        for (var length = 0; length <= reader.DeviceStateStartsAt; length++) // Devices have no length: the last byte is their end.
            Assert.Null(DetachedState.TryRead(whole.AsMemory(0, length), out _));
        Assert.Null(DetachedState.TryRead(whole.AsMemory(0, whole.Length - 1), out _));
    }

    [Fact]
    public void One_wrong_byte_anywhere_before_the_devices_never_throws()
    {
        var whole = Saved();
        for (var at = 0; at < whole.Length; at++)
        {
            var wrong = whole.ToArray();
            wrong[at] ^= 0xFF;
            if (DetachedState.TryRead(wrong, out var fault) is null) Assert.NotEmpty(fault);
        }
    }

    [Fact]
    public void A_stream_with_its_memory_in_it_is_refused()
    {
        Assert.Null(DetachedState.TryRead(Saved([]), out var fault));
        Assert.StartsWith("memory is in the stream itself", fault, StringComparison.Ordinal);
    }

    [Theory, InlineData(1), InlineData(3), InlineData(1000)]
    public void What_a_target_says_is_heard_in_slices_of_any_size(int slice)
    {
        byte[] said =
        [
            0, 2, 0, 4, 0, 0, 0, 3,
            0, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x10, 0, 4, .. "ram0"u8,
            0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0x20, 0,
            0, 1, 0, 4, 0, 0, 0, 0,
        ];
        var reader = new ReturnPathReader();
        var heard = said.Chunk(slice).SelectMany(part => reader.Feed(part)).ToList();
        Assert.Equal(
            [
                new(ReturnPathKind.Pong, 3, "", 0, 0), new(ReturnPathKind.RequestPagesOf, 0, Ram, 0x2000, 0x1000),
                new(ReturnPathKind.RequestPages, 0, Ram, 0x4000, 0x2000), new ReturnPathWord(ReturnPathKind.Shut, 0, "", 0, 0),
            ], heard);
        Assert.Empty(reader.Fault);
    }

    [Theory]
    [InlineData(0, 9, 0, 4, 1, 2, 3, 4)]
    [InlineData(0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)] // The same block as before, before any was named.
    [InlineData(0, 3, 255, 255)]
    public void What_no_target_says_ends_the_hearing(params int[] said)
    {
        var reader = new ReturnPathReader();
        Assert.Empty(reader.Feed([.. said.Select(b => (byte)b)]));
        Assert.NotEmpty(reader.Fault);
    }

    private static DetachedState Read(byte[] stream)
    {
        var state = DetachedState.TryRead(stream, out var fault);
        Assert.Equal("", fault);
        return state!;
    }

    private static byte[] Saved() => Saved(["x-ignore-shared"]);

    private static byte[] Saved(IReadOnlyList<string> capabilities)
    {
        var bytes = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(bytes);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration
        {
            MachineType = "pc-q35-7.2", Capabilities = capabilities, Uuid = "11".PadLeft(32, '1'),
        });
        ulong? address = capabilities.Count > 0 ? 0x100000 : null;
        writer.WriteRamStart(9, [new RamBlock(Ram, 8192, null, address), new RamBlock(Rom, 8192, null, address)]);
        writer.BeginRam(9, isEnd: false);
        writer.WritePage(Rom, 0, Page(1));
        writer.EndRam();
        writer.BeginRam(9, isEnd: true);
        writer.WriteZeroPage(Rom, 4096);
        writer.EndRam();
        writer.WriteDevice(10, "timer", devices);
        writer.WriteEof();
        return bytes.WrittenSpan.ToArray();
    }

    private static byte[] Page(byte with) => [.. Enumerable.Repeat(with, 4096)];

    private static IEnumerable<byte[]> Windows(ReadOnlyMemory<byte> bytes, int length) =>
        Enumerable.Range(0, bytes.Length - length + 1).Select(i => bytes.Slice(i, length).ToArray());
}
