using Godwit.Core;
using Godwit.Core.Placement;
using Godwit.Core.Power;

namespace Godwit.Server.Power;

/// <summary>VMs that lately found no host with room: a host on standby may be woken for them. In memory only; the newest.</summary>
public sealed class RoomNeeds(TimeProvider time)
{
    private const int KeptMax = 64;
    private static readonly TimeSpan keptFor = TimeSpan.FromMinutes(10);
    private readonly Lock one = new();
    private readonly List<RoomNeed> needs = [];

    /// <summary>Somebody may look at once.</summary>
    public event Action? Noted;

    /// <summary>Only what more room would help counts.</summary>
    public void Note(PlacementVm vm, IReadOnlyList<Refusal> against)
    {
        if (!against.Any(reason => reason.Code is "memory-short" or "vcpus-overcommitted" or "host-standby")) return;
        lock (one)
        {
            needs.RemoveAll(need => need.Vm.Id == vm.Id);
            if (needs.Count == KeptMax) needs.RemoveAt(0);
            needs.Add(new RoomNeed(vm with { Host = null, Heading = null }, time.GetUtcNow()));
        }
        Noted?.Invoke();
    }

    public IReadOnlyList<RoomNeed> Open()
    {
        var from = time.GetUtcNow() - keptFor;
        lock (one)
        {
            needs.RemoveAll(need => need.At < from);
            return [.. needs];
        }
    }
}
