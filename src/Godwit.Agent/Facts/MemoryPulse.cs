using System.Numerics;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// Feels twice a second how busily each guest writes: of some hundred pages drawn at random, how many have changed. A look tells more
/// and takes 3 s; this goes on for as long as the guest is here, and so sees turns of minutes. As with looks, nobody is asked and
/// nothing is stopped.
/// </summary>
/// <remarks>
/// At most <see cref="PagesPerTick"/> pages are read at a time, whatever the number of guests, and no more than three thousandths of a
/// processor are spent: where reading is slow, a tick is left out now and then. With more than sixteen guests each is felt more rarely,
/// and short turns of theirs are missed. A working set of less than a hundredth of the memory is hardly felt, and matters as little to a
/// move.
/// </remarks>
internal sealed class MemoryPulse(IDisk disk, HostMachines machines, TimeProvider time, IRandomness randomness)
{
    public static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(GuestRhythm.SliceMs);
    private const double OfProcessorMax = 0.003;
    private const int PagesPerTick = 1024, PagesMin = 64;
    /// <summary>A guest takes pages into use that it had not: others are drawn now and then.</summary>
    private static readonly TimeSpan redrawAfter = TimeSpan.FromMinutes(5);
    /// <summary>So much of what may be spent is given in advance: an agent's first reads are compiled, and slower.</summary>
    private static readonly TimeSpan head = TimeSpan.FromSeconds(30);
    /// <summary>What lies between is not known: it begins anew.</summary>
    private static readonly TimeSpan gapMax = TimeSpan.FromSeconds(30);
    /// <summary>A guest is busy by what it did in the last second.</summary>
    private const int NewestSlices = 2;

    /// <summary>Of how long, in s, it is told how many different pages changed: a look knows 3.</summary>
    private static readonly double[] longerSeconds = [5, 7, 10, 14, 20, 28, 40, 56, 80, 112];

    private readonly Dictionary<VmId, Felt> felt = [];
    private readonly Lock one = new();
    private readonly long began = time.GetTimestamp();
    private int next;
    private long busyTicks;

    /// <summary>What reading took so far.</summary>
    public TimeSpan Busy => TimeSpan.FromTicks(Interlocked.Read(ref busyTicks));

