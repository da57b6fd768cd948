using System.Buffers;

namespace Godwit.Wire;

/// <summary>What both sides must agree on before anything else is read.</summary>
public sealed record StreamConfiguration
{
    private const int MachineTypeBytesMax = 255;
    private const int CapabilitiesMax = 64;

    /// <summary>"pc-q35-7.2".</summary>
    public required string MachineType { get; init; }

    /// <summary>The "validated" capabilities that are on: x-ignore-shared, mapped-ram.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <summary>12 unless the stream says otherwise (never on x86).</summary>
    public int TargetPageBits { get; init; } = 12;

    /// <summary>Only with validate-uuid; 16 bytes as 32 hex digits.</summary>
    public string? Uuid { get; init; }

    public bool IgnoresSharedRam => Capabilities.Contains("x-ignore-shared");

    public bool IsMappedRam => Capabilities.Contains("mapped-ram");

    /// <summary>Reads the element byte and the machine type; subsections follow while the next byte is 0x05.</summary>
    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out StreamConfiguration? configuration, out int consumed)
    {
        (configuration, consumed) = (null, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var element)) return OperationStatus.NeedMoreData;
        if (element != (byte)StreamElement.Configuration) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var length)) return OperationStatus.NeedMoreData;
        if (length is 0 or > MachineTypeBytesMax) return OperationStatus.InvalidData;
        if (!cursor.TryBytes((int)length, out var machine)) return OperationStatus.NeedMoreData;

        (configuration, consumed) = (new StreamConfiguration { MachineType = WireText.Name(machine) }, cursor.At);
        return OperationStatus.Done;
    }

    /// <summary>Reads one subsection. InvalidData also for one not known here: nothing says where it would end.</summary>
    public OperationStatus TryReadSubsection(ReadOnlySpan<byte> source, out StreamConfiguration with, out int consumed)
    {
        (with, consumed) = (this, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var element)) return OperationStatus.NeedMoreData;
        if (element != (byte)StreamElement.Subsection) return OperationStatus.InvalidData;
        if (!cursor.TryName(out var name) || !cursor.TryUInt32(out var version)) return OperationStatus.NeedMoreData;
        if (version != 1) return OperationStatus.InvalidData;

        var status =
            name.SequenceEqual("configuration/target-page-bits"u8) ? ReadPageBits(ref cursor, out with)
            : name.SequenceEqual("configuration/capabilities"u8) ? ReadCapabilities(ref cursor, out with)
            : name.SequenceEqual("configuration/uuid"u8) ? ReadUuid(ref cursor, out with)
            : OperationStatus.InvalidData;
        if (status == OperationStatus.Done) consumed = cursor.At;
        return status;
    }

    /// <summary>Writes element, machine type, and the subsections of capabilities and uuid where there are such.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        output.WriteElement(StreamElement.Configuration);
        output.WriteUInt32((uint)MachineType.Length);
        output.WriteText(MachineType);
        if (Capabilities.Count > 0)
        {
            WriteSubsection(output, "configuration/capabilities");
            output.WriteUInt32((uint)Capabilities.Count);
            foreach (var capability in Capabilities) output.WriteName(capability);
        }
        if (Uuid is null) return;
        WriteSubsection(output, "configuration/uuid");
        output.Write(Convert.FromHexString(Uuid));
    }

    private static void WriteSubsection(IBufferWriter<byte> output, string name)
    {
        output.WriteElement(StreamElement.Subsection);
        output.WriteName(name);
        output.WriteUInt32(1);
    }

    private OperationStatus ReadPageBits(ref WireCursor cursor, out StreamConfiguration with)
    {
        with = this;
        if (!cursor.TryUInt32(out var bits)) return OperationStatus.NeedMoreData;
        if (bits is < 12 or > 30) return OperationStatus.InvalidData;
        with = this with { TargetPageBits = (int)bits };
        return OperationStatus.Done;
    }

    private OperationStatus ReadCapabilities(ref WireCursor cursor, out StreamConfiguration with)
    {
        with = this;
        if (!cursor.TryUInt32(out var count)) return OperationStatus.NeedMoreData;
        if (count > CapabilitiesMax) return OperationStatus.InvalidData;
        var names = new List<string>();
        for (var i = 0; i < count; i++)
        {
            if (!cursor.TryName(out var name)) return OperationStatus.NeedMoreData;
            names.Add(WireText.Name(name));
        }
        with = this with { Capabilities = names };
        return OperationStatus.Done;
    }

    private OperationStatus ReadUuid(ref WireCursor cursor, out StreamConfiguration with)
    {
        with = this;
        if (!cursor.TryBytes(16, out var uuid)) return OperationStatus.NeedMoreData;
        with = this with { Uuid = Convert.ToHexStringLower(uuid) };
        return OperationStatus.Done;
    }
}
