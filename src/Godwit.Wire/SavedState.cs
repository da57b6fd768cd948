namespace Godwit.Wire;

/// <summary>What a stream that was saved whole turned out to be.</summary>
public abstract record SavedState
{
    private SavedState() { }

    /// <summary>Header to VMDESCRIPTION, every section closed, no byte too many.</summary>
    /// <param name="DeviceStateStartsAt">Offset of the first device section, which ends at the EOF byte.</param>
    /// <param name="DescriptionStartsAt">Offset of VMDESCRIPTION; the byte before it is EOF.</param>
    public sealed record Complete(
        string MachineType, IReadOnlyList<RamBlock> Blocks, long DeviceStateStartsAt, long DescriptionStartsAt, long Bytes)
        : SavedState;

    /// <param name="Why">For people: what is missing, and at which byte.</param>
    public sealed record Damaged(string Why) : SavedState;

    /// <summary>Judges a stream that was fed from its first to its last byte.</summary>
    public static SavedState Of(MigrationStreamReader reader)
    {
        if (reader.IsPassThrough) return new Damaged($"not understood: {reader.PassThroughReason}");
        if (reader.Ending == StreamEnding.Described && reader.MemoryIsComplete)
        {
            return new Complete(
                reader.Configuration?.MachineType ?? "", [.. reader.Ram.Blocks.Select(b => b.Block)],
                reader.DeviceStateStartsAt, reader.DescriptionStartsAt, reader.BytesFed);
        }

        var place =
            reader.BytesFed == 0 ? "it is empty"
            : !reader.MemoryIsComplete ? "it ends before memory is complete"
            : reader.Ending == StreamEnding.Eof ? "it ends without a VM description, so nothing proves its end"
            : "it ends inside device state or its description";
        return new Damaged($"{place} (at byte {reader.BytesFed})");
    }

    /// <summary>The same for a stream held in memory.</summary>
    public static SavedState Of(ReadOnlySpan<byte> stream)
    {
        var reader = new MigrationStreamReader();
        reader.Feed(stream);
        return Of(reader);
    }
}