    /// <summary>To be called each <see cref="Tick"/>; late is as good. Never throws for a guest that goes meanwhile.</summary>
    public void Feel()
    {
        var entered = time.GetTimestamp();
        if (Busy > OfProcessorMax * (time.GetElapsedTime(began, entered) + head)) return;
        var here = machines.All.Where(IsOpen).ToList();
        lock (one)
        {
            foreach (var gone in felt.Keys.Except(here.Select(vm => vm.Id)).ToList()) felt.Remove(gone);
            // By halves, so that a guest that comes or goes seldom lets all others be drawn anew.
            var pages = Math.Max(PagesMin, PagesPerTick / (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, here.Count)));
            for (var n = Math.Min(here.Count, PagesPerTick / PagesMin); n > 0; n--) Feel(here[next++ % here.Count], pages);
            next = here.Count == 0 ? 0 : next % here.Count;
        }
        Interlocked.Add(ref busyTicks, time.GetElapsedTime(entered).Ticks);
    }

    /// <summary>Null where it was not felt yet.</summary>
    public GuestRhythm? Of(VmId vm)
    {
        lock (one)
            return felt.GetValueOrDefault(vm) is { Slices.Count: > 0 } known ? new GuestRhythm
            {
                Written = [.. known.Slices.Select(share => (int)Math.Round(share * 1000))],
                AgeMs = Math.Max(0, time.GetElapsedTime(known.Begun).TotalMilliseconds),
                Longer = [.. longerSeconds.Where(known.WasFeltFor(time)).Select(seconds => known.Within(seconds, time.TimestampFrequency))],
            } : null;
    }

    /// <summary>Of the pages that are felt, the part that changed in each of the last slices; null where that is not known.</summary>
    public double? Newest(VmId vm)
    {
        lock (one)
            return felt.GetValueOrDefault(vm) is { Slices.Count: >= NewestSlices } known ? known.Slices.TakeLast(NewestSlices).Average() : null;
    }

    private static bool IsOpen(Machine vm) => vm is { Current: not null, HeldBy: null, Record.MemoryElsewhere: null };

    private void Feel(Machine vm, int pages)
    {
        if (vm.Current is not { } qemu) return;
        try
        {
            using var memory = disk.OpenMemory(qemu.RamPath);
            if (felt.GetValueOrDefault(vm.Id) is not { } known || known.Qemu != qemu || time.GetElapsedTime(known.At) > gapMax)
                felt[vm.Id] = known = new Felt(qemu, time.GetTimestamp());
            if (known.Hashes.Length > 0) known.Note(Changed(memory, known), time);
            if (known.Wanted == pages && time.GetElapsedTime(known.DrawnAt) < redrawAfter) return;
            Draw(memory, known, pages);
        }
        catch (IOException) { felt.Remove(vm.Id); } // Its memory went with its QEMU.
    }

    private double Changed(IMemoryFile memory, Felt known)
    {
        var (changed, now) = (0, time.GetTimestamp());
        PageSamples.Look(memory, known.Pages, step: 1, (i, hash) =>
        {
            if (known.Hashes[i] == hash) return;
            (known.Hashes[i], known.ChangedAt[i]) = (hash, now);
            changed++;
        });
        return (double)changed / known.Pages.Length;
    }

    private void Draw(IMemoryFile memory, Felt known, int pages)
    {
        var present = memory.PresentRanges(PageSamples.RangesMax);
        var presentPages = present.Sum(r => r.Bytes / PageSamples.PageBytes);
        var numbers = new SeededNumbers(Convert.ToUInt64(randomness.NextHex(8), 16));
        known.Pages = presentPages == 0 ? [] : PageSamples.Draw(present, presentPages, pages, ref numbers);
        (known.Hashes, known.ChangedAt) = (new ulong[known.Pages.Length], new long[known.Pages.Length]);
        known.PresentBytes = presentPages * PageSamples.PageBytes;
        PageSamples.Look(memory, known.Pages, step: 1, (i, hash) => known.Hashes[i] = hash);
        (known.Wanted, known.DrawnAt, known.At) = (pages, time.GetTimestamp(), time.GetTimestamp());
    }

    /// <summary>One guest's past in slices of equal length, whenever it was felt.</summary>
    private sealed class Felt(QemuInstance qemu, long begun)
    {
        public QemuInstance Qemu => qemu;
        public long[] Pages { get; set; } = [];
        public ulong[] Hashes { get; set; } = [];
        /// <summary>When each was seen to have changed; 0: not since it was drawn.</summary>
        public long[] ChangedAt { get; set; } = [];
        public long PresentBytes { get; set; }
        /// <summary>How many pages were asked for: fewer are there of a guest that has just begun.</summary>
        public int Wanted { get; set; }
        public long DrawnAt { get; set; } = begun;
        /// <summary>When it was felt last.</summary>
        public long At { get; set; } = begun;
        /// <summary>When the slice began that is not in <see cref="Slices"/> yet.</summary>
        public long Begun { get; private set; } = begun;
        public Queue<double> Slices { get; } = new();
        private double open;

        public Func<double, bool> WasFeltFor(TimeProvider time)
        {
            var felt = Pages.Length == 0 ? 0 : time.GetElapsedTime(DrawnAt).TotalSeconds;
            return seconds => felt >= seconds;
        }

        public DirtyPoint Within(double seconds, long ticksPerSecond)
        {
            // What was seen changed was changed since it was felt before: half a tick earlier, in the mean.
            var since = Begun - (long)((seconds - Tick.TotalSeconds / 2) * ticksPerSecond);
            return new DirtyPoint(seconds * 1000, (long)((double)ChangedAt.Count(at => at >= since) / Pages.Length * PresentBytes));
        }

        /// <summary>What changed since it was felt last is spread over that time.</summary>
        public void Note(double share, TimeProvider time)
        {
            var (now, length) = (time.GetTimestamp(), time.TimestampFrequency * (long)GuestRhythm.SliceMs / 1000);
            var perTick = share / Math.Max(1, now - At);
            // What was changed since then lies after it, in this slice or in later ones.
            for (var from = At; from < now;)
            {
                var to = Math.Min(now, Begun + length);
                open += perTick * Math.Max(0, to - from);
                from = Math.Max(from, to);
                if (to < Begun + length) break;
                Slices.Enqueue(open);
                while (Slices.Count > GuestRhythm.SlicesMax) Slices.Dequeue();
                (Begun, open) = (Begun + length, 0);
            }
            At = now;
        }
    }
}
