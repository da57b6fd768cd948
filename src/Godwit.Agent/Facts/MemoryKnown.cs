using System.Collections.Concurrent;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// What is known of the guests' memory on this host. One guest after another is looked at, so that a quote has its figures at hand
/// when a move begins; whoever wants them fresher waits for a look of 3 s. A guest that works in turns is looked at while it works, too.
/// What was seen of one that has taken much memory into use since, as each does that boots, is not gone by.
/// </summary>
internal sealed class MemoryKnown(HostMachines machines, MemoryLook look, MemoryPulse pulse, IDisk disk, TimeProvider time)
{
    /// <summary>A guest's habits change more slowly than this.</summary>
    private static readonly TimeSpan AgainAfter = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ToldFor = TimeSpan.FromMinutes(15);
    /// <summary>Between two looks that nobody asked for; longer where they take long, so that they take no more of a processor.</summary>
    private static readonly TimeSpan RestsFor = TimeSpan.FromSeconds(18);
    private const double OfProcessorMax = 0.006;
    /// <summary>A look at work is kept beside later ones at rest.</summary>
    private static readonly TimeSpan WorkKeptFor = TimeSpan.FromMinutes(15);
    /// <summary>Changing so much more than any look has seen, and so many of the pages felt, it is worth another look.</summary>
    private const double BusierBy = 2, BusierPages = 5;

    /// <summary>Its memory is so many times as large as when it was looked at, or so many times smaller.</summary>
    private const double Outgrown = 1.25;
    /// <summary>What was known of its work is of another guest then.</summary>
    private const double Another = 2;

    private readonly ConcurrentDictionary<VmId, Known> known = new();
    private readonly Dictionary<VmId, long> tried = [];
    private readonly SemaphoreSlim one = new(1, 1), glancing = new(1, 1);
    private (long At, TimeSpan For)? rests;
    private bool lastWasBusier;

    /// <param name="Newest">Of memory as it is.</param>
    /// <param name="AtWork">The newest, or one before in which more was written.</param>
    private sealed record Known(Seen Newest, Seen AtWork);

    private sealed record Seen(MemoryProfile Profile, long PresentBytes, long AllocatedBytes, long NotedAt)
    {
        public double Written => Profile.Slices.Sum(bytes => (double)bytes);

        /// <summary>The part of what is there that changed within half a second, the busiest.</summary>
        public double Share
        {
            get
            {
                const int slices = (int)(GuestRhythm.SliceMs / MemoryProfile.SliceMs);
                var most = Profile.Slices.Select((_, at) => Profile.Slices.Skip(at).Take(slices).Sum()).DefaultIfEmpty().Max();
                var different = Profile.Dirty.Count == 0 ? 0 : Profile.Dirty.Max(point => point.Bytes); // A slice counts a page anew.
                return (double)Math.Min(most, different) / Math.Max(1, PresentBytes);
            }
        }
    }

    /// <param name="ageMax">What is known and no older will do.</param>
    /// <param name="mayLook">False: what is known, at once; where nothing is that still holds, what half a second tells.</param>
    public async Task<MemoryProfile?> OfAsync(Machine vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel)
    {
        var seen = Young(vm, ageMax);
        if (seen is null && !mayLook) seen = await GlanceAsync(vm, Noted(vm, ageMax, Another), cancel);
        else if (seen is null)
        {
            await one.WaitAsync(); // Two looks at once would measure each other; a glance beside one is short.
            try { seen = Young(vm, ageMax) ?? await LookAsync(vm, cancel); }
            finally { one.Release(); }
        }
        return seen is null ? null : Whole(vm.Id, seen);
    }

    /// <summary>Feels the guests' pulse. To be called twice a second.</summary>
    public void Feel() => pulse.Feel();

    /// <summary>
    /// Looks at the guest that nobody has looked at, then by turns at one that is not as any look has seen it and at the one that was
    /// longest not looked at, if that is a minute ago. To be called each second: it does so every eighteen or more, however many guests
    /// there are.
    /// </summary>
    public async Task LookAtNextAsync(CancellationToken cancel)
    {
        var all = machines.All.Where(vm => vm.Current is not null).ToList();
        foreach (var gone in known.Keys.Concat(tried.Keys).Except(all.Select(vm => vm.Id)).ToList())
        {
            known.TryRemove(gone, out _);
            tried.Remove(gone);
        }
        var here = all.Where(vm => vm.HeldBy is null && vm.Record.MemoryElsewhere is null).ToList();
        if (here.Count == 0 || (rests is { } since && time.GetElapsedTime(since.At) < since.For)) return;
        var next = here.MinBy(vm => tried.GetValueOrDefault(vm.Id, long.MinValue))!;
        var busier = tried.ContainsKey(next.Id) && !lastWasBusier
            ? here.Where(IsNotAsSeen).MinBy(vm => tried.GetValueOrDefault(vm.Id, long.MinValue)) : null;
        lastWasBusier = busier is not null;
        var (vm, ageMax) = busier is null ? (next, AgainAfter) : (busier, TimeSpan.Zero);
        if (Young(vm, ageMax) is not null) return;
        var (begun, before) = (time.GetTimestamp(), look.Spent.Busy);
        (tried[vm.Id], rests) = (begun, (begun, RestsFor));
        await OfAsync(vm, ageMax, mayLook: true, cancel);
        var longer = (look.Spent.Busy - before) / OfProcessorMax;
        if (longer > RestsFor) rests = (begun, longer);
    }

