using System.Buffers;

namespace Godwit.Wire;

/// <summary>Where a stream's bytes went.</summary>
public enum StreamPart
{
    Header,
    Configuration,
    /// <summary>"ram" sections from header to footer.</summary>
    Ram,
    DirtyBitmaps,
    Commands,
    /// <summary>From the first FULL section on: device state, EOF, VMDESCRIPTION. In postcopy: the packaged blob.</summary>
    Devices,
    /// <summary>EOF and VMDESCRIPTION of a stream without device state.</summary>
    End,
}

public enum StreamStanding
{
    /// <summary>Every byte is understood.</summary>
    Reading,
    /// <summary>Memory is through; device state passes, which has no lengths.</summary>
    DeviceState,
    /// <summary>Something unknown came; see <see cref="WireReader.PassThroughReason"/>.</summary>
    PassThrough,
}

/// <summary>
/// Watches the main channel of a QEMU migration: machine, RAM blocks, pages as they pass, where device state begins,
/// and whether the stream is whole at its end. Layouts: WireFormat.md. Not thread-safe.
/// </summary>
/// <param name="traffic">Shared with the multifd channels of the same migration, or one's own.</param>
public sealed class MigrationStreamReader(RamTraffic traffic) : WireReader
{
    private enum Expect { Header, Configuration, AfterConfiguration, Element, Body, Footer, Devices, AfterEof, Description }

    private const int SectionsMax = 16;

    private readonly Dictionary<uint, ISectionBody?> sections = [];
    private readonly long[] bytesIn = new long[Enum.GetValues<StreamPart>().Length];
    private readonly StreamEndHunter end = new();
    private Expect expect;
    private StreamPart part;
    private SectionHeader? section;
    private ISectionBody? body;
    private bool hasRam;

    public MigrationStreamReader() : this(new RamTraffic()) { }

    public StreamStanding Standing =>
        IsPassThrough ? StreamStanding.PassThrough
        : expect == Expect.Devices ? StreamStanding.DeviceState
        : StreamStanding.Reading;

    /// <summary>Null until it passed, and for machines older than 2.4.</summary>
    public StreamConfiguration? Configuration { get; private set; }

    public RamTraffic Ram => traffic;

    /// <summary>PART sections of RAM: QEMU writes one about every 50 ms; not the same as passes over memory.</summary>
    public long RamRounds { get; private set; }

    /// <summary>True once RAM's END is through: the last page of precopy was sent.</summary>
    public bool MemoryIsComplete { get; private set; }

    /// <summary>Offset of the first FULL section (postcopy: of the package); -1 before.</summary>
    public long DeviceStateStartsAt { get; private set; } = -1;

    /// <summary>True once a PACKAGED command passed: postcopy.</summary>
    public bool IsPostcopy { get; private set; }

    public StreamEnding Ending =>
        IsPassThrough ? StreamEnding.Open
        : expect == Expect.AfterEof && !InsideUnit ? StreamEnding.Eof
        : expect is Expect.Devices or Expect.Description ? end.Ending
        : StreamEnding.Open;

    /// <summary>Offset of the VMDESCRIPTION element; -1 unless <see cref="StreamEnding.Described"/>.</summary>
    public long DescriptionStartsAt => Ending == StreamEnding.Described ? end.DescriptionStartsAt : -1;

    /// <summary>The VMDESCRIPTION's JSON; empty unless <see cref="StreamEnding.Described"/>.</summary>
    public ReadOnlyMemory<byte> Description => Ending == StreamEnding.Described ? end.Description : default;

    /// <summary>With <see cref="WireReader.UnreadBytes"/> and what is held of a unit they add up to all bytes fed.</summary>
    public long BytesIn(StreamPart which) => bytesIn[(int)which];

    private protected override void Count(long bytes) => bytesIn[(int)part] += bytes;

    private protected override OperationStatus Read(
        ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        payload = 0;
        switch (expect)
        {
            case Expect.Header: return ReadHeader(input, out consumed, out fault);
            case Expect.Configuration: return ReadConfiguration(input, out consumed, out fault);
            case Expect.AfterConfiguration: return ReadSubsection(input, out consumed, out fault);
            case Expect.Element: return ReadElement(input, out consumed, out payload, out fault);
            case Expect.Body: return ReadBody(input, out consumed, out payload, out fault);
            case Expect.Footer: return ReadFooter(input, out consumed, out fault);
            case Expect.AfterEof: return ReadAfterEof(input, out consumed, out fault);
            default:
                end.Feed(input, BytesRead);
                (consumed, fault) = (input.Length, "");
                return OperationStatus.Done;
        }
    }

    private OperationStatus ReadHeader(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        fault = "no QEMU migration stream of version 3";
        var status = StreamHeader.TryRead(input, out _, out consumed);
        if (status == OperationStatus.Done) expect = Expect.Configuration;
        return status;
    }

    private OperationStatus ReadConfiguration(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        (consumed, fault) = (0, "a configuration that is not one");
        var isHere = input[0] == (byte)StreamElement.Configuration;
        if (!isHere)
        {
            expect = Expect.Element;
            return OperationStatus.Done;
        }

        part = StreamPart.Configuration;
        var status = StreamConfiguration.TryRead(input, out var configuration, out consumed);
        if (status != OperationStatus.Done) return status;
        (Configuration, expect) = (configuration, Expect.AfterConfiguration);
        return status;
    }

