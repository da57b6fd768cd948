using System.Text.RegularExpressions;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Hosts;
using Godwit.Server.Placing;
using Godwit.Server.Templates;

namespace Godwit.Server.Vms;

/// <summary>
/// From a wish to a whole machine: where, on what, with which CPU and machine type. Everything the guest can see is
/// decided here, once, so that it is the same on every host it will ever visit. Pure but for the numbers given out.
/// </summary>
public sealed partial class VmDraft(PlacementScene scene, Template? template, VmNumbers numbers, DateTimeOffset now)
{
    private readonly IReadOnlyList<HostRoom> rooms = scene.Rooms;

    public const long DiskBytesMin = 1L << 20, DiskBytesDefault = 8L << 30;
    private const string DefaultBridge = "br0";

    /// <summary>Told of it where no host can take it.</summary>
    public Action<PlacementVm, IReadOnlyList<Refusal>>? Homeless { private get; init; }

    /// <summary>What speaks against where it is made, but does not forbid it.</summary>
    public IReadOnlyList<Refusal> Told { get; private set; } = [];

    /// <summary>Throws <see cref="RefusedException"/> with every reason.</summary>
    public Vm Make(CreateVmRequest wish)
    {
        var broken = Broken(wish).ToList();
        if (broken.Count > 0) throw new RefusedException(broken);

        var bridges = wish.Bridges ?? [DefaultBridge];
        var tags = PlacementTags.Changed([], wish.Tags, null);
        var host = Place(wish, bridges, tags);
        var (cpuModel, machineType, accelerator) = Baseline(host);
        var id = numbers.VmId();
        var size = wish.DiskBytes ?? (template is null ? DiskBytesDefault : (template.VirtualBytes + 511) / 512 * 512);
        return new Vm
        {
            Spec = new VmSpec
            {
                Id = id,
                Name = wish.Name,
                Uuid = numbers.Uuid(),
                Cpus = wish.Cpus,
                MemoryBytes = wish.MemoryBytes,
                MachineType = machineType,
                CpuModel = cpuModel,
                Accelerator = accelerator,
                Disks = [new DiskSpec(Pool(wish), $"{id}-0.qcow2", "qcow2", size, template?.File)],
                Nics = [.. bridges.Select(bridge => new NicSpec(bridge, numbers.Mac()))],
                Uid = numbers.Uid(),
                Template = template?.Name,
                Display = wish.Display,
                TemplateVersion = template?.Version,
            },
            Owner = host,
            Epoch = new Epoch(1),
            State = VmState.Stopped,
            CreatedAt = now,
            Ha = wish.Ha,
            Tags = tags,
            IsPinned = wish.Pin,
            Priority = wish.Priority,
        };
    }

    private HostId Place(CreateVmRequest wish, IReadOnlyList<string> bridges, IReadOnlyList<string> tags)
    {
        if (wish.Host is not null && rooms.All(r => r.Host.Id.Value != wish.Host)) throw HostVerbs.NotFound(new HostId(wish.Host));
        var on = template is null ? "" : rooms.FirstOrDefault(r =>
            r.Shares.GetValueOrDefault(template.Pool) == template.Share)?.Host.Id.Value ?? "no host";
        // Accelerator, CPU and machine are chosen by the host, not the host by them.
        var vm = new PlacementVm
        {
            Id = new VmId("vm-new"), Name = wish.Name, Bridges = bridges, Tags = tags, PoolsOn = on,
            Demand = new Amounts(wish.MemoryBytes + Host.QemuOverheadBytes, wish.Cpus, 0),
            Pools = new Dictionary<string, string?> { [Pool(wish)] = template?.Share },
            NeedsDisplay = wish.Display != Display.None,
        };
        var overridden = wish.IgnoreRules ? Overridden.Rules : Overridden.None;
        var pick = wish.Host is { } named ? HostPick.Named(scene.View, vm, new HostId(named), overridden)
            : HostPick.Best(scene.View, vm, _ => true, overridden);
        Told = pick.Told;
        if (pick.Host is null && wish is { Host: null, Start: true }) Homeless?.Invoke(vm, pick.Against);
        return pick.Host ?? throw new RefusedException(pick.Against);
    }

