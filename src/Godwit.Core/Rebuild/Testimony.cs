using Godwit.Core.Hosts;
using Godwit.Core.Inventory;

namespace Godwit.Core.Rebuild;

/// <summary>What one host said when it was asked for everything, or that it said nothing.</summary>
/// <param name="Inventory">Null: it did not answer, for the reason in <paramref name="Silence"/>.</param>
/// <param name="IsGone">A person's word: it is off and stays off. Then its silence says nothing.</param>
public sealed record Testimony(
    HostId Host, string Endpoint, HostFacts? Facts, HostInventory? Inventory, string? Silence = null, bool IsGone = false)
{
    /// <summary>It may know something that nobody else tells.</summary>
    public bool IsSilent => Inventory is null && !IsGone;
}

/// <summary>All that was said of one VM.</summary>
public sealed record VmClaims
{
    public required VmId Vm { get; init; }
    public IReadOnlyList<(HostId Host, VmHolding Holding)> Holdings { get; init; } = [];
    public IReadOnlyList<(HostId Host, MoveHolding Move)> Moves { get; init; } = [];
    public IReadOnlyList<HostId> UnreadableAt { get; init; } = [];
    public IReadOnlyList<HostId> Silent { get; init; } = [];
    public IReadOnlyList<HostId> Hosts { get; init; } = [];
    /// <summary>Some answering host sees a disk of it, or cannot tell.</summary>
    public bool HasDisks { get; init; } = true;

    public static VmClaims Of(VmId vm, IReadOnlyList<Testimony> testimonies)
    {
        var said = testimonies.Where(t => t.Inventory is not null).Select(t => (t.Host, Inventory: t.Inventory!)).ToList();
        var holdings = said.SelectMany(s => s.Inventory.Vms.Where(v => v.Spec.Id == vm).Select(v => (s.Host, v))).ToList();
        return new VmClaims
        {
            Vm = vm,
            Holdings = holdings,
            Moves = [.. said.SelectMany(s => s.Inventory.Moves.Where(m => m.Vm == vm).Select(m => (s.Host, m)))],
            UnreadableAt = [.. said.Where(s => s.Inventory.Unreadable.Any(u => u.Vm == vm)).Select(s => s.Host)],
            Silent = [.. testimonies.Where(t => t.IsSilent).Select(t => t.Host)],
            Hosts = [.. testimonies.Select(t => t.Host)],
            HasDisks = said.Any(s => s.Inventory.FilesLeftOff) || holdings.SelectMany(h => h.v.Spec.Disks)
                .Any(disk => said.Any(s => s.Inventory.Files.Any(f => f.Pool == disk.Pool && f.File == disk.File))),
        };
    }

    /// <summary>Every VM that any host has a word about.</summary>
    public static IReadOnlyList<VmId> Named(IReadOnlyList<Testimony> testimonies) =>
        [.. testimonies.Where(t => t.Inventory is not null).SelectMany(t => t.Inventory!.Vms.Select(v => v.Spec.Id)
            .Concat(t.Inventory.Unreadable.Select(u => u.Vm))).Distinct().OrderBy(v => v.Value, StringComparer.Ordinal)];
}
