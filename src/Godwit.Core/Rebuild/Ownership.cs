using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Vms;

namespace Godwit.Core.Rebuild;

/// <summary>Whose a VM is by what hosts have written down.</summary>
/// <param name="Frozen">Why nothing may be ordered for it until a person has settled it; empty: it is as usual.</param>
/// <param name="Moves">Moves of it that some host has not settled; those without an end go on.</param>
public sealed record OwnershipVerdict(
    VmSpec Spec, HostId Owner, Epoch Epoch, VmState State, string? SavedFile, IReadOnlyList<Refusal> Frozen,
        IReadOnlyList<Migration.Migration> Moves);

/// <summary>
/// Who owns a VM, when the server's record is gone or not to be believed. Pure. The owner is the one host whose record
/// says so with the highest epoch any host knows; everything else is told and left to a person. A host that did not
/// answer is never taken to have nothing to say, and a candidate or a released copy is no owner.
/// </summary>
public static class Ownership
{
    /// <summary>Null: hosts have a word about it, and none that a VM could be made of.</summary>
    public static OwnershipVerdict? Decide(VmClaims claims, DateTimeOffset now)
    {
        if (claims.Holdings.Count == 0) return null;
        var top = TopEpoch(claims);
        var owners = claims.Holdings.Where(h => h.Holding.IsOwner && h.Holding.Epoch == top).ToList();
        var moves = OpenMoves(claims, top, now);
        if (owners.Count == 1) return Owned(claims, owners[0].Host, owners[0].Holding, moves);
        if (owners.Count > 1) return TwoOwners(claims, owners, moves);
        // The target may have taken it and not yet said so, while the source has let it go already.
        return moves.FirstOrDefault(m => m.Epoch == top || m.Epoch.Next() == top) is { } handingOver
            ? InHandOver(claims, handingOver, moves)
            : claims.HasDisks ? Ownerless(claims, top, moves) : null; // Deleted: only tombstones are left of it.
    }

    /// <summary>The highest epoch any host knows, by its record of the VM or by what a move of it came to.</summary>
    public static Epoch TopEpoch(VmClaims claims) => claims.Holdings.Select(h => h.Holding.Epoch)
        .Concat(claims.Moves.Where(m => m.Move.Standing is MoveStanding.SourceReleased or MoveStanding.TargetRuns)
            .Select(m => m.Move.NewEpoch))
        .Max();

    private static OwnershipVerdict Owned(
        VmClaims claims, HostId owner, VmHolding holding, IReadOnlyList<Migration.Migration> moves)
    {
        var reasons = Unreadable(claims).ToList();
        foreach (var (host, other) in claims.Holdings.Where(h => h.Host != owner && h.Holding.HasProcess))
        {
            var ofMove = moves.Any(m => m.Source == host || m.Target == host)
                || claims.Moves.Any(m => m.Host == host && m.Move.Standing == MoveStanding.SourceReleased);
            if (!ofMove) reasons.Add(new Refusal("copy-elsewhere",
                $"{host} has a QEMU of {holding.Spec.Name} too (epoch {other.Epoch}), and {owner} owns it with epoch {holding.Epoch}",
                $"look at both guests; end the one on {host}, then: godwit cluster check --adopt {holding.Spec.Name}"));
        }
        var inMove = moves.Any(m => m.Epoch == holding.Epoch || m.Epoch.Next() == holding.Epoch);
        // It runs, so nobody took it for dead; one that does not run may have been started elsewhere since.
        if (claims.Silent.Count > 0 && !inMove && !(holding.HasProcess && holding.State is VmState.Running or VmState.Paused))
            reasons.Add(Silent(claims, $"{holding.Spec.Name} does not run on {owner} and may have been started there since",
                holding.Spec.Name));
        var doubtful = moves.Any(m => m.End == MoveEnd.NeedsOperator && m.Epoch == holding.Epoch);
        return new OwnershipVerdict(holding.Spec, owner, holding.Epoch, doubtful ? VmState.Unknown : holding.State,
            doubtful ? null : SavedFile(holding), reasons, moves);
    }

    private static OwnershipVerdict TwoOwners(
        VmClaims claims, List<(HostId Host, VmHolding Holding)> owners, IReadOnlyList<Migration.Migration> moves)
    {
        var first = owners.OrderByDescending(o => o.Holding.HasProcess).ThenBy(o => o.Host.Value, StringComparer.Ordinal).First();
        var spec = first.Holding.Spec;
        var reason = new Refusal("two-owners",
            $"{string.Join(" and ", owners.Select(o => o.Host))} each say that {spec.Name} is theirs with epoch {first.Holding.Epoch}",
            $"look at both, turn one off, then: godwit cluster check --adopt {spec.Name} --on HOST");
        return new OwnershipVerdict(spec, first.Host, first.Holding.Epoch, VmState.Unknown, null, [reason, .. Unreadable(claims)], moves);
    }

    /// <summary>
    /// Between two owners: it stands as before its move, which its hosts' proofs end; in doubt while one of them is
    /// silent.
    /// </summary>
    private static OwnershipVerdict InHandOver(
        VmClaims claims, Migration.Migration move, IReadOnlyList<Migration.Migration> moves) =>
        new(Newest(claims).Spec, move.Source, move.Epoch, VmState.Unknown, null, [.. Unreadable(claims)], moves);

