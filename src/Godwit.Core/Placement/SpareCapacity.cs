using Godwit.Core.Hosts;

namespace Godwit.Core.Placement;

/// <summary>Hosts that may not die together: these VMs of theirs would have no place.</summary>
public sealed record SpareGap(IReadOnlyList<HostId> Lost, IReadOnlyList<string> Homeless, long ShortBytes, string Why);

/// <param name="SetsChecked">How many sets of lost hosts were packed.</param>
/// <param name="IsComplete">False: there were too many sets; those with most memory to restart were checked.</param>
public sealed record SpareVerdict(int HostsLost, IReadOnlyList<SpareGap> Gaps, int SetsChecked, bool IsComplete);

/// <summary>
/// Whether the VMs to be restarted of any k hosts that die have a place on the others: proved by packing them there, VM by VM,
/// with the rules and machines as they are; a sum of free memory proves nothing (two halves of a VM are no VM). Nobody is moved out of
/// their way. A packing that is found is a proof; one that is not found within <see cref="TriesMax"/> placements is called a gap. Pure.
/// </summary>
public static class SpareCapacity
{
    public const int SetsMax = 2_000, TriesMax = 20_000;

    /// <param name="restarted">VMs that are started again elsewhere; those that run now count.</param>
    /// <param name="hostsLost">k, 1 or more.</param>
    public static SpareVerdict Check(PlacementView view, IReadOnlySet<VmId> restarted, int hostsLost, CancellationToken stop = default)
    {
        var byHost = view.Vms.Where(vm => vm.Host is not null && restarted.Contains(vm.Id)).ToLookup(vm => vm.Host!.Value);
        var hosts = view.Hosts.Where(h => h.State is HostState.Ready or HostState.Cordoned).ToList();
        // Those that carry most first: where not all sets can be looked at, these are.
        var carriers = hosts.Where(h => byHost[h.Id].Any()).OrderByDescending(h => byHost[h.Id].Sum(vm => vm.Demand.MemoryBytes))
            .ThenBy(h => h.Id.Value, StringComparer.Ordinal).ToList();
        var (gaps, sets) = (new List<SpareGap>(), 0);
        foreach (var lost in Sets(carriers, Math.Min(hostsLost, carriers.Count)))
        {
            if (sets == SetsMax || stop.IsCancellationRequested) return new(hostsLost, gaps, sets, false);
            sets++;
            var homeless = lost.SelectMany(h => byHost[h.Id]).ToList();
            if (new Packing(view, [.. hosts.Except(lost)], homeless).Gap(lost) is { } gap) gaps.Add(gap);
        }
        return new(hostsLost, gaps, sets, true);
    }

    private static IEnumerable<List<PlacementHost>> Sets(List<PlacementHost> from, int count)
    {
        if (count == 0) yield break;
        var chosen = Enumerable.Range(0, count).ToArray();
        while (true)
        {
            yield return [.. chosen.Select(n => from[n])];
            var at = count - 1;
            while (at >= 0 && chosen[at] == from.Count - count + at) at--;
            if (at < 0) yield break;
            chosen[at]++;
            for (var next = at + 1; next < count; next++) chosen[next] = chosen[next - 1] + 1;
        }
    }

    /// <summary>Largest first, tightest host first, and back where it does not work out.</summary>
    private sealed class Packing
    {
        private readonly PlacementView view;
        private readonly List<PlacementHost> hosts;
        private readonly List<PlacementVm> vms;
        private readonly List<int>[] mayBeOn;
        private readonly double[] memory, vcpus;
        private readonly List<PlacementVm>[] put;
        private readonly string[] apart;
        private int tries;

        public Packing(PlacementView view, List<PlacementHost> left, List<PlacementVm> homeless)
        {
            (this.view, hosts) = (view, left);
            vms = [.. homeless.OrderByDescending(vm => vm.Demand.MemoryBytes).ThenBy(vm => vm.Id.Value, StringComparer.Ordinal)];
            memory = [.. left.Select(h => view.Policy.Ceiling(Resource.Memory, h.Capacity.MemoryBytes) - view.Used(h.Id).MemoryBytes)];
            vcpus = [.. left.Select(h => view.Policy.Ceiling(Resource.Vcpus, h.Capacity.Vcpus) - view.Used(h.Id).Vcpus)];
            put = [.. left.Select(_ => new List<PlacementVm>())];
            apart = [.. view.Policy.Rules.Where(r => r is PlacementRule.Apart && r.IsHard).Select(r => r.VmTag).Distinct()];
            mayBeOn =
            [
                .. vms.Select(vm => Enumerable.Range(0, left.Count).Where(h => left[h].State == HostState.Ready && !left[h].IsDraining
                    && PlacementCheck.Lasting(view, vm, left[h]).All(reason => !reason.IsHard)).ToList()),
            ];
        }

        public SpareGap? Gap(List<PlacementHost> lost)
        {
            if (Place(0)) return null;
            var homeless = Greedily();
            var shortBytes = (long)homeless.Sum(vm => vm.Demand.MemoryBytes);
            var nowhere = homeless.FirstOrDefault(vm => mayBeOn[vms.IndexOf(vm)].Count == 0);
            return new([.. lost.Select(h => h.Id)], [.. homeless.Select(vm => vm.Name)], shortBytes,
                nowhere is not null ? $"no other host may take {nowhere.Name}"
                    : tries > TriesMax ? $"no place was found for all in {TriesMax} tries"
                    : $"{shortBytes >> 20} MiB are missing in one piece");
        }

        private bool Place(int n)
        {
            if (n == vms.Count) return true;
            foreach (var host in mayBeOn[n].Where(h => Fits(vms[n], h)).OrderBy(h => memory[h]).ThenBy(h => h).ToList())
            {
                if (++tries > TriesMax) return false;
                Put(vms[n], host);
                if (Place(n + 1)) return true;
                Take(vms[n], host);
            }
            return false;
        }

        /// <summary>Those that stay homeless where the others take what they can: what a person is told.</summary>
        private List<PlacementVm> Greedily()
        {
            var homeless = new List<PlacementVm>();
            for (var n = 0; n < vms.Count; n++)
            {
                var fits = mayBeOn[n].Where(h => Fits(vms[n], h)).OrderBy(h => memory[h]).ToList();
                if (fits.Count > 0) Put(vms[n], fits[0]);
                else homeless.Add(vms[n]);
            }
            return homeless.Count > 0 ? homeless : [vms[^1]]; // Found after all, too late: the smallest stands for the doubt.
        }

        private bool Fits(PlacementVm vm, int host) => vm.Demand.MemoryBytes <= memory[host] && vm.Demand.Vcpus <= vcpus[host]
            && !vm.Tags.Any(tag => apart.Contains(tag)
                && (put[host].Any(other => other.Tags.Contains(tag)) || view.Tagged(tag).Any(other => other.Host == hosts[host].Id)));

        private void Put(PlacementVm vm, int host)
        {
            memory[host] -= vm.Demand.MemoryBytes;
            vcpus[host] -= vm.Demand.Vcpus;
            put[host].Add(vm);
        }

        private void Take(PlacementVm vm, int host)
        {
            memory[host] += vm.Demand.MemoryBytes;
            vcpus[host] += vm.Demand.Vcpus;
            put[host].Remove(vm);
        }
    }
}
