using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// Feels twice a second how busily each guest writes: of some hundred of the pages that a look drew, how many have changed. A look tells
/// more and takes 3 s; this goes on for as long as the guest is here, and so sees turns of minutes. As with looks, nobody is asked and
/// nothing is stopped. A guest that nobody has looked at yet is not felt, nor one that a move has.
/// </summary>
/// <remarks>
/// At most <see cref="PagesPerTick"/> pages are read at a time, whatever the number of guests, and no more than three thousandths of a
/// processor are spent: where reading is slow, fewer pages are read (<see cref="PulseBudget"/>), and where that is not enough guests are
/// left out now and then. With more than sixteen each is felt more rarely, and short turns of theirs are missed. A working set of less than
/// a hundredth of the memory is hardly felt.
/// </remarks>
internal sealed class MemoryPulse(IDisk disk, HostMachines machines, TimeProvider time)
{
    public static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(GuestRhythm.SliceMs);
    private const double OfProcessorMax = 0.003;
    private const int PagesPerTick = 1024, PagesMin = 64;
    /// <summary>A guest takes pages into use that it had not: those of a newer look are felt then, at once if there are so many.</summary>
    private static readonly TimeSpan redrawAfter = TimeSpan.FromMinutes(15);
    private const double Grown = 1.1, Another = 2;
    /// <summary>Where nothing was felt for so long, its past begins anew.</summary>
    private static readonly TimeSpan gapMax = TimeSpan.FromSeconds(30);
    /// <summary>What was felt last so long ago is not where it is now.</summary>
    private static readonly TimeSpan staleAfter = TimeSpan.FromSeconds(10);
    /// <summary>A guest is busy by what it did in the last second.</summary>
    private const int NewestSlices = 2;
    /// <summary>Of how long, in s, it is told how many different pages changed (a look knows 3), if they are enough to tell.</summary>
    private static readonly double[] longerSeconds = [5, 7, 10, 14, 20, 28, 40, 56, 80, 112];
    private const int LongerPagesMin = 16;

    private readonly Dictionary<VmId, Felt> felt = [];
    private readonly Lock one = new();
    private readonly PulseBudget budget = new(OfProcessorMax, PagesPerTick, PagesMin);
    private long calledAt = time.GetTimestamp();
    private int next;
    private long busyTicks;

    /// <summary>What reading took so far.</summary>
    public TimeSpan Busy => TimeSpan.FromTicks(Interlocked.Read(ref busyTicks));

    /// <summary>Its pages are felt from now on, or it goes on with those of a look before.</summary>
    public void Take(VmId vm, QemuInstance qemu, PagesDrawn drawn) => Take(vm, qemu, drawn, Grown, redrawAfter, isGlance: false);

    /// <summary>
    /// The same of half a second, which tells less: what was felt for longer stays, unless the guest is quite another by now.
    /// </summary>
    public void TakeGlance(VmId vm, QemuInstance qemu, PagesDrawn drawn) =>
        Take(vm, qemu, drawn, Another, TimeSpan.MaxValue, isGlance: true);

    private void Take(VmId vm, QemuInstance qemu, PagesDrawn drawn, double grown, TimeSpan after, bool isGlance)
    {
        lock (one)
        {
            if (drawn.Pages.Length == 0) return;
            if (felt.GetValueOrDefault(vm) is { } known && known.Qemu == qemu)
            {
                if (drawn.PresentBytes > grown * known.Drawn.PresentBytes || time.GetElapsedTime(known.DrawnAt) > after)
                    known.Redraw(drawn, time.GetTimestamp());
            }
            else felt[vm] = new Felt(qemu, drawn, time.GetTimestamp());
            if (drawn.Written.Count > (isGlance ? felt[vm].Written.Count : 0)) felt[vm].Written = drawn.Written;
        }
    }

    /// <summary>To be called each <see cref="Tick"/>; late is as good. Never throws for what a guest's memory does.</summary>
    public void Feel()
    {
        var here = machines.All.Where(vm => vm.Current is not null).ToList();
        lock (one)
        {
            foreach (var gone in felt.Keys.Except(here.Select(vm => vm.Id)).ToList()) felt.Remove(gone);
            var now = time.GetTimestamp();
            var pages = budget.Begin(time.GetElapsedTime(calledAt, now), here.Count);
            calledAt = now;
            for (var n = Math.Min(here.Count, PagesPerTick / PagesMin); n > 0 && budget.MayGoOn(); n--)
            {
                Feel(here[next++ % here.Count], pages);
                var took = time.GetElapsedTime(now);
                now = time.GetTimestamp();
                budget.Spend(took);
                Interlocked.Add(ref busyTicks, took.Ticks);
            }
            next = here.Count == 0 ? 0 : next % here.Count;
        }
    }

    /// <summary>Null where it was not felt in the last seconds.</summary>
    public GuestRhythm? Of(VmId vm)
    {
        lock (one)
            return felt.GetValueOrDefault(vm) is { Slices.Count: > 0 } known && time.GetElapsedTime(known.At) < staleAfter ? new GuestRhythm
            {
                Written = [.. known.Slices.Select(share => (int)Math.Round(share * 1000))],
                AgeMs = Math.Max(0, time.GetElapsedTime(known.Begun).TotalMilliseconds),
                Longer = [.. longerSeconds.Where(seconds => known.WasFeltFor(seconds, time))
                    .Select(seconds => known.Within(seconds, time.TimestampFrequency)).OfType<DirtyPoint>()],
            } : null;
    }

