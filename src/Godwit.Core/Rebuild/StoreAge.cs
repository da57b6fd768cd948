using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Core.Rebuild;

/// <summary>
/// Is the store older than its hosts? Epochs only grow, and the store writes each one down before it orders anything
/// under it; so a host that knows a newer one heard it from a store that has lost it since. Pure.
/// </summary>
public static class StoreAge
{
    /// <summary>The one newer epoch a good store may hear of: of a move that it left in doubt, from either of its sides.</summary>
    /// <param name="lastMove">The newest move of the VM the store knows.</param>
    public static bool Explains(Migration.Migration? lastMove, HostId host, Epoch newer) =>
        lastMove is { End: null or MoveEnd.NeedsOperator } && lastMove.Epoch.Next() == newer
        && (host == lastMove.Source || host == lastMove.Target);

    /// <summary>While something is being done the next epoch may be on its way; the one after it never is.</summary>
    public static bool IsBeyondAnyOperation(Vm known, Epoch newer) => newer > known.Epoch.Next();

    public static Refusal Behind(Vm known, HostId host, Epoch newer) => new("store-behind",
        $"{host} knows epoch {newer} of {known.Spec.Name}, the store {known.Epoch}: the store is older than its hosts",
        $"nothing is ordered for it until it is settled: godwit cluster check --adopt {known.Spec.Name}");

    /// <summary>Null, or why this order to start must not be given: somebody may run the VM under a newer word than ours.</summary>
    public static Refusal? WhyNotStart(StartVm order, HostId at, IEnumerable<(HostId Host, VmEpoch Known)> known)
    {
        foreach (var (host, epoch) in known)
        {
            var newer = host == at ? epoch.Epoch > order.Epoch : epoch.IsOwner ? epoch.Epoch >= order.Epoch : epoch.Epoch > order.Epoch;
            if (newer)
                return new Refusal("epoch-behind",
                    $"{order.Spec.Name} would be started on {at} with epoch {order.Epoch}, and {host} knows epoch {epoch.Epoch}",
                    $"the store is older than its hosts; see: godwit vm show {order.Spec.Name}");
        }
        return null;
    }

    /// <summary>What is said to whoever orders something for a frozen VM.</summary>
    public static Refusal Frozen(string name, IReadOnlyList<Refusal> reasons) => new("vm-frozen",
        $"{name} is frozen: {string.Join("; ", reasons.Select(r => r.Cause))}",
        reasons.Count > 0 ? reasons[0].Fix : $"settle it: godwit cluster check --adopt {name}");
}
