namespace Godwit.Wire;

/// <summary>
/// Counts pages that were sent more than once: one bit a page, in pieces made when a page in them passes, so memory
/// follows what was really sent and never what a stream claims. One piece covers 32,768 pages (128 MiB of 4 KiB
/// pages) with 4 KiB; the cap of 16,384 pieces covers 2 TiB of guest RAM with 64 MiB. Not thread-safe.
/// </summary>
public sealed class PageAudit(int piecesMax = 16_384)
{
    private const int PagesPerPiece = 32_768;
    private readonly Dictionary<(string Block, ulong Piece), ulong[]> pieces = [];
    private (string Block, ulong Piece) lastKey = ("", ulong.MaxValue);
    private ulong[]? lastPiece;

    /// <summary>Pages noted a second, third, … time.</summary>
    public long RepeatedPages { get; private set; }

    /// <summary>Different pages noted.</summary>
    public long DistinctPages { get; private set; }

    /// <summary>Pages not looked at because the cap was reached; then <see cref="RepeatedPages"/> is a lower bound.</summary>
    public long UnauditedPages { get; private set; }

    /// <summary>True where this page of the block was noted before.</summary>
    /// <param name="page">Page number in its block.</param>
    public bool Note(string block, ulong page)
    {
        if (PieceOf(block, page / PagesPerPiece) is not { } piece)
        {
            UnauditedPages++;
            return false;
        }

        ref var word = ref piece[(int)(page % PagesPerPiece) >> 6];
        var bit = 1UL << (int)(page & 63);
        if ((word & bit) != 0)
        {
            RepeatedPages++;
            return true;
        }
        word |= bit;
        DistinctPages++;
        return false;
    }

    private ulong[]? PieceOf(string block, ulong number)
    {
        // Pages come in order: nearly every one is in the piece of the page before.
        if (number == lastKey.Piece && ReferenceEquals(block, lastKey.Block)) return lastPiece;

        var key = (block, number);
        if (!pieces.TryGetValue(key, out var piece))
        {
            if (pieces.Count >= piecesMax) return null;
            pieces[key] = piece = new ulong[PagesPerPiece / 64];
        }
        (lastKey, lastPiece) = (key, piece);
        return piece;
    }
}
