namespace Godwit.Core.Consolidation;

/// <summary>The ways to bring a host back to what it has by taking one VM from it or two. Pure.</summary>
internal static class ReliefChoices
{
    /// <param name="vms">Those of the host that may move and have load.</param>
    /// <param name="excess">What has to go.</param>
    /// <returns>Those that take least to move first. Two only where neither would suffice by itself.</returns>
    public static List<int[]> Of(
        IReadOnlyList<int> vms, ConsolidationPicture picture, ConsolidationPolicy policy, int host, double excess)
    {
        var found = new List<(double Cost, int[] Vms)>();
        for (var i = 0; i < vms.Count; i++)
        {
            if (Now(vms[i]) >= excess)
            {
                found.Add((Cost(vms[i]), [vms[i]]));
                continue;
            }
            for (var j = i + 1; j < vms.Count; j++)
                if (Now(vms[j]) < excess && Now(vms[i]) + Now(vms[j]) >= excess)
                    found.Add(((Cost(vms[i]) + Cost(vms[j])) * policy.PairFactor,
                        Now(vms[i]) >= Now(vms[j]) ? [vms[i], vms[j]] : [vms[j], vms[i]]));
        }
        return [.. found.OrderBy(choice => choice.Cost).ThenBy(choice => choice.Vms[0]).Select(choice => choice.Vms)];

        double Now(int vm) => picture.Loads.Now(vm);
        // What its guests miss grows with the load that is copied, and how long they do with the memory.
        double Cost(int vm) => (Now(vm) + policy.LoadPlus * picture.HostCpu[host]) * picture.VmMemoryBytes[vm];
    }
}
