using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// A stream that QEMU wrote with x-ignore-shared, taken apart: everything of a machine but the memory its host maps from a file. With
/// that memory it can be written anew in either order (<see cref="DetachedStateWriter"/>).
/// </summary>
/// <param name="RamSection">The number of its section "ram": device sections have others.</param>
/// <param name="Blocks">All RAM blocks, the mapped one too, without guest addresses.</param>
/// <param name="Pages">Of the small blocks (firmware, ROMs, video memory).</param>
/// <param name="Devices">The FULL sections, to the byte before EOF. They have no lengths and are passed on as they are.</param>
public sealed record DetachedState(
    StreamConfiguration Configuration, uint RamSection, IReadOnlyList<RamBlock> Blocks, IReadOnlyList<DetachedPage> Pages,
    ReadOnlyMemory<byte> Devices)
{
    public const int PageBytes = 4096;
    private const int BlocksMax = 256;

    /// <summary>
    /// Reads a whole stream without VMDESCRIPTION (suppress-vmdesc=on). Null with <paramref name="fault"/> where it is anything else.
    /// The result refers to <paramref name="stream"/>'s bytes.
    /// </summary>
    public static DetachedState? TryRead(ReadOnlyMemory<byte> stream, out string fault)
    {
        var reading = new Reading(stream);
        var state = reading.Run();
        fault = state is null ? $"{reading.Fault} at byte {reading.At}" : "";
        return state;
    }

    private sealed class Reading(ReadOnlyMemory<byte> stream)
    {
        private readonly List<RamBlock> blocks = [];
        private readonly List<DetachedPage> pages = [];
        private StreamConfiguration? configuration;
        private string block = "";
        private uint ramSection;

        public int At { get; private set; }
        public string Fault { get; private set; } = "it ends early";

        private ReadOnlySpan<byte> Rest => stream.Span[At..];

        public DetachedState? Run()
        {
            if (!Took(StreamHeader.TryRead(Rest, out _, out var bytes), bytes, "no QEMU migration stream")) return null;
            if (!Took(StreamConfiguration.TryRead(Rest, out configuration, out bytes), bytes, "no configuration")) return null;
            while (!Rest.IsEmpty && Rest[0] == (byte)StreamElement.Subsection)
            {
                var status = configuration!.TryReadSubsection(Rest, out configuration, out bytes);
                if (!Took(status, bytes, "an unknown subsection")) return null;
            }
            if (!configuration!.IgnoresSharedRam) return No("memory is in the stream itself");
            while (!Rest.IsEmpty && Rest[0] != (byte)StreamElement.SectionFull)
            {
                if (!Section()) return null;
            }
            if (blocks.Count == 0 || Rest.Length < 2 || Rest[^1] != (byte)StreamElement.Eof) return No("no end of the device state");
            return new DetachedState(configuration with { Capabilities = [] }, ramSection, blocks, pages, stream[At..^1]);
        }

        private bool Section()
        {
            if (!Took(SectionHeader.TryRead(Rest, out var header, out var bytes), bytes, "no section")) return false;
            if (header!.Element == StreamElement.SectionStart && header is not { Name: "ram", Version: 4 })
                return No($"section '{header.Name}', which is unknown here") is not null;
            ramSection = header.SectionId;
            while (true)
            {
                if (!Took(RamRecord.TryRead(Rest, PageBytes, out var record, out bytes), bytes, "no RAM record")) return false;
                if (record.Kind == RamFlags.Eos) break;
                if (record.Kind == RamFlags.MemSize ? !BlockList(record.Offset) : !Page(record)) return false;
            }
            return Took(SectionFooter.TryRead(Rest, out var footer, out bytes), bytes, "no footer")
                && (footer.SectionId == header.SectionId || No("a footer of another section") is not null);
        }

        private bool BlockList(ulong totalBytes)
        {
            for (ulong sum = 0; sum < totalBytes;)
            {
                var status = RamBlock.TryRead(Rest, withGuestAddress: true, out var found, out var bytes);
                if (!Took(status, bytes, "no RAM block")) return false;
                if (blocks.Count == BlocksMax || found!.UsedBytes == 0 || found.UsedBytes > totalBytes - sum)
                    return No("a block list that does not add up") is not null;
                blocks.Add(found with { GuestAddress = null });
                sum += found.UsedBytes;
            }
            return true;
        }

        private bool Page(RamRecord record)
        {
            if (record.Kind is not (RamFlags.Page or RamFlags.Zero)) return No($"a {record.Kind} record") is not null;
            if (!record.Continues) block = WireText.Name(record.BlockId);
            if (Rest.Length < record.PayloadBytes) return No("it ends inside a page") is not null;
            pages.Add(new DetachedPage(block, record.Offset, stream.Slice(At, record.PayloadBytes)));
            At += record.PayloadBytes;
            return true;
        }

        private bool Took(OperationStatus status, int bytes, string otherwise)
        {
            if (status != OperationStatus.Done) return No(status == OperationStatus.NeedMoreData ? "it ends early" : otherwise) is not null;
            At += bytes;
            return true;
        }

        private DetachedState? No(string fault)
        {
            Fault = fault;
            return null;
        }
    }
}

/// <param name="Content">One page; empty for a page of zeros.</param>
public readonly record struct DetachedPage(string Block, ulong Offset, ReadOnlyMemory<byte> Content);
