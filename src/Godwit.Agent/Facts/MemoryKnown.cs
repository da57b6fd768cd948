using System.Collections.Concurrent;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Facts;

/// <summary>
/// What is known of the guests' memory on this host. One guest after another is looked at, so that a quote has its figures at hand
/// when a move begins; whoever wants them fresher waits for a look of 3 s.
/// </summary>
internal sealed class MemoryKnown(HostMachines machines, MemoryLook look, TimeProvider time)
{
    /// <summary>A guest's habits change more slowly than this.</summary>
    private static readonly TimeSpan AgainAfter = TimeSpan.FromMinutes(1);
    /// <summary>With a hundred guests, one is looked at every ten minutes.</summary>
    private static readonly TimeSpan ToldFor = TimeSpan.FromMinutes(10);
    private readonly ConcurrentDictionary<VmId, MemoryProfile> known = new();
    private readonly SemaphoreSlim one = new(1, 1);

    /// <param name="ageMax">What is known and no older will do.</param>
    /// <param name="mayLook">False: what is known, or null, at once.</param>
    public async Task<MemoryProfile?> OfAsync(Machine vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel)
    {
        if (Young(vm, ageMax) is { } enough || !mayLook) return Young(vm, ageMax);
        await one.WaitAsync(); // Two looks at once would measure each other.
        try { return Young(vm, ageMax) ?? await LookAsync(vm, cancel); }
        finally { one.Release(); }
    }

    /// <summary>
    /// Looks at the guest that was longest not looked at, if that is a minute ago. To be called every few seconds: at 6 s that is at
    /// most a hundredth of a processor, however many guests there are, and a thousandth for one.
    /// </summary>
    public async Task LookAtNextAsync(CancellationToken cancel)
    {
        var here = machines.All.Where(vm => vm is { Current: not null, HeldBy: null }).ToList();
        foreach (var gone in known.Keys.Except(here.Select(vm => vm.Id))) known.TryRemove(gone, out _);
        if (here.MinBy(vm => known.TryGetValue(vm.Id, out var profile) ? profile.At : DateTimeOffset.MinValue) is not { } next) return;
        await OfAsync(next, AgainAfter, mayLook: true, cancel);
    }

    /// <summary>Bytes a second written anew, as of the newest look; 0 where that is long ago.</summary>
    public long DirtyBytesPerSecond(VmId vm) =>
        known.TryGetValue(vm, out var profile) && time.GetUtcNow() - profile.At < ToldFor ? (long)profile.DirtyBytesPerSecond : 0;

    private MemoryProfile? Young(Machine vm, TimeSpan ageMax) =>
        known.TryGetValue(vm.Id, out var profile) && time.GetUtcNow() - profile.At is var age && age >= TimeSpan.Zero && age < ageMax
            ? profile : null;

    private async Task<MemoryProfile?> LookAsync(Machine vm, CancellationToken cancel)
    {
        try
        {
            if (await look.MeasureAsync(vm, cancel) is not { } profile) return null;
            return known[vm.Id] = profile;
        }
        catch (IOException) { return null; } // Its memory went with its QEMU.
    }
}