    /// <summary>Bytes a second written anew, as of the newest look; 0 where that is long ago.</summary>
    public long DirtyBytesPerSecond(VmId vm) => known.TryGetValue(vm, out var of) && time.GetElapsedTime(of.Newest.NotedAt) < ToldFor
        ? (long)of.Newest.Profile.DirtyBytesPerSecond : 0;

    private bool IsNotAsSeen(Machine vm) => known.TryGetValue(vm.Id, out var of)
        && (IsOutgrown(vm, of.Newest, Outgrown) || IsBusier(vm, of));

    private bool IsBusier(Machine vm, Known of) => pulse.Newest(vm.Id) is (var changed, var pages)
        && changed >= BusierPages && changed > BusierBy * pages * (IsKept(of.AtWork) ? of.AtWork.Share : 0);

    private bool IsKept(Seen seen) => time.GetElapsedTime(seen.NotedAt) < WorkKeptFor;

    private Known? Young(Machine vm, TimeSpan ageMax) => Noted(vm, ageMax, Outgrown);

    private Known? Noted(Machine vm, TimeSpan ageMax, double grown) => known.TryGetValue(vm.Id, out var of)
        && time.GetElapsedTime(of.Newest.NotedAt) < ageMax && !IsOutgrown(vm, of.Newest, grown) ? of : null;

    private bool IsOutgrown(Machine vm, Seen seen, double by)
    {
        try
        {
            using var memory = vm.Current is { } qemu ? disk.OpenMemory(qemu.RamPath) : null;
            var (now, then) = (memory?.AllocatedBytes ?? seen.AllocatedBytes, seen.AllocatedBytes);
            return Math.Max(now, then) > by * Math.Min(now, then);
        }
        catch (Exception failed) when (PageSamples.IsNoMemory(failed)) { return false; }
    }

    /// <summary>
    /// Of a guest that works in turns, what it writes is as the look at its work saw it; any other goes on as it did when it was looked at
    /// last.
    /// </summary>
    private MemoryProfile Whole(VmId vm, Known of)
    {
        var (rhythm, work) = (pulse.Of(vm), of.AtWork.Profile);
        var atWork = of.Newest.Profile with
        {
            Rhythm = rhythm, Dirty = work.Dirty, Slices = work.Slices, ChangedPackRatio = work.ChangedPackRatio,
            LookWritten = work.LookWritten,
        };
        return GuestTurn.Of(atWork) is not null ? atWork : of.Newest.Profile with { Rhythm = rhythm };
    }

    private async Task<Known?> LookAsync(Machine vm, CancellationToken cancel)
    {
        if (await SeeAsync(vm, look.MeasureAsync, pulse.Take, cancel) is not { } seen) return null;
        var before = known.GetValueOrDefault(vm.Id)?.AtWork;
        var isRest = before is not null && IsKept(before) && seen.Written * BusierBy < before.Written;
        return known[vm.Id] = new Known(seen, isRest ? before! : seen);
    }

    /// <summary>Not kept: a look tells more, and is due.</summary>
    /// <param name="before">Better than nothing: where others are glanced at, or the guest cannot be.</param>
    private async Task<Known?> GlanceAsync(Machine vm, Known? before, CancellationToken cancel)
    {
        if (before is not null && glancing.CurrentCount == 0) return before;
        await glancing.WaitAsync();
        try
        {
            cancel.ThrowIfCancellationRequested(); // Nobody waits any more.
            if (await SeeAsync(vm, look.GlanceAsync, pulse.TakeGlance, cancel) is not { } seen) return before;
            var atWork = before?.AtWork is { } work && IsKept(work) && seen.PresentBytes < Another * work.PresentBytes ? work : seen;
            return new Known(seen, atWork);
        }
        finally { glancing.Release(); }
    }

    private async Task<Seen?> SeeAsync(
        Machine vm, Func<Machine, CancellationToken, Task<MemoryLook.Looked?>> looking, Action<VmId, QemuInstance, PagesDrawn> take,
        CancellationToken cancel)
    {
        try
        {
            if (vm.Current is not { } qemu || await looking(vm, cancel) is not { } looked) return null;
            var present = looked.Drawn.PresentBytes;
            var written = pulse.WrittenBetween(vm.Id, looked.Begun, looked.Ended) ?? looked.Profile.LookWrittenBySlices(present);
            take(vm.Id, qemu, looked.Drawn);
            return new Seen(looked.Profile with { LookWritten = written }, present, looked.AllocatedBytes, time.GetTimestamp());
        }
        catch (Exception failed) when (PageSamples.IsNoMemory(failed)) { return null; }
    }
}
