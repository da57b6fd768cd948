namespace Godwit.Core.Placement;

/// <summary>How well a host would do for a VM.</summary>
/// <param name="Stars">5 is best; 0 cannot take it, for the reasons of the verdict.</param>
/// <param name="WorstShare">Of its resources the one that would be used most, as a share of its ceiling.</param>
/// <param name="Tightest">Which one that is.</param>
public sealed record HostRating(HostId Host, int Stars, double WorstShare, Resource Tightest, PlacementVerdict Verdict)
{
    /// <summary>Up to these shares of the ceiling a host has 5, 4, 3, 2 stars.</summary>
    private static readonly double[] StarsUpTo = [0.5, 0.65, 0.8, 0.95];

    internal static HostRating Of(PlacementView view, PlacementVm vm, PlacementHost host, PlacementVerdict verdict)
    {
        var after = view.Used(host.Id) + (vm.Host == host.Id ? default : vm.Demand);
        var (worst, tightest) = (0.0, Resource.Memory);
        foreach (var resource in Enum.GetValues<Resource>())
            if (after[resource] / view.Policy.Ceiling(resource, host.Capacity[resource]) is var share && share > worst)
                (worst, tightest) = (share, resource);
        return new(host.Id, verdict.IsAllowed ? StarsFor(worst, verdict.Reasons.Count) : 0, worst, tightest, verdict);
    }

    private static int StarsFor(double worst, int wishesBroken) =>
        Math.Max(1, 5 - StarsUpTo.Count(limit => worst > limit) - wishesBroken);

    /// <summary>One line for a person: what speaks for it, or against it.</summary>
    public string Reason => Verdict.Reasons.Count > 0 ? string.Join("; ", Verdict.Reasons.Select(reason => reason.Why.Cause))
        : $"{Tightest.ToString().ToLowerInvariant()} would be at {WorstShare * 100:0} % of its ceiling";
}
