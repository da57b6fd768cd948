using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Checking;
using Godwit.Core.Fencing;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Power;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Server.Balancing;
using Godwit.Server.Replaying;
using Godwit.Server.Draining;
using Godwit.Server.Placing;
using Godwit.Server.Power;
using System.Runtime.CompilerServices;

namespace Godwit.Client;

/// <summary>The REST API, one method a call.</summary>
public sealed class GodwitApi(ApiClient client)
{
    /// <summary>A stop asks the guest and waits for it; a save waits for the disk.</summary>
    private static readonly TimeSpan slowCallMax = TimeSpan.FromMinutes(10);
    /// <summary>The tables of a large disk are read and written.</summary>
    private static readonly TimeSpan snapshotMax = TimeSpan.FromMinutes(16);

    public Task<IReadOnlyList<HostView>> HostsAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<HostView>>("hosts", cancel);

    public Task<HostView> HostAsync(string name, CancellationToken cancel) =>
        client.GetAsync<HostView>($"hosts/{Safe(name)}", cancel);

    public Task<HostView> AddHostAsync(AddHostRequest wish, CancellationToken cancel) =>
        client.SendAsync<HostView>(HttpMethod.Post, "hosts", wish, slowCallMax, cancel);

    /// <param name="act">cordon, uncordon, revoke.</param>
    public Task<HostView> ActOnHostAsync(string name, string act, CancellationToken cancel) =>
        client.SendAsync<HostView>(HttpMethod.Post, $"hosts/{Safe(name)}/{act}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<ClusterPlan> PlanBalanceAsync(BalanceWish wish, CancellationToken cancel) =>
        client.SendAsync<ClusterPlan>(HttpMethod.Post, "balance/plan", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<PowerView> PowerAsync(CancellationToken cancel) => client.GetAsync<PowerView>("power", cancel);

    public Task<PowerSettings> SetPowerAsync(PowerWish wish, CancellationToken cancel) =>
        client.SendAsync<PowerSettings>(HttpMethod.Post, "power", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<PowerHold> HoldPowerAsync(PowerHoldWish wish, CancellationToken cancel) =>
        client.SendAsync<PowerHold>(HttpMethod.Post, "power/hold", wish, ApiClient.AnswerTimeMax, cancel);

    /// <param name="answer"><c>apply</c> or <c>dismiss</c>.</param>
    public Task<HostView> AnswerPowerAsync(string id, string answer, CancellationToken cancel) => client.SendAsync<HostView>(
        HttpMethod.Post, $"power/recommendations/{Safe(id)}/{answer}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<ClusterReplay> ReplayAsync(ReplayWish wish, CancellationToken cancel) =>
        client.SendAsync<ClusterReplay>(HttpMethod.Post, "balance/replay", wish, slowCallMax, cancel);

    public Task<BalancerView> BalancerAsync(CancellationToken cancel) => client.GetAsync<BalancerView>("balancer", cancel);

    public Task<BalancerSettings> SetBalancerAsync(BalancerWish wish, CancellationToken cancel) =>
        client.SendAsync<BalancerSettings>(HttpMethod.Post, "balancer", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<BalancerSettings> SetBalancerOfVmAsync(string vm, VmModeWish wish, CancellationToken cancel) =>
        client.SendAsync<BalancerSettings>(HttpMethod.Post, $"balancer/vms/{Safe(vm)}", wish, ApiClient.AnswerTimeMax, cancel);

    /// <param name="answer">apply, dismiss.</param>
    public Task<Recommendation> AnswerRecommendationAsync(string id, string answer, CancellationToken cancel) =>
        client.SendAsync<Recommendation>(
            HttpMethod.Post, $"balancer/recommendations/{Safe(id)}/{answer}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<PlacementPolicy> PolicyAsync(CancellationToken cancel) => client.GetAsync<PlacementPolicy>("placement", cancel);

    public Task<PlacementPolicy> SetPolicyAsync(PolicyWish wish, CancellationToken cancel) =>
        client.SendAsync<PlacementPolicy>(HttpMethod.Post, "placement", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<RuleView>> RulesAsync(CancellationToken cancel) => client.GetAsync<IReadOnlyList<RuleView>>("rules", cancel);

    public Task<RuleView> RuleAsync(string name, CancellationToken cancel) =>
        client.GetAsync<RuleView>($"rules/{Safe(name)}", cancel);

    public Task<RuleView> AddRuleAsync(RuleRecord rule, CancellationToken cancel) =>
        client.SendAsync<RuleView>(HttpMethod.Post, "rules", rule, ApiClient.AnswerTimeMax, cancel);

    public Task RemoveRuleAsync(string name, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"rules/{Safe(name)}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<HostRating>> RateHostsAsync(string vm, CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<HostRating>>($"vms/{Safe(vm)}/placement", cancel);

    public Task<ClusterLoadView> LoadAsync(CancellationToken cancel) => client.GetAsync<ClusterLoadView>("load", cancel);

    public Task<LoadView> LoadOfVmAsync(string vm, int hours, CancellationToken cancel) =>
        client.GetAsync<LoadView>($"vms/{Safe(vm)}/load?hours={hours}", cancel);

    public Task<LoadView> LoadOfHostAsync(string host, int hours, CancellationToken cancel) =>
        client.GetAsync<LoadView>($"hosts/{Safe(host)}/load?hours={hours}", cancel);

    /// <summary>Opens this VM's console once, within its short life, where no token can be shown.</summary>
    public Task<ConsoleTicketView> ConsoleTicketAsync(string vm, CancellationToken cancel) =>
        client.SendAsync<ConsoleTicketView>(HttpMethod.Post, $"vms/{Safe(vm)}/console/ticket", null, ApiClient.AnswerTimeMax, cancel);

    /// <summary>As <see cref="ConsoleTicketAsync"/>, of its display.</summary>
    public Task<ConsoleTicketView> DisplayTicketAsync(string vm, CancellationToken cancel) =>
        client.SendAsync<ConsoleTicketView>(HttpMethod.Post, $"vms/{Safe(vm)}/display/ticket", null, ApiClient.AnswerTimeMax, cancel);

    public Task<Drain> DrainAsync(string host, CancellationToken cancel) =>
        client.GetAsync<Drain>($"hosts/{Safe(host)}/drain", cancel);

    public Task<DrainPlan> PlanDrainAsync(string host, DrainRequest wish, CancellationToken cancel) =>
        client.SendAsync<DrainPlan>(
            HttpMethod.Post, $"hosts/{Safe(host)}/drain", wish with { DryRun = true }, ApiClient.AnswerTimeMax, cancel);

    public Task<Drain> BeginDrainAsync(string host, DrainRequest wish, CancellationToken cancel) =>
        client.SendAsync<Drain>(HttpMethod.Post, $"hosts/{Safe(host)}/drain", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<Drain> CancelDrainAsync(string host, CancellationToken cancel) =>
        client.SendAsync<Drain>(HttpMethod.Post, $"hosts/{Safe(host)}/drain/cancel", null, ApiClient.AnswerTimeMax, cancel);

    public Task<Drain> RestoreHostAsync(string host, RestoreHostRequest wish, CancellationToken cancel) =>
        client.SendAsync<Drain>(HttpMethod.Post, $"hosts/{Safe(host)}/restore", wish, ApiClient.AnswerTimeMax, cancel);
    public Task<HostView> SetHostAsync(string name, HostSettingsRequest wish, CancellationToken cancel) =>
        client.SendAsync<HostView>(HttpMethod.Post, $"hosts/{Safe(name)}/settings", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<HostRecovery> FenceHostAsync(string name, CancellationToken cancel) =>
        client.SendAsync<HostRecovery>(HttpMethod.Post, $"hosts/{Safe(name)}/fence", null, ApiClient.AnswerTimeMax, cancel);

    public Task<HostRecovery> RecoverHostAsync(string name, RecoverHostRequest wish, CancellationToken cancel) =>
        client.SendAsync<HostRecovery>(HttpMethod.Post, $"hosts/{Safe(name)}/recover", wish, ApiClient.AnswerTimeMax, cancel);

    /// <summary>The newest one of this host, as it stands now.</summary>
    public Task<HostRecovery> RecoveryAsync(string host, CancellationToken cancel) =>
        client.GetAsync<HostRecovery>($"hosts/{Safe(host)}/recovery", cancel);

    public Task RemoveHostAsync(string name, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"hosts/{Safe(name)}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<NewJoinTokenView> CreateJoinTokenAsync(CreateJoinTokenRequest wish, CancellationToken cancel) =>
        client.SendAsync<NewJoinTokenView>(HttpMethod.Post, "join-tokens", wish, ApiClient.AnswerTimeMax, cancel);

    /// <summary>Needs no other right than the token's.</summary>
    public Task<JoinedView> JoinAsync(JoinRequest wish, CancellationToken cancel) =>
        client.SendAsync<JoinedView>(HttpMethod.Post, "join", wish, ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<TemplateView>> TemplatesAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<TemplateView>>("templates", cancel);

    /// <summary>Every version of every template, the newest of each first.</summary>
    public Task<IReadOnlyList<TemplateView>> AllTemplatesAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<TemplateView>>("templates?all=true", cancel);

    /// <summary>Without a version: the latest.</summary>
    public Task<TemplateView> TemplateAsync(TemplateChoice template, CancellationToken cancel) =>
        client.GetAsync<TemplateView>($"templates/{Safe(template.Name)}{Version(template)}", cancel);

    public Task<IReadOnlyList<TemplateView>> TemplateVersionsAsync(string name, CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<TemplateView>>($"templates/{Safe(name)}/versions", cancel);

    /// <param name="newVersion">Where the name is taken: the next version of it.</param>
    public Task<TemplateView> ImportTemplateAsync(string name, string format, string? pool, Stream content, CancellationToken cancel,
        bool newVersion = false, string? note = null) =>
        client.UploadAsync<TemplateView>(HttpMethod.Put, $"templates/{Safe(name)}?format={format}"
            + (pool is null ? "" : $"&pool={Safe(pool)}") + (newVersion ? "&newVersion=true" : "")
            + (note is null ? "" : $"&note={Safe(note)}"), content, cancel);

    /// <summary>Without a version: all of them.</summary>
    public Task DeleteTemplateAsync(TemplateChoice template, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"templates/{Safe(template.Name)}{Version(template)}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<LinkView>> LinksAsync(CancellationToken cancel) => client.GetAsync<IReadOnlyList<LinkView>>("links", cancel);

    public Task<LinkView> TestLinkAsync(LinkTestRequest wish, CancellationToken cancel) =>
        client.SendAsync<LinkView>(HttpMethod.Post, "links/test", wish, slowCallMax, cancel);

    public Task<IReadOnlyList<PromiseScore>> PromisesAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<PromiseScore>>("stats/promises", cancel);

    public Task<IReadOnlyList<VmView>> VmsAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<VmView>>("vms", cancel);

    public Task<VmView> VmAsync(string name, CancellationToken cancel) =>
        client.GetAsync<VmView>($"vms/{Safe(name)}", cancel);

    public Task<VmView> CreateVmAsync(CreateVmRequest wish, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, "vms", wish, slowCallMax, cancel);

    public Task<VmView> SetVmAsync(string name, VmSettingsRequest wish, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, $"vms/{Safe(name)}/settings", wish, ApiClient.AnswerTimeMax, cancel);

    /// <param name="act">start, stop, restart, pause, resume, save.</param>
    public Task<VmView> ActAsync(string name, string act, object? body, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, $"vms/{Safe(name)}/{act}", body, slowCallMax, cancel);

    /// <summary>The newest first.</summary>
    public Task<IReadOnlyList<VmSnapshot>> SnapshotsAsync(string vm, CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<VmSnapshot>>($"vms/{Safe(vm)}/snapshots", cancel);

    public Task<VmView> MakeSnapshotAsync(string vm, SnapshotRequest wish, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, $"vms/{Safe(vm)}/snapshots", wish, snapshotMax, cancel);

    public Task<VmView> RevertAsync(string vm, string snapshot, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, $"vms/{Safe(vm)}/snapshots/{Safe(snapshot)}/revert", null, snapshotMax, cancel);

    public Task DeleteSnapshotAsync(string vm, string snapshot, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"vms/{Safe(vm)}/snapshots/{Safe(snapshot)}", null, snapshotMax, cancel);

    public Task DeleteVmAsync(string name, bool force, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"vms/{Safe(name)}" + (force ? "?force=true" : ""), null, slowCallMax, cancel);

    /// <summary>What the move would do and all that stands against it; nothing is changed.</summary>
    public Task<MovePlan> PlanAsync(string vm, MigrateRequest wish, CancellationToken cancel) =>
        client.SendAsync<MovePlan>(
            HttpMethod.Post, $"vms/{Safe(vm)}/migrate", wish with { DryRun = true }, slowCallMax, cancel);

    public Task<Migration> MigrateAsync(string vm, MigrateRequest wish, CancellationToken cancel) =>
        client.SendAsync<Migration>(HttpMethod.Post, $"vms/{Safe(vm)}/migrate", wish, slowCallMax, cancel);

    public Task<MovePlan> PlanRefreshAsync(string vm, RefreshRequest wish, CancellationToken cancel) =>
        client.SendAsync<MovePlan>(
            HttpMethod.Post, $"vms/{Safe(vm)}/refresh", wish with { DryRun = true }, slowCallMax, cancel);

    public Task<Migration> RefreshAsync(string vm, RefreshRequest wish, CancellationToken cancel) =>
        client.SendAsync<Migration>(HttpMethod.Post, $"vms/{Safe(vm)}/refresh", wish, slowCallMax, cancel);

    /// <param name="limit">The newest so many; null: the server's own number.</param>
    public Task<IReadOnlyList<Migration>> MovesAsync(CancellationToken cancel, bool active = false, int? limit = null) =>
        client.GetAsync<IReadOnlyList<Migration>>((active, limit) switch
        {
            (false, null) => "migrations",
            (true, null) => "migrations?active=true",
            _ => $"migrations?active={(active ? "true" : "false")}&limit={limit}",
        }, cancel);

    public Task<Migration> MoveAsync(string id, CancellationToken cancel) =>
        client.GetAsync<Migration>($"migrations/{Safe(id)}", cancel);

    public Task<Migration> CancelMoveAsync(string id, CancellationToken cancel) =>
        client.SendAsync<Migration>(HttpMethod.Post, $"migrations/{Safe(id)}/cancel", null, slowCallMax, cancel);

    public Task<Migration> RepairMoveAsync(string id, string? fenced, CancellationToken cancel) =>
        client.SendAsync<Migration>(HttpMethod.Post, $"migrations/{Safe(id)}/repair", new RepairMoveRequest(fenced), slowCallMax, cancel);

    /// <summary>The move now and at each change until it has ended.</summary>
    public async IAsyncEnumerable<Migration> WatchMoveAsync(
        MoveId id, [EnumeratorCancellation] CancellationToken cancel)
    {
        await foreach (var (_, _, move) in client.EventsAsync<Migration>($"migrations/{id}/events", null, cancel))
        {
            yield return move;
            if (move.End is not null) yield break;
        }
    }

    /// <summary>What happens in the cluster, from now on (or after <paramref name="after"/>), without end.</summary>
    public async IAsyncEnumerable<EventView> EventsAsync(
        string? after, [EnumeratorCancellation] CancellationToken cancel)
    {
        await foreach (var (_, _, happened) in client.EventsAsync<EventView>("events", after, cancel))
            yield return happened;
    }

    /// <summary>The newest, oldest of them first.</summary>
    public Task<IReadOnlyList<EventView>> LastEventsAsync(int limit, CancellationToken cancel) =>
        client.GetListAsync<EventView>($"events?limit={limit}", cancel);

    public Task<IReadOnlyList<Finding>> CheckAsync(bool repair, CancellationToken cancel) => repair
        ? client.SendAsync<IReadOnlyList<Finding>>(HttpMethod.Post, "check", new CheckRequest(Repair: true), slowCallMax, cancel)
        : client.SendAsync<IReadOnlyList<Finding>>(HttpMethod.Get, "check", null, slowCallMax, cancel);

    /// <param name="vm">Its name, or the id of one that only hosts know.</param>
    public Task<VmView> AdoptVmAsync(string vm, AdoptRequest wish, CancellationToken cancel) =>
        client.SendAsync<VmView>(HttpMethod.Post, $"vms/{Safe(vm)}/adopt", wish, slowCallMax, cancel);

    private static string Version(TemplateChoice template) => template.Version is { } version ? $"?version={version}" : "";

    private static string Safe(string part) => Uri.EscapeDataString(part);
}