    /// <summary>The person's, else the template's, else the only one there is.</summary>
    private string Pool(CreateVmRequest wish)
    {
        if ((wish.Pool ?? template?.Pool) is not { } chosen)
        {
            var names = rooms.SelectMany(r => r.Host.Facts!.Pools).Select(p => p.Name).Distinct().Order(StringComparer.Ordinal).ToList();
            if (names.Count == 1) return names[0];
            throw new RefusedException("bad-pool",
                names.Count == 0 ? "no host has a pool for the disk" : $"there are several pools: {string.Join(", ", names)}",
                names.Count == 0 ? "give an agent --pool NAME=DIRECTORY" : "say which with --pool");
        }
        if (template is not null && chosen != template.Pool)
            throw new RefusedException("bad-pool",
                $"template {template.Name} lies in pool {template.Pool}, a clone cannot lie in {chosen}",
                $"leave --pool out, or import the template into {chosen}");
        return chosen;
    }

    /// <summary>What all hosts that answer, or would, with the chosen one's accelerator, can run.</summary>
    private (string CpuModel, string MachineType, Accelerator Accelerator) Baseline(HostId host)
    {
        var accelerator = rooms.First(r => r.Host.Id == host).Host.Facts!.Accelerator;
        // One on standby is to run it, too, once it is back.
        var facts = rooms.Where(r => r.Host.Answers || r.Host.State == HostState.Standby).Select(r => r.Host.Facts!)
            .Where(f => f.Accelerator == accelerator && f.Qemus.Count > 0).ToList();
        var cpu = CpuBaseline.BestCpuModel(facts, accelerator) ?? throw new RefusedException("no-common-cpu",
            $"the {facts.Count} hosts with {accelerator} have no named CPU model in common",
            "cordoning does not help: remove the host that differs ('godwit host list'), or make its QEMU newer");
        var machine = CpuBaseline.NewestMachineType(facts) ?? throw new RefusedException("no-common-machine",
            $"the QEMUs of the {facts.Count} hosts with {accelerator} know no pc-q35 machine in common",
            "make QEMU newer on the host with the oldest: 'godwit host list' shows the versions");
        return (cpu, machine, accelerator);
    }

    private IEnumerable<Refusal> Broken(CreateVmRequest wish)
    {
        if (!Names.IsValid(wish.Name) || IdForm().IsMatch(wish.Name))
            yield return new("bad-name", $"'{wish.Name}' cannot be a VM's name", $"a name is {Names.Rule}, and not of the form of an id");
        if (wish.Cpus is < 1 or > VmRules.CpusMax)
            yield return new("bad-cpus", $"{wish.Cpus} CPUs", $"1 to {VmRules.CpusMax} are possible");
        if (!VmRules.IsMemory(wish.MemoryBytes))
            yield return new("bad-memory", $"{wish.MemoryBytes} bytes of memory", "whole MiB from 16 MiB to 16 TiB are possible");
        if (wish.DiskBytes is { } size && !VmRules.IsDisk(size, DiskBytesMin))
            yield return new("bad-disk", $"a disk of {size} bytes", "multiples of 512 from 1 MiB to 64 TiB are possible");
        if (template is not null && wish.DiskBytes < template.VirtualBytes)
            yield return new("bad-disk",
                $"a disk of {wish.DiskBytes} bytes is smaller than template {template.Name} ({template.VirtualBytes})",
                "leave the size out, or make it larger");
        if (wish.Bridges is { Count: > VmRules.NicsMax })
            yield return new("bad-bridges", $"{wish.Bridges.Count} network cards", $"at most {VmRules.NicsMax}");
        foreach (var bridge in wish.Bridges?.Take(VmRules.NicsMax).Where(b => !VmRules.IsBridge(b)) ?? [])
            yield return new("bad-bridge", $"'{bridge}' cannot be a bridge", VmRules.BridgeRule);
        if (VmPriority.WhyNot(wish.Priority) is { } priority) yield return priority;
        if (wish.Pool is not null && !Names.IsValid(wish.Pool))
            yield return new("bad-pool", $"'{wish.Pool}' cannot be a pool's name", $"a name is {Names.Rule}");
    }

    [GeneratedRegex("^vm-[0-9a-f]{12}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex IdForm();
}
