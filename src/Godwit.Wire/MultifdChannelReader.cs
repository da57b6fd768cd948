using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// Watches one multifd channel: init, then packets. The main channel's block list must have passed before pages can be
/// told apart by block; a page of an unknown block is a fault. Not thread-safe, nor is the shared traffic.
/// </summary>
public sealed class MultifdChannelReader(RamTraffic traffic, int pageBytes = 4096) : WireReader
{
    private bool begun;

    /// <summary>Null until it passed.</summary>
    public MultifdInit? Init { get; private set; }

    public long Packets { get; private set; }

    /// <summary>Barriers: each pairs with one on every other channel and on the main channel.</summary>
    public long Syncs { get; private set; }

    public long NormalPages { get; private set; }

    public long ZeroPages { get; private set; }

    /// <summary>True where the channel may end here: it has begun and no packet is cut.</summary>
    public bool IsBetweenPackets => begun && !InsideUnit && !IsPassThrough;

    private protected override void Count(long bytes) { }

    private protected override OperationStatus Read(
        ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault)
    {
        (payload, fault) = (0, begun ? "a multifd packet of an unknown kind" : "no multifd channel");
        if (!begun)
        {
            var first = MultifdInit.TryRead(input, out var init, out consumed);
            (Init, begun) = (init, first == OperationStatus.Done);
            return first;
        }

        var status = MultifdPacket.TryRead(input, pageBytes, out var packet, out consumed);
        if (status != OperationStatus.Done) return status;
        if (!TryNotePages(packet))
        {
            (consumed, fault) = (0, "a multifd page of no listed RAM block");
            return OperationStatus.InvalidData;
        }

        Packets++;
        if ((packet.Flags & MultifdFlags.Sync) != 0) Syncs++;
        NormalPages += packet.NormalPages;
        ZeroPages += packet.ZeroPages;
        payload = packet.PayloadBytes;
        return OperationStatus.Done;
    }

    private bool TryNotePages(in MultifdPacket packet)
    {
        var pages = (int)(packet.NormalPages + packet.ZeroPages);
        if (pages == 0) return true;
        if (traffic.Find(packet.BlockId) is not { } block) return false;
        for (var i = 0; i < pages; i++)
        {
            var kind = i < packet.NormalPages ? RamFlags.Page : RamFlags.Zero;
            if (!traffic.TryNote(block, kind, packet.Offset(i), pageBytes)) return false;
        }
        block.WireBytes += MultifdPacket.HeaderBytes(pageBytes) + packet.PayloadBytes;
        return true;
    }
}
