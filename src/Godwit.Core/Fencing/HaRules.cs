using Godwit.Core.Vms;

namespace Godwit.Core.Fencing;

/// <summary>
/// When a server may fence a host by itself, and which VMs go first. Pure. Silence alone never starts anything: it only
/// lets a fence be tried, and only where it is more likely that the host is gone than that this server is.
/// </summary>
public static class HaRules
{
    public static readonly TimeSpan SilenceDefault = TimeSpan.FromSeconds(60), SilenceMin = TimeSpan.FromSeconds(20);
    /// <summary>Questions without an answer, in a row: a server that stood still has asked nobody meanwhile.</summary>
    public const int MissesMin = 3;

    /// <summary>The one host to recover now, or null with the reason why a silent one is left alone (null: none is).</summary>
    public static (HostId? Host, string? Held) Choose(
        IReadOnlyList<HostStanding> hosts, TimeSpan silenceMin, bool automaticUnderWay)
    {
        // Fenced by a person, who left its VMs: the proof is there.
        var proved = hosts.FirstOrDefault(h => h is { IsFenced: true, HaVms: > 0, GaveUp: false });
        if (proved is not null && !automaticUnderWay) return (proved.Host, null);
        var counted = hosts.Where(h => !h.IsFenced).ToList();
        var silent = counted.Where(h => h.IsSilent).OrderByDescending(h => h.SilentFor)
            .ThenBy(h => h.Host.Value, StringComparer.Ordinal).ToList();
        var wanted = silent.Where(h => h.HaVms > 0 && h.SilentFor >= silenceMin && h.Misses >= MissesMin).ToList();
        if (wanted.Count == 0) return (null, null);
        if (silent.Count * 2 > counted.Count || silent.Count == counted.Count)
            return (null, $"{silent.Count} of {counted.Count} hosts are silent at once: rather this server is cut off");
        if (automaticUnderWay) return (null, "another host is being recovered: one at a time");
        if (wanted.FirstOrDefault(h => h is { HasFence: true, GaveUp: false }) is { } host) return (host.Host, null);
        var left = wanted[0];
        return (null, left.GaveUp ? $"{left.Host} could not be recovered before: a person must look"
            : $"{left.Host} has no fence: 'godwit host set {left.Host} --fence NAME', or give your word with 'godwit host recover'");
    }

    /// <summary>
    /// In which order VMs are brought back: those marked <c>ha</c> first, then those of higher priority, then the larger ones,
    /// which find room only while there is much.
    /// </summary>
    public static IReadOnlyList<Vm> Order(IEnumerable<Vm> vms) =>
    [
        .. vms.OrderByDescending(vm => vm.Ha).ThenByDescending(vm => vm.Priority).ThenByDescending(vm => vm.Spec.MemoryBytes)
            .ThenBy(vm => vm.Spec.Name, StringComparer.Ordinal),
    ];

    public static bool IsWanted(Vm vm, RecoveryScope scope) => scope switch
    {
        RecoveryScope.AllVms => true,
        RecoveryScope.HaVms => vm.Ha,
        _ => false,
    };

    /// <summary>It ran when its host was last heard of, or nobody knows.</summary>
    public static bool IsToRun(Vm vm) => vm.State is VmState.Running or VmState.Unknown;

    /// <summary>
    /// The epoch under which a VM lives on after its host was fenced: above every one that host can have been given. A move
    /// hands the next epoch over without the server, so the moves count too, however they ended.
    /// </summary>
    public static Epoch EpochAfter(Epoch recorded, IEnumerable<Epoch> ofMoves) =>
        ofMoves.Select(epoch => epoch.Next()).Append(recorded).Max().Next();

    /// <summary>How long to wait before the so manieth next try, counted from 1: half a minute, doubling to eight.</summary>
    public static TimeSpan PauseBefore(int attempt) => TimeSpan.FromSeconds(30 * (1 << Math.Clamp(attempt - 1, 0, 4)));
}

/// <summary>One host as the watch sees it.</summary>
/// <param name="SilentFor">Since the first question it did not answer, by this server's own monotonic clock.</param>
/// <param name="Misses">Unanswered questions in a row.</param>
/// <param name="HaVms">VMs marked <c>ha</c> that ran there, or may have.</param>
/// <param name="HasFence">A hook is set for it.</param>
/// <param name="GaveUp">A recovery of it ended without success since it was last heard of.</param>
public sealed record HostStanding(
    HostId Host, bool IsSilent, bool IsFenced, TimeSpan SilentFor, int Misses, int HaVms, bool HasFence, bool GaveUp);
