using System.Buffers;
using System.Buffers.Binary;

namespace Godwit.Wire;

/// <summary>
/// "ram", version 4: the block list in START, then records until EOS, in every PART and END too.
/// Budget: a page at 25 Gbit/s comes every 1.3 µs; a record costs some 20 ns here and its payload is not touched.
/// </summary>
internal sealed class RamBody(RamTraffic traffic, StreamConfiguration configuration) : ISectionBody
{
    private enum Expect { Record, BlockEntry, AfterBlockEntry }

    private readonly int pageBytes = 1 << configuration.TargetPageBits;
    private Expect expect;
    private bool inStart;
    private bool hasBlockList;
    private ulong listedBytesLeft;
    private RamBlock? lastListed;
    private RamBlockTraffic? lastBlock; // What CONTINUE means; it outlives a section.

    public bool IsEnded { get; private set; }

    public bool TryBegin(StreamElement element)
    {
        (IsEnded, inStart, expect) = (false, element == StreamElement.SectionStart, Expect.Record);
        return inStart != hasBlockList;
    }

    public OperationStatus Read(ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        payload = 0;
        return expect switch
        {
            Expect.BlockEntry => ReadBlockEntry(input, out consumed, out fault),
            Expect.AfterBlockEntry => ReadAfterBlockEntry(input, out consumed, out fault),
            _ => ReadRecords(input, out consumed, out payload, out fault),
        };
    }

    /// <summary>Whole records with their payload as long as the input has them; a payload cut short is passed over later.</summary>
    private OperationStatus ReadRecords(ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        (consumed, payload, fault) = (0, 0, "");
        while (true)
        {
            var status = RamRecord.TryRead(input[consumed..], pageBytes, out var record, out var recordBytes);
            // What was understood before counts as that; the next step begins at the record that is not.
            if (status != OperationStatus.Done && consumed > 0) return OperationStatus.Done;
            if (status != OperationStatus.Done)
            {
                fault = "a RAM record of an unknown kind";
                return status;
            }
            if (Take(record, recordBytes) is { Length: > 0 } complaint)
            {
                if (consumed > 0) return OperationStatus.Done;
                fault = complaint;
                return OperationStatus.InvalidData;
            }

            consumed += recordBytes;
            if (IsEnded || expect != Expect.Record) return OperationStatus.Done;
            if (record.PayloadBytes > input.Length - consumed)
            {
                payload = record.PayloadBytes;
                return OperationStatus.Done;
            }
            consumed += record.PayloadBytes;
        }
    }

    /// <summary>Returns what is wrong with the record, or nothing.</summary>
    private string Take(in RamRecord record, int recordBytes)
    {
        if (record.IsPage) return TakePage(record, recordBytes);
        switch (record.Kind)
        {
            case RamFlags.MemSize:
                if (!inStart || hasBlockList) return "a second RAM block list";
                if (record.Offset == 0) return "an empty RAM block list";
                (hasBlockList, listedBytesLeft, expect) = (true, record.Offset, Expect.BlockEntry);
                return "";

            case RamFlags.Eos:
                IsEnded = hasBlockList;
                return hasBlockList ? "" : "a RAM START without a block list";

            default: // A multifd barrier.
                return "";
        }
    }

    private string TakePage(in RamRecord record, int recordBytes)
    {
        if (!record.Continues) lastBlock = traffic.Find(record.BlockId);
        if (lastBlock is null) return "a page of no listed RAM block";
        if (!traffic.TryNote(lastBlock, record.Kind, record.Offset, pageBytes))
            return $"a page outside of RAM block '{lastBlock.Block.Name}'";
        lastBlock.WireBytes += recordBytes + record.PayloadBytes;
        return "";
    }

    private OperationStatus ReadBlockEntry(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        fault = "a RAM block list that does not add up";
        var status = RamBlock.TryRead(input, configuration.IgnoresSharedRam, out var block, out consumed);
        if (status != OperationStatus.Done || block is null) return status;
        if (block.UsedBytes > listedBytesLeft || !traffic.TryAdd(block)) return OperationStatus.InvalidData;

        (lastListed, expect) = (block, Expect.AfterBlockEntry);
        listedBytesLeft -= block.UsedBytes;
        return OperationStatus.Done;
    }

    /// <summary>
    /// A zero byte cannot begin a block's name, so it begins a page size (no low 12 bits, not 0) or, after the last
    /// entry, a record's word (always low 12 bits).
    /// </summary>
    private OperationStatus ReadAfterBlockEntry(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        (consumed, fault) = (0, "a RAM block list that does not add up");
        var isLast = listedBytesLeft == 0;
        if (input.IsEmpty) return OperationStatus.NeedMoreData;
        if (input[0] == 0 && !configuration.IgnoresSharedRam)
        {
            if (input.Length < sizeof(ulong)) return OperationStatus.NeedMoreData;
            var word = BinaryPrimitives.ReadUInt64BigEndian(input);
            var isPageSize = word != 0 && (word & 0xFFF) == 0;
            if (!isPageSize && !isLast) return OperationStatus.InvalidData;
            if (isPageSize)
            {
                consumed = sizeof(ulong);
                traffic.Find(System.Text.Encoding.Latin1.GetBytes(lastListed!.Name))!.Block =
                    lastListed with { PageSizeBytes = word };
            }
        }
        expect = isLast ? Expect.Record : Expect.BlockEntry;
        return OperationStatus.Done;
    }
}
