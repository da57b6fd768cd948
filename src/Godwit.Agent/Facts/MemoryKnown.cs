using System.Collections.Concurrent;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// What is known of the guests' memory on this host. One guest after another is looked at, so that a quote has its figures at hand
/// when a move begins; whoever wants them fresher waits for a look of 3 s. A guest that works in turns is looked at while it works, too.
/// </summary>
internal sealed class MemoryKnown(HostMachines machines, MemoryLook look, MemoryPulse pulse, TimeProvider time)
{
    /// <summary>A guest's habits change more slowly than this.</summary>
    private static readonly TimeSpan AgainAfter = TimeSpan.FromMinutes(1);
    /// <summary>With a hundred guests, one is looked at every half an hour or hour.</summary>
    private static readonly TimeSpan ToldFor = TimeSpan.FromMinutes(60);
    /// <summary>Between two looks that nobody asked for; longer where looks take long, so that they take no more than this part of a processor.</summary>
    private static readonly TimeSpan RestsFor = TimeSpan.FromSeconds(18);
    private const double OfProcessorMax = 0.006;
    /// <summary>A look at work is kept beside later ones at rest; the guest's rhythm reaches not much further back.</summary>
    private static readonly TimeSpan WorkKeptFor = TimeSpan.FromMinutes(3);
    /// <summary>It changes so much more of its memory than when it was looked at that it is worth another look.</summary>
    private const double BusierBy = 2, BusierByShare = 0.02;

    private readonly ConcurrentDictionary<VmId, Known> known = new();
    private readonly SemaphoreSlim one = new(1, 1);
    private (long At, TimeSpan For)? rests;

    /// <param name="Newest">Of memory as it is.</param>
    /// <param name="AtWork">The newest or one before, in which more was written.</param>
    private sealed record Known(Seen Newest, Seen AtWork);

    private sealed record Seen(MemoryProfile Profile, long NotedAt);

    /// <param name="ageMax">What is known and no older will do.</param>
    /// <param name="mayLook">False: what is known, or null, at once.</param>
    public async Task<MemoryProfile?> OfAsync(Machine vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel)
    {
        var seen = Young(vm, ageMax);
        if (seen is null && mayLook)
        {
            await one.WaitAsync(); // Two looks at once would measure each other.
            try { seen = Young(vm, ageMax) ?? await LookAsync(vm, cancel); }
            finally { one.Release(); }
        }
        return seen is null ? null : Whole(vm.Id, seen);
    }

    /// <summary>Feels every guest's pulse. To be called twice a second.</summary>
    public void Feel() => pulse.Feel();

    /// <summary>
    /// Looks at the guest that works as no look has seen it, or that was longest not looked at, if that is a minute ago. To be called each
    /// second: it does so every eighteen or more, however many guests there are.
    /// </summary>
    public async Task LookAtNextAsync(CancellationToken cancel)
    {
        var here = machines.All.Where(vm => vm is { Current: not null, HeldBy: null }).ToList();
        foreach (var gone in known.Keys.Except(here.Select(vm => vm.Id))) known.TryRemove(gone, out _);
        if (here.Count == 0 || (rests is { } now && time.GetElapsedTime(now.At) < now.For)) return;
        var next = here.Find(vm => IsBusierThanSeen(vm.Id)) ?? here.MinBy(vm => known.GetValueOrDefault(vm.Id)?.Newest.NotedAt ?? long.MinValue)!;
        var ageMax = IsBusierThanSeen(next.Id) ? TimeSpan.Zero : AgainAfter;
        if (Young(next, ageMax) is not null) return;
        var (begun, before) = (time.GetTimestamp(), look.Spent.Busy);
        rests = (begun, RestsFor);
        await OfAsync(next, ageMax, mayLook: true, cancel);
        var longer = (look.Spent.Busy - before) / OfProcessorMax;
        if (longer > RestsFor) rests = (begun, longer);
    }

    /// <summary>Bytes a second written anew, as of the newest look; 0 where that is long ago.</summary>
    public long DirtyBytesPerSecond(VmId vm) =>
        known.TryGetValue(vm, out var of) && time.GetElapsedTime(of.Newest.NotedAt) < ToldFor ? (long)of.Newest.Profile.DirtyBytesPerSecond : 0;

    private bool IsBusierThanSeen(VmId vm)
    {
        if (!known.TryGetValue(vm, out var of) || pulse.Newest(vm) is not { } now) return false;
        var seen = IsKept(of.AtWork) ? of.AtWork.Profile : of.Newest.Profile;
        return now > BusierByShare && now > BusierBy * Share(seen);
    }

    /// <summary>The part of what is there that changed within half a second, the busiest of the look.</summary>
    private static double Share(MemoryProfile seen)
    {
        const int slices = (int)(GuestRhythm.SliceMs / MemoryProfile.SliceMs);
        var most = seen.Slices.Select((_, at) => seen.Slices.Skip(at).Take(slices).Sum()).DefaultIfEmpty().Max();
        return (double)most / Math.Max(1, seen.NonZeroBytes);
    }

    private bool IsKept(Seen seen) => time.GetElapsedTime(seen.NotedAt) < WorkKeptFor;

    private Known? Young(Machine vm, TimeSpan ageMax) =>
        known.TryGetValue(vm.Id, out var of) && time.GetElapsedTime(of.Newest.NotedAt) < ageMax ? of : null;

    /// <summary>
    /// As old as it is now. Of a guest that works in turns, what it writes is as the look at its work saw it; any other goes on as it did
    /// when it was looked at last.
    /// </summary>
    private MemoryProfile Whole(VmId vm, Known of)
    {
        var rhythm = pulse.Of(vm);
        var work = Aged(of.AtWork);
        var atWork = Aged(of.Newest) with
        {
            Dirty = work.Dirty, Slices = work.Slices, ChangedPackRatio = work.ChangedPackRatio, LookAgeMs = work.LookAgeMs,
        };
        return GuestTurn.Of(atWork) is not null ? atWork : Aged(of.Newest);

        MemoryProfile Aged(Seen seen) => seen.Profile with
        {
            LookAgeMs = seen.Profile.LookAgeMs + time.GetElapsedTime(seen.NotedAt).TotalMilliseconds, Rhythm = rhythm,
        };
    }

    private async Task<Known?> LookAsync(Machine vm, CancellationToken cancel)
    {
        try
        {
            if (await look.MeasureAsync(vm, cancel) is not { } profile) return null;
            var seen = new Seen(profile, time.GetTimestamp());
            var before = known.GetValueOrDefault(vm.Id)?.AtWork;
            var isRest = before is not null && IsKept(before) && Share(profile) * BusierBy < Share(before.Profile);
            return known[vm.Id] = new Known(seen, isRest ? before! : seen);
        }
        catch (IOException) { return null; } // Its memory went with its QEMU.
    }
}