    /// <summary>Nobody says "mine" with the epoch that somebody knows of.</summary>
    private static OwnershipVerdict Ownerless(VmClaims claims, Epoch top, IReadOnlyList<Migration.Migration> moves)
    {
        var newest = Newest(claims);
        var name = newest.Spec.Name;
        var pointers = claims.Moves.Where(m => m.Move.Standing == MoveStanding.SourceReleased && m.Move.NewEpoch == top
            && m.Move.Peer is not null)
            .ToList();
        var (owner, reason) = pointers.Count == 0
            ? (claims.Holdings.First(h => h.Holding == newest).Host, new Refusal("owner-unknown",
                $"{claims.Holdings.First(h => h.Holding == newest).Host} let {name} go with epoch {top}, and no host that answered owns it",
                $"start the agent of the host it went to, or say where it is to be: godwit cluster check --adopt {name} --on HOST"))
            : Gone(claims, name, top, pointers[0].Host, pointers[0].Move.Peer!.Value);
        return new OwnershipVerdict(newest.Spec, owner, top, VmState.Unknown, null, [reason, .. Unreadable(claims)], moves);
    }

    /// <summary>Where a host says that it went.</summary>
    private static (HostId Owner, Refusal Reason) Gone(VmClaims claims, string name, Epoch top, HostId from, HostId to)
    {
        var went = $"{from} says that {name} went to {to} with epoch {top}";
        if (!claims.Hosts.Contains(to))
            return (from, new Refusal("owner-silent", $"{went}, which is not in the cluster",
                $"godwit host add {to} --address ADDRESS:PORT: {name} is taken in when it answers"));
        return claims.Silent.Contains(to)
            ? (to, new Refusal("owner-silent", $"{went}, which does not answer",
                $"start the agent of {to}: {name} is taken in when it answers"))
            : (to, new Refusal("owner-lost", $"{went}, which does not know it",
                $"find out what became of it there; then: godwit cluster check --adopt {name} --on HOST"));
    }

    /// <summary>
    /// What some host has not settled. Both sides answered: the move goes on, and its proofs end it. A side that is silent
    /// leaves it in doubt; the server asks again when that host is back.
    /// </summary>
    private static List<Migration.Migration> OpenMoves(VmClaims claims, Epoch top, DateTimeOffset now)
    {
        var open = new List<Migration.Migration>();
        foreach (var sides in claims.Moves.GroupBy(m => m.Move.Move).OrderBy(g => g.Max(m => m.Move.NewEpoch))
            .ThenBy(g => g.Key.Value, StringComparer.Ordinal))
        {
            if (sides.All(s => s.Move.IsSettled)) continue;
            var (source, target) = SidesOf([.. sides]);
            var spec = Newest(claims).Spec;
            if (source is not { } from || target is not { } to || !claims.Hosts.Contains(from) || !claims.Hosts.Contains(to)) continue;
            var newEpoch = sides.Max(s => s.Move.NewEpoch);
            var silent = new[] { from, to }.Where(claims.Silent.Contains).ToList();
            var superseded = newEpoch < top;
            var runs = sides.Any(s => s.Move.Standing == MoveStanding.TargetRuns);
            open.Add(new Migration.Migration
            {
                Id = sides.Key,
                Vm = claims.Vm,
                VmName = spec.Name,
                Source = from,
                Target = to,
                Mode = from == to ? MoveMode.Refresh : MoveMode.Live,
                Limits = new MoveLimits(),
                Epoch = new Epoch(newEpoch.Value - 1),
                Phase = Phase.Memory,
                // Done, and its source may not know: it is told when it answers.
                End = superseded && runs ? MoveEnd.Done : superseded || silent.Count > 0 ? MoveEnd.NeedsOperator : null,
                Reason = silent.Count > 0 ? $"{string.Join(" and ", silent)} did not answer when the store was rebuilt"
                    : superseded ? $"{spec.Name} has moved on since" : null,
                CreatedAt = now,
                EndedAt = superseded || silent.Count > 0 ? now : null,
            });
        }
        // A VM is in one move at a time: of several that go on the last one does.
        for (var i = 0; i < open.Count - 1; i++)
            if (open[i].End is null)
                open[i] = open[i] with { End = MoveEnd.NeedsOperator, EndedAt = now, Reason = $"{open[^1].Id} came after it" };
        return open;
    }

    private static (HostId? Source, HostId? Target) SidesOf(IReadOnlyList<(HostId Host, MoveHolding Move)> sides)
    {
        HostId? source = null, target = null;
        foreach (var (host, move) in sides)
        {
            if (move.Side == MoveSide.Refresh) (source, target) = (host, host);
            else if (move.Side == MoveSide.Source) (source, target) = (host, target ?? move.Peer);
            else (source, target) = (source ?? move.Peer, host);
        }
        return (source, target);
    }

    private static VmHolding Newest(VmClaims claims) => claims.Holdings.OrderByDescending(h => h.Holding.Epoch)
        .ThenByDescending(h => h.Holding.IsOwner).ThenBy(h => h.Host.Value, StringComparer.Ordinal).First().Holding;

    private static IEnumerable<Refusal> Unreadable(VmClaims claims) => claims.UnreadableAt.Select(host => new Refusal(
        "record-unreadable", $"{host} has a record of {Newest(claims).Spec.Name} that cannot be read: it may say anything",
        $"see the agent's log on {host}; repair or remove the record, restart the agent, then: "
        + $"godwit cluster check --adopt {Newest(claims).Spec.Name}"));

    private static Refusal Silent(VmClaims claims, string why, string name) => new("host-silent",
        $"{string.Join(", ", claims.Silent)} {(claims.Silent.Count == 1 ? "does" : "do")} not answer: {why}",
        $"start the agent there, and it is settled by itself; if that host is gone for good: "
        + $"godwit cluster check --adopt {name} --gone HOST");

    /// <summary>An agent notes the file of a saved VM; its name begins with the VM's id.</summary>
    internal static string? SavedFile(VmHolding holding) => holding is { State: VmState.Saved, Note: { } note }
        && note.StartsWith($"{holding.Spec.Id}-", StringComparison.Ordinal) ? note : null;
}
