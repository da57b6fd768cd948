using System.IO.Hashing;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// Looks into a running guest's memory to say what a move of it would cost. Pages drawn at random from those that are there: how many
/// are not zero, how well neighbours pack, and, of a quarter of them looked at eight times more within 3 s, how many differ from the
/// first look; some of those ten times a second, to see whether the guest works steadily or in bursts. The guest and its QEMU do not
/// notice: nobody is asked, nothing is stopped, no dirty log is switched on.
/// </summary>
/// <remarks>
/// Some 300 MiB are read for a measurement, and 10 MiB of them packed: 140 ms of one processor, an agent's first. Of p, the
/// share of pages that are not zero, ±sqrt(p(1−p)/16384) is known: less than half a hundredth. A page that is written with what it
/// held before is not seen to change; QEMU would send it.
/// </remarks>
internal sealed class MemoryLook(IDisk disk, TimeProvider time, IRandomness randomness)
{
    private const int PageBytes = PageSamples.PageBytes, RunBytes = 32 << 10;
    /// <summary>Each slice one watched page in four is looked at, and all of them at the end of a window.</summary>
    private const int SliceStep = 4;
    private static readonly int[] windowsInSlices = [1, 3, 5, 7, 10, 15, 20, 30];
    private static readonly Length whole = new(Samples: 16_384, Watched: 4096, Runs: 320, ChangedRuns: 80, Slices: 30);
    private static readonly Length glance = new(Samples: 4096, Watched: 2048, Runs: 120, ChangedRuns: 40, Slices: 3);

    private static readonly TimeSpan givenAgainAfter = TimeSpan.FromMinutes(10);

    private long looks, busyTicks;
    private readonly Lock trying = new();
    private (double BytesPerSecond, long At)? given;

    /// <summary>Measurements so far, and what reading and packing took in them, without the waits between.</summary>
    public (long Looks, TimeSpan Busy) Spent => (Interlocked.Read(ref looks), TimeSpan.FromTicks(Interlocked.Read(ref busyTicks)));

    /// <summary>
    /// Null where the VM has no QEMU here, or a move has it (which is not disturbed by being measured), or its memory still arrives.
    /// </summary>
    public Task<Looked?> MeasureAsync(Machine vm, CancellationToken cancel) => MeasureAsync(vm, whole, cancel);

    /// <summary>The same in some half a second: less is known of what changes, and nothing of how steadily.</summary>
    public Task<Looked?> GlanceAsync(Machine vm, CancellationToken cancel) => MeasureAsync(vm, glance, cancel);

    private async Task<Looked?> MeasureAsync(Machine vm, Length of, CancellationToken cancel)
    {
        if (vm.Current is not { } qemu || vm.HeldBy is not null || vm.Record.MemoryElsewhere is not null) return null;
        var (entered, waited) = (time.GetTimestamp(), new Waits());
        try { return await MeasureAsync(vm, qemu, of, waited, cancel); }
        finally
        {
            Interlocked.Increment(ref looks);
            Interlocked.Add(ref busyTicks, (time.GetElapsedTime(entered) - waited.Sum).Ticks);
        }
    }

