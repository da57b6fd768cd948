using Godwit.Client;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Cluster;

/// <summary>What the check panel knows of one VM: the plan for the target that is chosen, or why there is none.</summary>
public sealed record CheckedVm(string Name, MovePlan? Plan, ApiError? Error)
{
    public bool IsRefused => Error is not null || Plan is { Reasons.Count: > 0 };
    public IReadOnlyList<Refusal> Reasons => Plan?.Reasons ?? Error?.Reasons ?? [];
}

/// <summary>A host as the target picker shows it.</summary>
/// <param name="FreeAfterBytes">Memory that may still be promised there, were all of them there.</param>
public sealed record TargetChoice(string Host, int Stars, long FreeAfterBytes, string? Refused, string Why);

/// <summary>A move of one or many VMs as a person puts it together. Nothing is begun before they say so.</summary>
public sealed class MoveDraft(GodwitApi api, IReadOnlyList<string> names)
{
    public const string Auto = "auto";

    /// <summary>A host's name, or <see cref="Auto"/>.</summary>
    public string Target { get; set; } = Auto;
    public MoveMode Mode { get; set; } = MoveMode.Live;
    public int MaxPauseMs { get; set; } = MoveLimits.DefaultMaxPauseMs;
    public bool MayQuick { get; set; }
    public bool MayLazy { get; set; }

    public IReadOnlyList<TargetChoice> Choices { get; private set; } = [];
    public IReadOnlyList<CheckedVm> Checked { get; private set; } = [];
    public int Allowed => Checked.Count(vm => !vm.IsRefused);

    private MigrateRequest Wish => new(Target, Mode, MaxPauseMs)
    {
        MayQuick = MayQuick && Mode == MoveMode.Live, MayLazy = MayLazy && Mode == MoveMode.Live,
    };

    /// <summary>Hosts by how well they would do for all of them: the worst word counts.</summary>
    public async Task RateAsync(CancellationToken cancel)
    {
        var hosts = await api.HostsAsync(cancel);
        var vms = (await api.VmsAsync(cancel)).Where(vm => names.Contains(vm.Spec.Name)).ToList();
        var ratings = new List<HostRating>();
        foreach (var name in names) ratings.AddRange(await api.RateHostsAsync(name, cancel));
        Choices = Rank(hosts, vms, ratings);
    }

    /// <summary>Pure: the order of the picker.</summary>
    public static IReadOnlyList<TargetChoice> Rank(
        IReadOnlyList<HostView> hosts, IReadOnlyList<VmView> vms, IReadOnlyList<HostRating> ratings) =>
    [
        .. hosts.Select(host =>
        {
            var of = ratings.Where(rating => rating.Host == host.Id).ToList();
            var coming = vms.Where(vm => vm.Owner != host.Id).ToList();
            var hard = of.FirstOrDefault(rating => !rating.Verdict.IsAllowed);
            var refused = coming.Count == 0 ? "it is here now"
                : hard?.Verdict.Reasons.First(reason => reason.IsHard).Why.Cause;
            return new TargetChoice(host.Id.Value, refused is null && of.Count > 0 ? of.Min(rating => rating.Stars) : 0,
                host.MemoryOfferedBytes - host.MemoryAssignedBytes
                    - coming.Sum(vm => vm.Spec.MemoryBytes + Core.Hosts.Host.QemuOverheadBytes),
                refused, of.OrderBy(rating => rating.Stars).FirstOrDefault()?.Reason ?? "");
        }).OrderBy(choice => choice.Refused is not null).ThenByDescending(choice => choice.Stars)
            .ThenByDescending(choice => choice.FreeAfterBytes).ThenBy(choice => choice.Host, StringComparer.Ordinal),
    ];

    /// <summary>Asks for a plan of each, one after the other; what was known before is dropped at the end only.</summary>
    public async Task CheckAsync(CancellationToken cancel)
    {
        var heard = new List<CheckedVm>();
        foreach (var name in names)
        {
            try
            {
                heard.Add(new CheckedVm(name, await api.PlanAsync(name, Wish, cancel), null));
            }
            catch (ApiException reason)
            {
                heard.Add(new CheckedVm(name, null, reason.Error));
            }
        }
        Checked = heard;
    }

    /// <summary>Begins every move that nothing stands against.</summary>
    /// <returns>The moves, and what the server said no to after all.</returns>
    public async Task<(IReadOnlyList<Migration> Begun, IReadOnlyList<ApiError> Refused)> BeginAsync(CancellationToken cancel)
    {
        var (begun, refused) = (new List<Migration>(), new List<ApiError>());
        foreach (var vm in Checked.Where(vm => !vm.IsRefused))
        {
            try
            {
                begun.Add(await api.MigrateAsync(vm.Name, Wish, cancel));
            }
            catch (ApiException reason)
            {
                refused.Add(reason.Error);
            }
        }
        return (begun, refused);
    }
}
