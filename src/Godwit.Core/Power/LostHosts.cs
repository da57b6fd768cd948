using Godwit.Core.Hosts;
using Godwit.Core.Placement;

namespace Godwit.Core.Power;

/// <summary>
/// Hosts that do not answer, or are fenced, while it is asked whether others may be turned off.
///
/// One that is dead for a week must not keep everything on for a week. It is no room: neither the checker nor the packing puts
/// anything there. But what ran on it may have to run elsewhere at any time, by a recovery or by a person's word, so its VMs are load
/// that the rest must be able to take, as if they were started there now. That room is beside the spare, not out of it: the next host
/// may die before this one is mended.
///
/// It takes a while until this may be reckoned with. Fresh silence may be a cable, a reboot, or an end; fences and recoveries are
/// about to take room that this look does not see. And where more than half are silent, rather this server is cut off, as
/// <see cref="Fencing.HaRules"/> says: what it believes of the hosts is worth nothing then. Pure.
/// </summary>
internal sealed class LostHosts
{
    /// <summary>Longer than a reboot, and than silence, fence and restarts of HA together.</summary>
    public static readonly TimeSpan SettledAfter = TimeSpan.FromMinutes(10);

    private readonly PowerPicture picture;
    private readonly List<PlacementHost> lost;

    public LostHosts(PowerPicture picture)
    {
        this.picture = picture;
        lost = [.. picture.View.Hosts.Where(IsLost)];
        var places = picture.View.Hosts.Where(h => !IsLost(h)).ToList();
        var vms = new List<PlacementVm>();
        foreach (var vm in picture.View.Vms.Where(vm => lost.Any(h => vm.Host == h.Id)))
        {
            // Who can run nowhere else, however much room there is, waits for its host: no other that stays on would help it.
            if (!places.Any(h => PlacementCheck.Lasting(picture.View, vm, h).All(reason => !reason.IsHard))) continue;
            var load = AsToBeStarted(vm);
            vms.Add(load);
            CoresUnseen += load.Demand.CpuCores - vm.Demand.CpuCores;
        }
        Vms = [.. vms.OrderByDescending(vm => vm.Demand.MemoryBytes).ThenBy(vm => vm.Id.Value, StringComparer.Ordinal)];
    }

    /// <summary>Those that must have a place on the rest, the largest first.</summary>
    public IReadOnlyList<PlacementVm> Vms { get; }

    /// <summary>Processors' worth of them that no forecast has, because nobody measures them any more.</summary>
    public double CoresUnseen { get; }

    /// <summary>As if all of them were proved to be off: what is on one keeps nobody together with it there.</summary>
    public PlacementView Gone(PlacementView of) => lost.Count == 0 ? of
        : new([.. of.Hosts.Select(h => IsLost(h) ? h with { State = HostState.Fenced } : h)], of.Vms, of.Policy);

    /// <summary>Null, or why nothing is turned off for now.</summary>
    public string? WhyWait()
    {
        if (lost.FirstOrDefault(h => picture.Recovering.Contains(h.Id)) is { } recovered)
            return $"{recovered.Id} is being recovered: nothing is turned off meanwhile";
        // A fenced host is proved to be off: about it there is no doubt any more.
        if (lost.FirstOrDefault(h => h.State == HostState.Unreachable
            && picture.SilentFor.GetValueOrDefault(h.Id) < SettledAfter) is { } fresh)
            return $"{fresh.Id} does not answer since less than {SettledAfter.TotalMinutes:0} min: nothing is turned off meanwhile";
        var counted = picture.View.Hosts.Count(h => h.State != HostState.Standby);
        var silent = lost.Count(h => h.State == HostState.Unreachable);
        return silent * 2 > counted ? $"{silent} of {counted} hosts do not answer: rather this server is cut off" : null;
    }

    private static bool IsLost(PlacementHost host) => host.State is HostState.Unreachable or HostState.Fenced;

    /// <summary>
    /// Where it is, is no place any more, and a pin to it holds nobody in a recovery. Whose load was not measured for half an hour may
    /// take all that it has.
    /// </summary>
    private static PlacementVm AsToBeStarted(PlacementVm vm) => vm with
    {
        IsPinned = false, Heading = null,
        Demand = vm.Demand with { CpuCores = vm.Demand.CpuCores > 0 ? vm.Demand.CpuCores : vm.Demand.Vcpus },
    };
}