    private async Task<Looked?> MeasureAsync(Machine vm, QemuInstance qemu, Length of, Waits waited, CancellationToken cancel)
    {
        using var memory = disk.OpenMemory(qemu.RamPath);
        var (directory, allocated) = (Path.GetDirectoryName(vm.Home.Run)!, memory.AllocatedBytes);
        var givenPerSecond = disk.FileSystemOf(directory) == "tmpfs" ? GivenBytesPerSecond(directory) : 0;
        var present = memory.PresentRanges(PageSamples.RangesMax);
        var presentPages = present.Sum(r => r.Bytes / PageBytes);
        var numbers = new SeededNumbers(Convert.ToUInt64(randomness.NextHex(8), 16));
        var drawn = PageSamples.Draw(present, presentPages, (int)Math.Min(of.Samples, presentPages), ref numbers);
        var nonZero = NonZero(memory, drawn);
        var packRatio = PackRatio(memory, nonZero, of.Runs, ref numbers, withNeighbours: true);
        var watched = EachOf(drawn, of.Watched);

        var (first, newest, slices) = (new ulong[watched.Length], new ulong[watched.Length], new List<long>());
        List<DirtyPoint> dirty = [];
        var begun = time.GetTimestamp();
        PageSamples.Look(memory, watched, step: 1, (i, hash) => first[i] = newest[i] = hash);
        for (var slice = 1; slice <= of.Slices; slice++)
        {
            // In the same order, so that it is each page's own window.
            var wait = TimeSpan.FromMilliseconds(slice * MemoryProfile.SliceMs) - time.GetElapsedTime(begun);
            if (wait > TimeSpan.Zero)
            {
                var asleep = time.GetTimestamp();
                await Task.Delay(wait, time, cancel);
                waited.Sum += time.GetElapsedTime(asleep);
            }
            if (vm.HeldBy is not null || vm.Current != qemu) return null;
            var isWindow = windowsInSlices.Contains(slice);
            var (late, step) = (time.GetElapsedTime(begun).TotalMilliseconds, isWindow ? 1 : SliceStep);
            var (changed, since) = (0, 0);
            PageSamples.Look(memory, watched, step, (i, hash) =>
            {
                changed += hash != first[i] ? 1 : 0;
                if (i % SliceStep == 0) since += hash != newest[i] ? 1 : 0;
                newest[i] = hash;
            });
            if (isWindow) dirty.Add(new DirtyPoint(late, Share(changed, watched.Length)));
            slices.Add(Share(since, (watched.Length + SliceStep - 1) / SliceStep));
        }
        List<long> written = [.. watched.Where((_, i) => newest[i] != first[i])];
        var ended = time.GetTimestamp();
        var profile = new MemoryProfile
        {
            At = time.GetUtcNow(), TotalBytes = memory.LengthBytes, NonZeroBytes = Share(nonZero.Count, drawn.Length), Dirty = dirty,
            Slices = slices, PackRatio = packRatio,
            ChangedPackRatio = written.Count == 0 ? packRatio
                : PackRatio(memory, written, of.ChangedRuns, ref numbers, withNeighbours: false),
            UntouchedBytes = Math.Max(0, memory.LengthBytes - allocated), GivenBytesPerSecond = givenPerSecond, SampledPages = drawn.Length,
        };
        return new Looked(profile, new PagesDrawn(drawn, presentPages * PageBytes, written), allocated, begun, ended);

        long Share(int count, int of) => of == 0 ? 0 : (long)((double)count / of * presentPages * PageBytes);
    }

    /// <summary>As this host gives memory, tried now and then; 0 where it cannot be told.</summary>
    private double GivenBytesPerSecond(string directory)
    {
        lock (trying) // Two tries at once would measure each other.
        {
            if (given is { } known && time.GetElapsedTime(known.At) < givenAgainAfter) return known.BytesPerSecond;
            var found = disk.GivenBytesPerSecond(directory);
            if (found > 0) given = (found, time.GetTimestamp());
            return found;
        }
    }

    private static List<long> NonZero(IMemoryFile memory, long[] pages)
    {
        Span<byte> page = stackalloc byte[PageBytes];
        List<long> found = [];
        foreach (var at in pages)
        {
            memory.Read(at, page);
            if (page.ContainsAnyExcept((byte)0)) found.Add(at);
        }
        return found;
    }

    /// <param name="withNeighbours">
    /// Each with what lies behind it, as a first pass sends it; else with the next of <paramref name="pages"/>, as later passes do.
    /// </param>
    private static double PackRatio(
        IMemoryFile memory, List<long> pages, int runs, ref SeededNumbers numbers, bool withNeighbours)
    {
        using var packer = new StreamPacker();
        var (raw, packed) = (new byte[RunBytes], new byte[RunBytes]);
        var (before, after) = (0L, 0L);
        for (var run = 0; run < runs && pages.Count > 0; run++)
        {
            // One from each stretch of them: what packs alike lies together, and chance alone would miss by more.
            var page = Math.Min(pages.Count - 1, (int)((run + numbers.Share()) * pages.Count / runs));
            var bytes = (int)Math.Min(RunBytes, withNeighbours ? memory.LengthBytes - pages[page] : (pages.Count - page) * PageBytes);
            if (withNeighbours) memory.Read(pages[page], raw.AsSpan(0, bytes));
            else for (var n = 0; n < bytes / PageBytes; n++) memory.Read(pages[page + n], raw.AsSpan(n * PageBytes, PageBytes));
            var kept = WithoutZeroPages(raw.AsSpan(0, bytes));
            var payload = packer.TryPack(raw.AsSpan(0, kept), packed);
            (before, after) = (before + kept, after + (payload > 0 ? payload : kept));
        }
        return after == 0 ? 1 : Math.Max(1, (double)before / after);
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

    private static long[] EachOf(long[] pages, int most)
    {
        var step = Math.Max(1, pages.Length / most);
        return [.. pages.Where((_, i) => i % step == 0).Take(most)];
    }

    /// <param name="AllocatedBytes">When it began: where it has grown much since, this is no longer true.</param>
    /// <param name="Begun">When what changes was looked at first, a stamp of the time provider.</param>
    /// <param name="Ended">When last.</param>
    public sealed record Looked(MemoryProfile Profile, PagesDrawn Drawn, long AllocatedBytes, long Begun, long Ended);

    /// <param name="Runs">Of neighbouring pages packed together, as the link does.</param>
    private sealed record Length(int Samples, int Watched, int Runs, int ChangedRuns, int Slices);

    private sealed class Waits
    {
        public TimeSpan Sum;
    }
}
