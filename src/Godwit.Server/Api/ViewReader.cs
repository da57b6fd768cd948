using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Vms;
using Godwit.Server.Draining;
using Godwit.Server.Hosts;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Godwit.Server.Templates;

namespace Godwit.Server.Api;

/// <summary>Records as the API shows them, with what else is known at the moment of asking.</summary>
public sealed class ViewReader(Stores stores, HostWatcher watcher)
{
    public async Task<IReadOnlyList<HostView>> HostsAsync()
    {
        var rooms = await stores.Hosts.RoomsAsync();
        var drains = (await stores.Drains.LatestOfAllAsync()).ToDictionary(d => d.Host);
        return [.. rooms.Select(room => View(room, rooms, drains.GetValueOrDefault(room.Host.Id)))];
    }

    public async Task<HostView> HostAsync(HostId id)
    {
        var rooms = await stores.Hosts.RoomsAsync();
        var room = rooms.FirstOrDefault(r => r.Host.Id == id) ?? throw HostVerbs.NotFound(id);
        var view = View(room, rooms, await stores.Drains.LatestAsync(id));
        return view with { Fenced = await stores.Fences.InForceAsync(id), Recovery = await stores.Fences.NewestAsync(id) };
    }

    public async Task<IReadOnlyList<VmView>> VmsAsync(HostId? owner)
    {
        var hosts = (await stores.Hosts.ListAsync()).ToDictionary(h => h.Id, h => h.State);
        var doing = (await stores.Operations.UnfinishedAsync()).ToDictionary(o => o.Vm);
        var frozen = (await stores.Frozen.ListAsync()).ToDictionary(f => f.Vm, f => f.Reasons);
        return
        [
            .. (await stores.Vms.ListAsync(owner)).Select(vm =>
                View(vm, hosts, doing.GetValueOrDefault(vm.Spec.Id)) with { Frozen = frozen.GetValueOrDefault(vm.Spec.Id) }),
        ];
    }

    public async Task<VmView> VmAsync(Vm vm)
    {
        var hosts = (await stores.Hosts.ListAsync()).ToDictionary(h => h.Id, h => h.State);
        var doing = (await stores.Operations.UnfinishedAsync()).FirstOrDefault(o => o.Vm == vm.Spec.Id);
        return View(vm, hosts, doing) with { Frozen = (await stores.Frozen.FindAsync(vm.Spec.Id))?.Reasons };
    }

    /// <param name="all">Every version; else the latest of each name.</param>
    public async Task<IReadOnlyList<TemplateView>> TemplatesAsync(bool all)
    {
        var rooms = await stores.Hosts.RoomsAsync();
        return [.. (await stores.Templates.ListAsync()).GroupBy(t => t.Name).SelectMany(name =>
        {
            var (versions, clones) = (name.Count(), name.Sum(t => t.Clones));
            return (all ? name : name.Take(1)).Select(t => View(t, rooms) with { Versions = versions, ClonesOfAll = clones });
        })];
    }

    /// <summary>All of one name, the newest first.</summary>
    public async Task<IReadOnlyList<TemplateView>> TemplateVersionsAsync(string name)
    {
        var versions = (await TemplatesAsync(all: true)).Where(t => t.Name == name).ToList();
        return versions.Count > 0 ? versions : throw new RefusedException([TemplateStore.NotFound(new(name, null))]);
    }

    public async Task<TemplateView> TemplateAsync(string name, int? version) =>
        (await TemplateVersionsAsync(name)).FirstOrDefault(t => version is null || t.Version == version)
        ?? throw new RefusedException([TemplateStore.NotFound(new(name, version))]);

    private HostView View(HostRoom room, IReadOnlyList<HostRoom> rooms, Drain? drain)
    {
        var sharing = room.Shares.ToDictionary(
            mine => mine.Key,
            mine => (IReadOnlyList<HostId>)[.. rooms
                .Where(other => other.Host.Id != room.Host.Id && other.Shares.GetValueOrDefault(mine.Key) == mine.Value)
                .Select(other => other.Host.Id)]);
        var facts = watcher.Live(room.Host.Id) ?? room.Host.Facts!;
        return new HostView(
            room.Host.Id, room.Host.Endpoint, room.Host.State, facts, room.Vms, room.PromisedBytes,
            Admission.OfferedBytes(facts.MemoryBytes), sharing)
        {
            Drain = drain is { HasEnded: false } || (drain is { Kind: DrainKind.Away, End: not DrainEnd.Cancelled }
                && room.Host.State == HostState.Cordoned) ? drain : null,
            Fence = room.Host.Fence,
            Watchdog = room.Host.Watchdog,
            Power = room.Host.Power,
            Tags = room.Host.Tags,
            SilentSeconds = room.Host.State == HostState.Unreachable ? Math.Floor(watcher.Silence(room.Host.Id).For.TotalSeconds) : null,
        };
    }

    private VmView View(Vm vm, Dictionary<HostId, HostState> hosts, Operation? doing) => new(
        vm.Spec, vm.Owner, vm.Epoch, vm.State, vm.SavedFile, vm.CreatedAt,
        hosts.GetValueOrDefault(vm.Owner, HostState.Unreachable),
        doing is null ? null : new OperationView(doing.Id, Fields.Word(doing.Kind), doing.CreatedAt),
        Ha: vm.Ha)
    {
        Tags = vm.Tags, Pinned = vm.IsPinned, Priority = vm.Priority, MoveLimits = vm.MoveLimits, Snapshots = vm.Snapshots.Count,
        Trouble = vm.State == VmState.Paused ? watcher.TroubleOf(vm.Spec.Id) : null,
    };

    private static TemplateView View(Template template, IReadOnlyList<HostRoom> rooms) => new(
        template.Name, template.Pool, template.File, template.Format, template.Sha256, template.VirtualBytes,
        template.FileBytes, template.CreatedAt, template.Clones,
        [.. rooms.Where(r => TemplateVerbs.Holds(r, template)).Select(r => r.Host.Id)])
    { Version = template.Version, By = template.By, Note = template.Note };
}
