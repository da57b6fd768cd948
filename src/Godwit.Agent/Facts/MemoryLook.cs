using System.IO.Hashing;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// Looks into a running guest's memory to say what a move of it would cost. Pages drawn at random from those that are there are
/// looked at five times within 3 s: how many are not zero, how many differ from the first look, and how well neighbours pack. The
/// guest and its QEMU do not notice: nobody is asked, nothing is stopped, no dirty log is switched on.
/// </summary>
/// <remarks>
/// 4,096 pages, read five times and hashed, are 80 MiB: some 25 ms of one processor for a measurement. A share p of the pages is
/// known to ±sqrt(p(1−p)/4096), less than a hundredth. A page that is written with what it held before is not seen to change; QEMU
/// would send it.
/// </remarks>
internal sealed class MemoryLook(IDisk disk, TimeProvider time, IRandomness randomness)
{
    private const int PageBytes = 4096, Samples = 4096, RangesMax = 1 << 16;
    /// <summary>Neighbouring pages packed together, as the link does.</summary>
    private const int Runs = 48, RunBytes = 64 << 10;
    private static readonly double[] WindowsMs = [100, 300, 1000, 3000];

    /// <summary>Null where the VM has no QEMU here, or a move has it: a move is not disturbed by being measured.</summary>
    public async Task<MemoryProfile?> MeasureAsync(Machine vm, CancellationToken cancel)
    {
        if (vm.Current is not { } qemu || vm.HeldBy is not null) return null;
        using var memory = disk.OpenMemory(qemu.RamPath);
        var present = memory.PresentRanges(RangesMax);
        var presentPages = present.Sum(r => r.Bytes / PageBytes);
        var seed = Convert.ToUInt64(randomness.NextHex(8), 16);
        var pages = Draw(present, presentPages, (int)Math.Min(Samples, presentPages), seed);

        var first = new ulong[pages.Length];
        var begun = time.GetTimestamp();
        var nonZero = Look(memory, pages, first, isFirst: true);
        List<DirtyPoint> dirty = [];
        foreach (var window in WindowsMs)
        {
            // From the middle of the first look to the middle of this one.
            var wait = TimeSpan.FromMilliseconds(window) - time.GetElapsedTime(begun);
            if (wait > TimeSpan.Zero) await Task.Delay(wait, time, cancel);
            if (vm.HeldBy is not null || vm.Current != qemu) return null;
            var changed = Look(memory, pages, first, isFirst: false);
            dirty.Add(new DirtyPoint(window, Share(changed)));
        }
        return new MemoryProfile
        {
            At = time.GetUtcNow(), TotalBytes = memory.LengthBytes, NonZeroBytes = Share(nonZero), Dirty = dirty,
            PackRatio = PackRatio(memory, present, presentPages, seed + 1), SampledPages = pages.Length,
        };

        long Share(int count) => pages.Length == 0 ? 0 : (long)((double)count / pages.Length * presentPages * PageBytes);
    }

    /// <summary>How many pages are not zero (first look), or differ from the first look.</summary>
    private static int Look(IMemoryFile memory, long[] pages, ulong[] first, bool isFirst)
    {
        Span<byte> page = stackalloc byte[PageBytes];
        var count = 0;
        for (var i = 0; i < pages.Length; i++)
        {
            memory.Read(pages[i], page);
            var hash = XxHash3.HashToUInt64(page);
            if (isFirst)
            {
                first[i] = hash;
                if (page.ContainsAnyExcept((byte)0)) count++;
            }
            else if (hash != first[i]) count++;
        }
        return count;
    }

    private static double PackRatio(IMemoryFile memory, IReadOnlyList<(long Offset, long Bytes)> present, long presentPages, ulong seed)
    {
        using var packer = new StreamPacker();
        var (raw, packed) = (new byte[RunBytes], new byte[RunBytes]);
        var (before, after) = (0L, 0L);
        foreach (var at in Draw(present, presentPages, (int)Math.Min(Runs, presentPages), seed))
        {
            var bytes = (int)Math.Min(RunBytes, memory.LengthBytes - at);
            memory.Read(at, raw.AsSpan(0, bytes));
            var kept = WithoutZeroPages(raw.AsSpan(0, bytes));
            if (kept == 0) continue;
            var payload = packer.TryPack(raw.AsSpan(0, kept), packed);
            (before, after) = (before + kept, after + (payload > 0 ? payload : kept));
        }
        return after == 0 ? 1 : (double)before / after;
    }

    /// <summary>QEMU sends a page of zeros as nine bytes: what packs is the rest, moved together.</summary>
    private static int WithoutZeroPages(Span<byte> run)
    {
        var kept = 0;
        for (var at = 0; at + PageBytes <= run.Length; at += PageBytes)
        {
            var page = run.Slice(at, PageBytes);
            if (!page.ContainsAnyExcept((byte)0)) continue;
            page.CopyTo(run[kept..]);
            kept += PageBytes;
        }
        return kept;
    }

    /// <summary>Offsets of <paramref name="count"/> pages, each as likely, ascending: read in order they cost less.</summary>
    private static long[] Draw(IReadOnlyList<(long Offset, long Bytes)> present, long presentPages, int count, ulong seed)
    {
        var numbers = new SeededNumbers(seed);
        var drawn = new long[count];
        for (var i = 0; i < count; i++) drawn[i] = (long)(numbers.Next() % (ulong)presentPages);
        Array.Sort(drawn);
        var (range, before) = (0, 0L);
        for (var i = 0; i < count; i++)
        {
            while (drawn[i] - before >= present[range].Bytes / PageBytes) before += present[range++].Bytes / PageBytes;
            drawn[i] = present[range].Offset + (drawn[i] - before) * PageBytes;
        }
        return drawn;
    }
}
