namespace Godwit.Core.Placement;

/// <summary>The host a VM is to be on, chosen or named. Pure.</summary>
/// <param name="Host">Null: none can take it.</param>
/// <param name="Against">Why not: of a named host all that forbids it, else the first of each host.</param>
/// <param name="Told">What speaks against the host, but does not forbid it.</param>
public sealed record HostPick(HostId? Host, IReadOnlyList<Refusal> Against, IReadOnlyList<Refusal> Told)
{
    /// <summary>The best rated host of those meant.</summary>
    public static HostPick Best(
        PlacementView view, PlacementVm vm, Func<HostId, bool> isMeant, Overridden overridden = Overridden.None)
    {
        if (view.Hosts.Count == 0)
            return new(null, [new("no-hosts", "the cluster has no host to put it on", "let one join: 'godwit host token'")], []);
        var rated = PlacementCheck.Rate(view, vm, overridden).Where(rating => isMeant(rating.Host)).ToList();
        if (rated.FirstOrDefault() is { Stars: > 0 } best) return new(best.Host, [], Soft(best.Verdict));
        return new(null, [.. rated.OrderBy(r => r.Host.Value, StringComparer.Ordinal).Select(r => Hard(r.Verdict)[0])], []);
    }

    public static HostPick Named(PlacementView view, PlacementVm vm, HostId host, Overridden overridden = Overridden.None)
    {
        var verdict = PlacementCheck.Judge(view, vm, view.Host(host), overridden);
        return verdict.IsAllowed ? new(host, [], Soft(verdict)) : new(null, Hard(verdict), Soft(verdict));
    }

    private static IReadOnlyList<Refusal> Hard(PlacementVerdict verdict) =>
        [.. verdict.Reasons.Where(reason => reason.IsHard).Select(reason => reason.Why)];

    private static IReadOnlyList<Refusal> Soft(PlacementVerdict verdict) =>
        [.. verdict.Reasons.Where(reason => !reason.IsHard).Select(reason => reason.Why)];
}