    private OperationStatus ReadSubsection(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        (consumed, fault) = (0, "a configuration subsection of an unknown kind");
        if (input[0] != (byte)StreamElement.Subsection)
        {
            expect = Expect.Element;
            return OperationStatus.Done;
        }

        var status = Configuration!.TryReadSubsection(input, out var with, out consumed);
        if (status == OperationStatus.Done) Configuration = with;
        return status;
    }

    private OperationStatus ReadElement(
        ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        (consumed, payload, fault) = (0, 0, "");
        switch ((StreamElement)input[0])
        {
            case StreamElement.Eof:
                (consumed, part, expect) = (1, StreamPart.End, Expect.AfterEof);
                return OperationStatus.Done;

            case StreamElement.Command:
                return ReadCommand(input, out consumed, out payload, out fault);

            case StreamElement.SectionStart or StreamElement.SectionPart or StreamElement.SectionEnd
                or StreamElement.SectionFull:
                return ReadSection(input, out consumed, out fault);

            default:
                fault = $"element 0x{input[0]:x2}, which is unknown here";
                return OperationStatus.InvalidData;
        }
    }

    private OperationStatus ReadCommand(
        ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        (payload, fault) = (0, "an unknown command");
        var status = CommandHeader.TryRead(input, out var command, out consumed);
        if (status != OperationStatus.Done) return status;

        payload = command.PayloadBytes;
        part = StreamPart.Commands;
        if (command.Command == StreamCommand.Packaged)
        {
            (part, IsPostcopy) = (StreamPart.Devices, true);
            if (DeviceStateStartsAt < 0) DeviceStateStartsAt = BytesRead;
        }
        return status;
    }

    private OperationStatus ReadSection(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        fault = "a section header that is not one";
        var status = SectionHeader.TryRead(input, out var header, out consumed);
        if (status != OperationStatus.Done || header is null) return status;

        var refusal = header.Element switch
        {
            StreamElement.SectionFull => BeginDevices(header),
            StreamElement.SectionStart => BeginSection(header),
            _ => ContinueSection(header),
        };
        if (refusal.Length == 0) return OperationStatus.Done;
        (consumed, fault) = (0, refusal);
        return OperationStatus.InvalidData;
    }

    /// <summary>Device sections have no length: from here the end of the stream is all that can be found.</summary>
    private string BeginDevices(SectionHeader header)
    {
        if (!MemoryIsComplete || sections.Values.Any(s => s is not null))
            return $"device section '{header.Name}' before memory was complete";
        (part, expect) = (StreamPart.Devices, Expect.Devices);
        if (DeviceStateStartsAt < 0) DeviceStateStartsAt = BytesRead;
        return "";
    }

    private string BeginSection(SectionHeader header)
    {
        ISectionBody? begun = (header.Name, header.Version) switch
        {
            ("ram", 4) => new RamBody(traffic, Configuration ?? new StreamConfiguration { MachineType = "" }),
            ("dirty-bitmap", 1) => new DirtyBitmapBody(),
            _ => null,
        };
        if (begun is null) return $"section '{header.Name}' version {header.Version}, which is unknown here";
        if (begun is RamBody && Configuration is { IsMappedRam: true }) return "a mapped-ram file, which has another layout";
        if (begun is RamBody && hasRam) return "a second section 'ram'";
        hasRam |= begun is RamBody;
        if (sections.Count >= SectionsMax || !sections.TryAdd(header.SectionId, begun)) return "a section id used twice";
        return Enter(header, begun);
    }

    private string ContinueSection(SectionHeader header)
    {
        if (!sections.TryGetValue(header.SectionId, out var known) || known is null)
            return $"section id {header.SectionId}, which is not open";
        return Enter(header, known);
    }

    private string Enter(SectionHeader header, ISectionBody entered)
    {
        if (!entered.TryBegin(header.Element)) return "a section in the wrong order";
        (section, body, expect) = (header, entered, Expect.Body);
        part = entered is RamBody ? StreamPart.Ram : StreamPart.DirtyBitmaps;
        if (entered is RamBody && header.Element == StreamElement.SectionPart) RamRounds++;
        return "";
    }

    private OperationStatus ReadBody(ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        var status = body!.Read(input, out consumed, out payload, out fault);
        if (status == OperationStatus.Done && body.IsEnded) expect = Expect.Footer;
        return status;
    }

    private OperationStatus ReadFooter(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        fault = $"no footer of section {section!.SectionId}";
        var status = SectionFooter.TryRead(input, out var footer, out consumed);
        if (status != OperationStatus.Done) return status;
        if (footer.SectionId != section.SectionId) return OperationStatus.InvalidData;

        if (section.Element == StreamElement.SectionEnd)
        {
            sections[section.SectionId] = null;
            if (body is RamBody) MemoryIsComplete = true;
        }
        expect = Expect.Element;
        return status;
    }

    private OperationStatus ReadAfterEof(ReadOnlySpan<byte> input, out int consumed, out string fault)
    {
        (consumed, fault) = (0, "bytes behind the end of the stream");
        var cursor = new WireCursor(input);
        if (!cursor.TryByte(out var element)) return OperationStatus.NeedMoreData;
        if (element != (byte)StreamElement.Description) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var length)) return OperationStatus.NeedMoreData;

        end.Begin(BytesRead, length);
        (consumed, expect) = (cursor.At, Expect.Description);
        return OperationStatus.Done;
    }
}
