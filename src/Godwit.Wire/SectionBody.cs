using System.Buffers;

namespace Godwit.Wire;

/// <summary>The bodies between a section's header and its footer, of the sections that say where they end.</summary>
internal interface ISectionBody
{
    /// <summary>Called for each START, PART and END. False: this section cannot come here.</summary>
    bool TryBegin(StreamElement element);

    /// <summary>As <see cref="WireReader.Read"/>; <see cref="IsEnded"/> after it tells whether the footer is next.</summary>
    OperationStatus Read(ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault);

    bool IsEnded { get; }
}

/// <summary>"dirty-bitmap": passed over chunk by chunk.</summary>
internal sealed class DirtyBitmapBody : ISectionBody
{
    public bool IsEnded { get; private set; }

    public bool TryBegin(StreamElement element)
    {
        IsEnded = false;
        return true;
    }

    public OperationStatus Read(ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        fault = "a dirty-bitmap chunk of an unknown kind";
        var status = BitmapChunk.TryRead(input, out var chunk, out consumed);
        payload = chunk.PayloadBytes;
        IsEnded = (chunk.Flags & BitmapFlags.Eos) != 0;
        return status;
    }
}
