using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Hosts;
using Godwit.Server.Placing;
using Godwit.Server.Store;
using Godwit.Server.Vms;

namespace Godwit.Server.Draining;

/// <summary>host drain, its cancel, host restore. Each is safe to repeat.</summary>
public sealed class DrainVerbs(Stores stores, PlacementDesk desk, DrainRunner runner, VmNumbers numbers, TimeProvider time)
{
    public Task ResumeAsync() => runner.ResumeAsync();

    public Task StopAsync() => runner.StopAsync();

    /// <summary>What would happen, and why not; nothing is changed.</summary>
    public async Task<DrainPlan> PlanAsync(HostId host, DrainLimits limits)
    {
        Check(limits);
        var scene = await desk.LookAsync();
        if (scene.Rooms.All(r => r.Host.Id != host)) throw HostVerbs.NotFound(host);
        return DrainPlanner.Plan(host, await stores.Vms.ListAsync(host), scene, limits);
    }

    /// <summary>The host is closed and its drain durable when this returns. Refused for the plan's reasons.</summary>
    /// <param name="wantsRoom">False: where it does not begin for want of room, no host is woken for it.</param>
    public async Task<Drain> BeginAsync(HostId host, DrainLimits limits, bool wantsRoom = true)
    {
        if (await stores.Drains.LatestAsync(host) is { HasEnded: false, Kind: DrainKind.Away } goesOn) return goesOn;
        var plan = await PlanAsync(host, limits);
        if (plan.Reasons.Count > 0)
        {
            if (wantsRoom) await TellHomelessAsync(host, plan);
            throw new RefusedException(plan.Reasons);
        }
        return await StartAsync(New(host, DrainKind.Away, limits, [.. plan.Steps.Select(s => new DrainVm(s.Vm, s.VmName))]));
    }

    private async Task TellHomelessAsync(HostId host, DrainPlan plan)
    {
        var scene = await desk.LookAsync();
        var vms = (await stores.Vms.ListAsync(host)).ToDictionary(vm => vm.Spec.Id);
        foreach (var step in plan.Steps.Where(s => s is { Mode: null, Blocks: true }))
            if (vms.TryGetValue(step.Vm, out var vm)) desk.Tell(scene.Of(vm), step.Why);
    }

    /// <summary>Moves that wait are cancelled with it; those under way end as they do.</summary>
    public async Task<Drain> CancelAsync(HostId host) => await stores.Drains.RequestCancelAsync(host)
        ?? throw new RefusedException("no-drain", $"{host} is not being drained", $"'godwit host show {host}' tells its state");

    /// <summary>The host takes VMs again; those the last drain moved, and that are still where it put them, come back.</summary>
    /// <param name="andReturn">False: only open it.</param>
    public async Task<Drain> RestoreAsync(HostId host, bool andReturn)
    {
        var last = await stores.Drains.LatestAsync(host);
        if (last is { HasEnded: false, Kind: DrainKind.Back }) return last;
        var left = andReturn && last is { Kind: DrainKind.Away }
            ? last.Vms.Where(v => v.End == DrainVmEnd.Moved && v.Target is not null)
                .Select(v => new DrainVm(v.Vm, v.VmName) { Target = v.Target }).ToList() : [];
        return await StartAsync(New(host, DrainKind.Back, new DrainLimits(), left));
    }

    private async Task<Drain> StartAsync(Drain wished)
    {
        var (drain, refusal) = await stores.Drains.BeginAsync(wished);
        if (drain is null) throw new RefusedException([refusal!]);
        runner.Start(drain);
        return drain;
    }

    private Drain New(HostId host, DrainKind kind, DrainLimits limits, IReadOnlyList<DrainVm> vms) => new()
    {
        Id = numbers.DrainId(), Host = host, Kind = kind, Limits = limits, CreatedAt = time.GetUtcNow(), Vms = vms,
    };

    private void Check(DrainLimits limits)
    {
        if (limits.Mode is not (MoveMode.Live or MoveMode.Quick))
            throw new RefusedException(
                "bad-mode", $"a drain moves running VMs live or quick, not {Fields.Word(limits.Mode)}", "use live or quick");
        if (limits.Deadline is { } deadline && deadline <= time.GetUtcNow())
            throw new RefusedException("bad-deadline", "the deadline is over already", "give it more time: --deadline 30m");
    }
}