    /// <summary>Pages that changed in the mean of the last slices, of how many; null where it was not felt just now.</summary>
    public (double Changed, int Of)? Newest(VmId vm)
    {
        lock (one)
            return felt.GetValueOrDefault(vm) is { Slices.Count: >= NewestSlices, Hashes.Length: > 0 and var pages } known
                && time.GetElapsedTime(known.At) < staleAfter ? (known.Slices.TakeLast(NewestSlices).Average() * pages, pages) : null;
    }

    /// <summary>Places of pages that the last look which saw any saw change; none where there was none.</summary>
    public IReadOnlyList<long> PagesThatChange(VmId vm)
    {
        lock (one) return felt.GetValueOrDefault(vm)?.Written ?? [];
    }

    /// <summary>Thousandths of the pages, times slices, that changed between two moments; null where less than half was felt.</summary>
    public double? WrittenBetween(VmId vm, long from, long to)
    {
        lock (one) return felt.GetValueOrDefault(vm)?.WrittenBetween(from, to, SliceLength) * 1000;
    }

    private long SliceLength => time.TimestampFrequency * (long)GuestRhythm.SliceMs / 1000;

    private void Feel(Machine vm, int pages)
    {
        if (vm.HeldBy is not null || vm.Current is not { } qemu || felt.GetValueOrDefault(vm.Id) is not { } known) return;
        if (known.Qemu != qemu)
        {
            felt.Remove(vm.Id);
            return;
        }
        try
        {
            using var memory = disk.OpenMemory(qemu.RamPath);
            var isGap = time.GetElapsedTime(known.At) > gapMax;
            if (!isGap && known.Hashes.Length > 0) known.Note(Changed(memory, known), time, SliceLength);
            if (isGap || known.Hashes.Length != Math.Min(pages, known.Drawn.Pages.Length))
                known.Begin(memory, pages, isGap, time.GetTimestamp());
        }
        catch (Exception failed) when (PageSamples.IsNoMemory(failed)) { felt.Remove(vm.Id); }
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

    /// <summary>One guest's past in slices of equal length, whenever it was felt.</summary>
    private sealed class Felt(QemuInstance qemu, PagesDrawn drawn, long begun)
    {
        public QemuInstance Qemu => qemu;
        public PagesDrawn Drawn { get; private set; } = drawn;
        public long DrawnAt { get; private set; } = begun;
        /// <summary>Of the newest look that saw any change.</summary>
        public IReadOnlyList<long> Written { get; set; } = [];
        /// <summary>Those of the drawn that are felt; none before they were read once.</summary>
        public long[] Pages { get; private set; } = [];
        public ulong[] Hashes { get; private set; } = [];
        /// <summary>When each was seen to have changed; 0: not yet.</summary>
        public long[] ChangedAt { get; private set; } = [];
        /// <summary>When it was felt last, and how long after the time before.</summary>
        public long At { get; private set; } = begun;
        private long interval, feltFrom = begun;
        /// <summary>When the slice began that is not in <see cref="Slices"/> yet.</summary>
        public long Begun { get; private set; } = begun;
        public Queue<double> Slices { get; } = new();
        private double open;

        public void Redraw(PagesDrawn newer, long now) =>
            (Drawn, DrawnAt, Pages, Hashes, ChangedAt) = (newer, now, [], [], []);

        /// <summary>Reads the pages for the first time. Its past stays as it is, unless there is a gap.</summary>
        public void Begin(IMemoryFile memory, int pages, bool isGap, long now)
        {
            if (isGap) Slices.Clear();
            if (Slices.Count == 0) (Begun, open) = (now, 0);
            var count = Math.Min(pages, Drawn.Pages.Length);
            Pages = [.. Enumerable.Range(0, count).Select(n => Drawn.Pages[(long)n * Drawn.Pages.Length / count])];
            (Hashes, ChangedAt) = (new ulong[count], new long[count]);
            PageSamples.Look(memory, Pages, step: 1, (i, hash) => Hashes[i] = hash);
            (At, feltFrom) = (now, now);
        }

        public bool WasFeltFor(double seconds, TimeProvider time) =>
            Pages.Length > 0 && time.GetElapsedTime(feltFrom, At).TotalSeconds >= seconds;

        /// <summary>Null where too few pages changed to tell.</summary>
        public DirtyPoint? Within(double seconds, long ticksPerSecond)
        {
            // What was seen changed was changed since it was felt before: half of that time earlier, in the mean.
            var since = At - (long)(seconds * ticksPerSecond) + interval / 2;
            var changed = ChangedAt.Count(at => at >= since);
            return changed < LongerPagesMin ? null
                : new DirtyPoint(seconds * 1000, (long)((double)changed / Pages.Length * Drawn.PresentBytes));
        }

        public double? WrittenBetween(long from, long to, long length)
        {
            var (written, covered) = (0.0, 0.0);
            var began = Begun - Slices.Count * length;
            foreach (var share in Slices)
            {
                var part = (double)Math.Max(0, Math.Min(to, began + length) - Math.Max(from, began)) / length;
                (written, covered, began) = (written + part * share, covered + part, began + length);
            }
            var whole = (double)(to - from) / length;
            return whole <= 0 || covered < whole / 2 ? null : written * whole / covered;
        }

        /// <summary>What changed since it was felt last is spread over that time.</summary>
        public void Note(double share, TimeProvider time, long length)
        {
            var now = time.GetTimestamp();
            var perTick = share / Math.Max(1, now - At);
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
            (interval, At) = (now - At, now);
        }
    }
}

/// <param name="Pages">Offsets, ascending, drawn at random from those that are there.</param>
/// <param name="PresentBytes">Of those there are: what each stands for, times how many there are.</param>
/// <param name="Written">Places of those that were seen to change, ascending.</param>
internal sealed record PagesDrawn(long[] Pages, long PresentBytes, IReadOnlyList<long> Written);
