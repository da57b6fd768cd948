using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// What opens a section: START and FULL carry the name, PART and END only the id. The body follows, then a footer.
/// </summary>
public sealed record SectionHeader
{
    public required StreamElement Element { get; init; }
    public required uint SectionId { get; init; }
    /// <summary>"ram", "dirty-bitmap", "0000:00:02.0/virtio-net", …; empty for PART and END.</summary>
    public string Name { get; init; } = "";
    public uint InstanceId { get; init; }
    public uint Version { get; init; }

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out SectionHeader? header, out int consumed)
    {
        (header, consumed) = (null, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var type)) return OperationStatus.NeedMoreData;
        var element = (StreamElement)type;
        if (element is not (StreamElement.SectionStart or StreamElement.SectionFull
            or StreamElement.SectionPart or StreamElement.SectionEnd)) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var id)) return OperationStatus.NeedMoreData;

        if (element is StreamElement.SectionPart or StreamElement.SectionEnd)
        {
            (header, consumed) = (new SectionHeader { Element = element, SectionId = id }, cursor.At);
            return OperationStatus.Done;
        }

        if (!cursor.TryName(out var name) || !cursor.TryUInt32(out var instance) || !cursor.TryUInt32(out var version))
            return OperationStatus.NeedMoreData;
        header = new SectionHeader
        {
            Element = element, SectionId = id, Name = WireText.Name(name), InstanceId = instance, Version = version,
        };
        consumed = cursor.At;
        return OperationStatus.Done;
    }

    public void Write(IBufferWriter<byte> output)
    {
        output.WriteElement(Element);
        output.WriteUInt32(SectionId);
        if (Element is StreamElement.SectionPart or StreamElement.SectionEnd) return;
        output.WriteName(Name);
        output.WriteUInt32(InstanceId);
        output.WriteUInt32(Version);
    }
}

/// <summary>0x7e and the section's id again: the proof that a body was read to its end.</summary>
public readonly record struct SectionFooter(uint SectionId)
{
    public const int Bytes = 5;

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out SectionFooter footer, out int consumed)
    {
        (footer, consumed) = (default, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var marker)) return OperationStatus.NeedMoreData;
        if (marker != (byte)StreamElement.Footer) return OperationStatus.InvalidData;
        if (!cursor.TryUInt32(out var id)) return OperationStatus.NeedMoreData;
        (footer, consumed) = (new SectionFooter(id), cursor.At);
        return OperationStatus.Done;
    }

    public void Write(IBufferWriter<byte> output)
    {
        output.WriteElement(StreamElement.Footer);
        output.WriteUInt32(SectionId);
    }
}
