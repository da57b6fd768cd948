using System.Buffers.Binary;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// Memory of a guest that runs before all of it is there (post-copy). A page arrives once, with what it held when the guest was saved;
/// a second time ends a real QEMU, and anything else would be another guest's memory.
/// </summary>
internal sealed class ArrivingPages(GuestLoad load, GuestState saved)
{
    private readonly SortedSet<int> _missing = [.. Enumerable.Range(0, load.UsedPages)];
    private readonly HashSet<int> _placed = [], _unseen = [];

    public bool IsComplete => _missing.Count == 0;
    public int Missing => _missing.Count;
    /// <summary>The page QEMU's main loop waits for, and with it every monitor; null while it goes round.</summary>
    public int? MainLoopWaitsFor { get; set; }
    public bool IsWaiting => MainLoopWaitsFor is { } page && IsMissed(page);
    /// <summary>A page came that the guest did not have when it was saved.</summary>
    public bool IsCorrupt { get; private set; }

    /// <summary>Not there, or there and who waits for it has not looked again.</summary>
    public bool IsMissed(int page) => _missing.Contains(page) || _unseen.Contains(page);

    public void Wake() => _unseen.Clear();

    public int Draw(Loop.SimRandom random) => _missing.ElementAt(random.Next(_missing.Count));

    /// <summary>From the stream. False where it is there already.</summary>
    public bool Place(int page, long first, long second)
    {
        if (!_placed.Add(page)) return false;
        if (page >= load.UsedPages)
        {
            IsCorrupt |= (first, second) != (0, 0);
            return true;
        }
        if (!_missing.Remove(page)) return false; // Filled in by who wrote to the file itself.
        IsCorrupt |= (first, second) != SimMemoryFile.Words(load, saved, page);
        return true;
    }

    /// <summary>Written into the file: holes only, who waits for one sees it when it is woken.</summary>
    public bool Fill(int page, ReadOnlySpan<byte> content)
    {
        if (!_placed.Add(page)) return false;
        _unseen.Add(page);
        if (_missing.Remove(page))
            IsCorrupt |= (BinaryPrimitives.ReadInt64LittleEndian(content), BinaryPrimitives.ReadInt64LittleEndian(content[8..]))
                != SimMemoryFile.Words(load, saved, page);
        else IsCorrupt |= content.ContainsAnyExcept((byte)0);
        return true;
    }
}
