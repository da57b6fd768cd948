using Godwit.Core.Vms;

namespace Godwit.Core.Rebuild;

/// <param name="Vm">The record as it is from now on; null where there are reasons against it.</param>
public sealed record AdoptionVerdict(Vm? Vm, IReadOnlyList<Refusal> Reasons);

/// <summary>How a VM that is frozen, or unknown to the store, is settled. Pure.</summary>
public static class Adoption
{
    /// <summary>What the hosts' records prove, or every reason why they prove nothing.</summary>
    public static AdoptionVerdict AsProved(Vm? stored, OwnershipVerdict? verdict, DateTimeOffset now)
    {
        if (verdict is null)
            return new(null, [new Refusal("vm-unknown-to-hosts", "no host that answered has a record to settle it by",
                stored is null ? "see 'godwit vm list' and the agents' logs"
                : $"if its disk is there: godwit cluster check --adopt {stored.Spec.Name} --on HOST")]);
        var reasons = verdict.Frozen.ToList();
        if (verdict.Moves.Count > 0)
            reasons.Add(new Refusal("vm-in-move", $"{verdict.Spec.Name} is in a move that a host has not settled ({verdict.Moves[^1].Id})",
                $"godwit migration repair {verdict.Moves[^1].Id}, once both its hosts answer"));
        return reasons.Count > 0 ? new(null, reasons) : new(new Vm
        {
            Spec = stored?.Spec ?? verdict.Spec, Owner = verdict.Owner, Epoch = verdict.Epoch, State = verdict.State,
            SavedFile = verdict.SavedFile, CreatedAt = stored?.CreatedAt ?? now,
        }, []);
    }

    /// <summary>Where a person says: only if nothing of it can be running anywhere else.</summary>
    public static AdoptionVerdict At(HostId host, Vm? stored, VmClaims claims, DateTimeOffset now)
    {
        var spec = stored?.Spec ?? claims.Holdings.OrderByDescending(h => h.Holding.Epoch).Select(h => h.Holding.Spec).FirstOrDefault();
        if (spec is null)
            return new(null, [new Refusal("vm-not-found",
                $"neither the store nor a host that answered knows {claims.Vm}", "see 'godwit vm list'")]);
        var reasons = new List<Refusal>();
        if (!claims.Hosts.Contains(host))
            reasons.Add(new("host-not-found", $"there is no host {host}", "see 'godwit host list'"));
        reasons.AddRange(claims.Silent.Select(silent => new Refusal("host-silent",
            $"{silent} does not answer, and {spec.Name} may run there",
            $"start its agent; if that host is off for good: add --gone {silent}")));
        reasons.AddRange(claims.Holdings.Where(h => h.Host != host && h.Holding.HasProcess).Select(h => new Refusal("copy-elsewhere",
            $"{h.Host} has a QEMU of {spec.Name} (epoch {h.Holding.Epoch}): with a second owner it would run twice",
            $"end that one first, or settle it there: godwit cluster check --adopt {spec.Name} --on {h.Host}")));
        var top = claims.Holdings.Count > 0 ? Ownership.TopEpoch(claims) : new Epoch(0);
        if (stored is not null && stored.Epoch > top) top = stored.Epoch;
        var there = claims.Holdings.Where(h => h.Host == host).Select(h => h.Holding).FirstOrDefault();
        var isOwner = there is { IsOwner: true } && there.Epoch == top;
        if (there is { HasProcess: true } && !isOwner)
            reasons.Add(new("copy-not-owner",
                $"the QEMU of {spec.Name} on {host} is of epoch {there.Epoch}, and epoch {top} is known: it is an old copy",
                "end that process first; then it can be started there anew"));
        if (reasons.Count > 0) return new(null, reasons);
        var state = isOwner ? there!.State : VmState.Stopped;
        return new(new Vm
        {
            Spec = spec, Owner = host, Epoch = top.Value > 0 ? top : new Epoch(1), State = state,
            SavedFile = isOwner ? Ownership.SavedFile(there!) : null, CreatedAt = stored?.CreatedAt ?? now,
        }, []);
    }
}
