using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// Writes the main channel of a migration as a source QEMU does. The order of calls is the caller's: header,
/// configuration, RAM start, parts, end, devices, EOF, description.
/// </summary>
public sealed class MigrationStreamWriter(IBufferWriter<byte> output, int pageBytes = 4096)
{
    private const uint RamVersion = 4;

    private string lastBlock = "";
    private uint openSection;

    public void WriteHeader()
    {
        output.WriteUInt32(StreamHeader.Magic);
        output.WriteUInt32(StreamHeader.VersionKnown);
    }

    public void WriteConfiguration(StreamConfiguration configuration) => configuration.Write(output);

    /// <summary>A whole START of "ram": the block list, EOS, footer.</summary>
    public void WriteRamStart(uint sectionId, IReadOnlyList<RamBlock> blocks)
    {
        var total = blocks.Aggregate(0UL, (sum, block) => sum + block.UsedBytes);
        new SectionHeader
        {
            Element = StreamElement.SectionStart, SectionId = sectionId, Name = "ram", Version = RamVersion,
        }.Write(output);
        output.WriteUInt64(total | (ulong)RamFlags.MemSize);
        foreach (var block in blocks) block.Write(output);
        openSection = sectionId;
        EndRam();
    }

    /// <summary>Opens a PART (or the END, after which no page may follow in later sections); pages, then <see cref="EndRam"/>.</summary>
    public void BeginRam(uint sectionId, bool isEnd)
    {
        new SectionHeader
        {
            Element = isEnd ? StreamElement.SectionEnd : StreamElement.SectionPart, SectionId = sectionId,
        }.Write(output);
        openSection = sectionId;
    }

    public void WritePage(string block, ulong offset, ReadOnlySpan<byte> page)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(page.Length, pageBytes, nameof(page));
        WriteRecord(RamFlags.Page, block, offset);
        output.Write(page);
    }

    public void WriteZeroPage(string block, ulong offset)
    {
        WriteRecord(RamFlags.Zero, block, offset);
        output.WriteByte(0);
    }

    public void WriteMultifdFlush() => output.WriteUInt64((ulong)RamFlags.MultifdFlush);

    public void EndRam()
    {
        output.WriteUInt64((ulong)RamFlags.Eos);
        new SectionFooter(openSection).Write(output);
    }

    public void WriteCommand(StreamCommand command, ReadOnlySpan<byte> payload)
    {
        output.WriteElement(StreamElement.Command);
        output.WriteUInt16((ushort)command);
        if (command == StreamCommand.Packaged)
        {
            output.WriteUInt16(sizeof(uint));
            output.WriteUInt32((uint)payload.Length);
        }
        else output.WriteUInt16(checked((ushort)payload.Length));
        output.Write(payload);
    }

    /// <summary>A FULL section; its bytes mean something only to who wrote them.</summary>
    public void WriteDevice(uint sectionId, string name, ReadOnlySpan<byte> state)
    {
        new SectionHeader
        {
            Element = StreamElement.SectionFull, SectionId = sectionId, Name = name, Version = 1,
        }.Write(output);
        output.Write(state);
        new SectionFooter(sectionId).Write(output);
    }

    public void WriteEof() => output.WriteElement(StreamElement.Eof);

    public void WriteDescription(ReadOnlySpan<byte> json)
    {
        output.WriteElement(StreamElement.Description);
        output.WriteUInt32((uint)json.Length);
        output.Write(json);
    }

    private void WriteRecord(RamFlags kind, string block, ulong offset)
    {
        var continues = block == lastBlock;
        output.WriteUInt64(offset | (ulong)kind | (ulong)(continues ? RamFlags.Continue : RamFlags.None));
        if (continues) return;
        output.WriteName(block);
        lastBlock = block;
    }
}
