namespace Godwit.Wire;

/// <summary>What passed for one RAM block so far.</summary>
public sealed class RamBlockTraffic
{
    internal RamBlockTraffic(RamBlock block) => Block = block;

    public RamBlock Block { get; internal set; }

    public long ZeroPages { get; internal set; }
    public long NormalPages { get; internal set; }
    /// <summary>XBZRLE deltas and zlib pages; Godwit never asks QEMU for them.</summary>
    public long EncodedPages { get; internal set; }
    /// <summary>Pages that had been sent before; 0 without an audit.</summary>
    public long RepeatedPages { get; internal set; }
    /// <summary>Records with their payload.</summary>
    public long WireBytes { get; internal set; }
}

/// <summary>The blocks of one VM by name, shared by all channels of its migration.</summary>
public sealed class RamTraffic(PageAudit? audit = null)
{
    /// <summary>A big machine with a hundred devices has a few hundred.</summary>
    public const int BlocksMax = 4096;

    private readonly List<RamBlockTraffic> blocks = [];
    private readonly Dictionary<string, RamBlockTraffic> byName = [];

    public IReadOnlyList<RamBlockTraffic> Blocks => blocks;

    public PageAudit? Audit => audit;

    public long ZeroPages => blocks.Sum(b => b.ZeroPages);
    public long NormalPages => blocks.Sum(b => b.NormalPages);
    public long EncodedPages => blocks.Sum(b => b.EncodedPages);

    /// <summary>False for a second block of that name, or one too many.</summary>
    internal bool TryAdd(RamBlock block)
    {
        if (blocks.Count >= BlocksMax) return false;
        var traffic = new RamBlockTraffic(block);
        if (!byName.TryAdd(block.Name, traffic)) return false;
        blocks.Add(traffic);
        return true;
    }

    internal RamBlockTraffic? Find(ReadOnlySpan<byte> name)
    {
        Span<char> text = stackalloc char[byte.MaxValue];
        if (name.Length > text.Length) return null;
        System.Text.Encoding.Latin1.GetChars(name, text);
        return byName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text[..name.Length], out var block) ? block : null;
    }

    /// <summary>False where the page lies outside of the block.</summary>
    internal bool TryNote(RamBlockTraffic traffic, RamFlags kind, ulong offset, int pageBytes)
    {
        if (offset >= traffic.Block.UsedBytes) return false;
        switch (kind)
        {
            case RamFlags.Zero: traffic.ZeroPages++; break;
            case RamFlags.Page: traffic.NormalPages++; break;
            default: traffic.EncodedPages++; break;
        }
        if (audit is not null && audit.Note(traffic.Block.Name, offset / (ulong)pageBytes)) traffic.RepeatedPages++;
        return true;
    }
}
