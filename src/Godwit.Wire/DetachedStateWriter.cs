using System.Buffers;
using System.Buffers.Binary;

namespace Godwit.Wire;

/// <summary>
/// Writes a <see cref="DetachedState"/> and its memory as a source QEMU would, in one of two orders: memory first, as every move does
/// (<see cref="WriteOpening"/>, pages, <see cref="WriteDevices"/>), or devices first (<see cref="WriteOpeningForLazyMemory"/>, pages,
/// <see cref="WriteEndOfMemory"/>), in which case the target runs and asks for the pages it misses. That is post-copy; sequence and
/// traps: WireFormat.md.
/// </summary>
public sealed class DetachedStateWriter(IBufferWriter<byte> output, DetachedState state)
{
    /// <summary>What QEMU itself writes at this place.</summary>
    public const uint DevicesLoaded = 3;
    private const int PageBytes = DetachedState.PageBytes;
    private readonly MigrationStreamWriter writer = new(output);

    /// <summary>Up to the first page of the mapped memory.</summary>
    public void WriteOpening()
    {
        WriteHead();
        WriteSmallBlocks();
    }

    /// <summary>What follows the last page: the target stands where the source stood.</summary>
    public void WriteDevices()
    {
        writer.BeginRam(state.RamSection, isEnd: true);
        writer.EndRam();
        output.Write(state.Devices.Span);
        writer.WriteEof();
    }

    /// <summary>
    /// All but the memory of <paramref name="block"/>. The target asks for pages from here on, first for those its devices look into;
    /// when these are loaded it answers PONG with <see cref="DevicesLoaded"/>, and stands paused a moment later (-S). Needs postcopy-ram
    /// there.
    /// </summary>
    public void WriteOpeningForLazyMemory(string block)
    {
        writer.WriteHeader();
        writer.WriteConfiguration(state.Configuration);
        writer.WriteCommand(StreamCommand.OpenReturnPath, []);
        Span<byte> sizes = stackalloc byte[2 * sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(sizes, PageBytes);
        BinaryPrimitives.WriteUInt64BigEndian(sizes[sizeof(ulong)..], PageBytes);
        writer.WriteCommand(StreamCommand.PostcopyAdvise, sizes);
        writer.WriteRamStart(state.RamSection, state.Blocks);
        WriteSmallBlocks();
        writer.WriteCommand(StreamCommand.PostcopyRamDiscard, WholeBlock(block));

        var package = new ArrayBufferWriter<byte>();
        var inside = new MigrationStreamWriter(package);
        inside.WriteCommand(StreamCommand.PostcopyListen, []);
        package.Write(state.Devices.Span);
        Span<byte> ping = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(ping, DevicesLoaded);
        inside.WriteCommand(StreamCommand.Ping, ping);
        inside.WriteCommand(StreamCommand.PostcopyRun, []);
        writer.WriteCommand(StreamCommand.Packaged, package.WrittenSpan);
    }

    /// <summary>Pages of one block, ascending or not; <paramref name="page"/> empty means zeros.</summary>
    public void BeginPages() => writer.BeginRam(state.RamSection, isEnd: false);

    public void WritePage(string block, ulong offset, ReadOnlySpan<byte> page)
    {
        if (page.IsEmpty) writer.WriteZeroPage(block, offset);
        else writer.WritePage(block, offset, page);
    }

    public void EndPages() => writer.EndRam();

    /// <summary>After the last page the target misses: it lets go of the memory and answers SHUT.</summary>
    public void WriteEndOfMemory() => WriteEndOfMemory(output, state.RamSection);

    /// <summary>The same by a source that has come back, and knows no more of the guest than this number.</summary>
    public static void WriteEndOfMemory(IBufferWriter<byte> output, uint ramSection)
    {
        var writer = new MigrationStreamWriter(output);
        writer.BeginRam(ramSection, isEnd: true);
        writer.EndRam();
        writer.WriteEof();
    }

    /// <summary>To a target that lost its source ("postcopy-paused") and was told where to listen anew.</summary>
    public static void WriteResume(IBufferWriter<byte> output) =>
        new MigrationStreamWriter(output).WriteCommand(StreamCommand.PostcopyResume, []);

    private void WriteHead()
    {
        writer.WriteHeader();
        writer.WriteConfiguration(state.Configuration);
        writer.WriteRamStart(state.RamSection, state.Blocks);
    }

    private void WriteSmallBlocks()
    {
        writer.BeginRam(state.RamSection, isEnd: false);
        foreach (var page in state.Pages) WritePage(page.Block, page.Offset, page.Content.Span);
        writer.EndRam();
    }

    /// <summary>
    /// Without one DISCARD before LISTEN, QEMU 7.2 refuses to run ("wrong postcopy state"). Of the whole block: at the first of them
    /// QEMU gives up huge pages, and those that it had until then are thrown away whole (ADR 54).
    /// </summary>
    private byte[] WholeBlock(string block)
    {
        var used = state.Blocks.First(b => b.Name == block).UsedBytes;
        var payload = new ArrayBufferWriter<byte>();
        payload.WriteByte(0);
        payload.WriteName(block);
        payload.WriteByte(0);
        payload.WriteUInt64(0);
        payload.WriteUInt64(used);
        return payload.WrittenSpan.ToArray();
    }
}
