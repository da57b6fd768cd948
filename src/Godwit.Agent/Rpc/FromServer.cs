using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Rpc;

/// <summary>
/// The server's messages as our records. What is missing or unknown is an <see cref="InvalidDataException"/>,
/// never a default: a server of another version must not start half an order.
/// </summary>
public static class FromServer
{
    public static VmSpec Record(Contracts.VmSpec spec) => new()
    {
        Id = new VmId(Present(spec.Id, "VM id")),
        Name = Present(spec.Name, "VM name"),
        Uuid = Present(spec.Uuid, "VM uuid"),
        Cpus = spec.Cpus,
        MemoryBytes = spec.MemoryBytes,
        MachineType = Present(spec.MachineType, "machine type"),
        CpuModel = Present(spec.CpuModel, "CPU model"),
        Accelerator = Known<Accelerator>((int)spec.Accelerator),
        Disks = [.. spec.Disks.Select(Record)],
        Nics = [.. spec.Nics.Select(n => new NicSpec(Present(n.Bridge, "bridge"), Present(n.Mac, "MAC")))],
        Uid = spec.Uid,
        Template = spec.HasTemplate ? spec.Template : null,
        Display = spec.Display == Contracts.Display.Unspecified ? Display.None : Known<Display>((int)spec.Display),
        TemplateVersion = spec.HasTemplateVersion ? spec.TemplateVersion : null,
    };

    public static DiskSpec Record(Contracts.DiskSpec disk) => new(
        Present(disk.Pool, "pool"), Present(disk.File, "disk file"), Present(disk.Format, "disk format"),
        disk.SizeBytes, disk.HasBackingFile ? disk.BackingFile : null);

    public static ImportImage Record(Contracts.ImportImageOrder order) =>
        new(Present(order.Pool, "pool"), Present(order.Format, "image format"));

    public static StartVm Record(Contracts.StartVmRequest order) => new(
        Record(Present(order.Spec)), new Epoch(order.Epoch), order.HasSavedFile ? order.SavedFile : null, order.Lazily);

    public static SnapshotOrder Record(Contracts.SnapshotOrder order) =>
        new(Record(Present(order.Spec)), new Epoch(order.Epoch), Present(order.Tag, "tag"));

    public static IncomingOrder Record(Contracts.IncomingOrder order) => new(
        Move(order.MoveId), Record(Present(order.Spec)), new Epoch(order.Epoch),
        new HostId(Present(order.Source, "source")), order.StayPaused, order.Rehearses)
        { Lazily = order.Lazily, KeepsMemory = order.KeepsMemory };

    public static OutgoingOrder Record(Contracts.OutgoingOrder order)
    {
        var ready = Present(order.Ready);
        return new OutgoingOrder(
            Move(order.MoveId), Vm(order.VmId), new Epoch(order.Epoch), new HostId(Present(order.Target, "target")),
            Known<MoveMode>((int)order.Mode), Record(Present(order.Limits)),
            new IncomingReady(Present(ready.Endpoint, "link endpoint"), ready.Ticket, [.. ready.Devices], ready.Isolated, ready.Lazily),
            order.Rehearses);
    }

    public static RefreshOrder Record(Contracts.RefreshOrder order)
    {
        var wish = Present(order.Wish);
        return new RefreshOrder(
            Move(order.MoveId), Vm(order.VmId), new Epoch(order.Epoch), Record(Present(order.Limits)),
            new RefreshWish(wish.HasQemuPath ? wish.QemuPath : null, wish.HasCpus ? wish.Cpus : null));
    }

    public static TargetProof Record(Contracts.TargetProof proof) => Known<TargetProof>((int)proof);

    public static DenyList Record(Contracts.DenyList denied) => new(denied.Hosts.Select(one => new DeniedHost(
        new HostId(Present(one.Host, "denied host")), Present(one.BeganUntil).ToDateTimeOffset())));

    public static VmId Vm(string id) => new(Present(id, "VM id"));

    public static MoveId Move(string id) => new(Present(id, "move id"));

    public static T Present<T>(T? part) where T : class =>
        part ?? throw new InvalidDataException($"{typeof(T).Name} is missing in the server's order");

    private static MoveLimits Record(Contracts.MoveLimits limits) =>
        new(limits.MaxPauseMs, limits.BandwidthBytesPerSecond)
        {
            DeadlineSeconds = limits.HasDeadlineSeconds ? limits.DeadlineSeconds : null, MayQuick = limits.MayQuick,
            MaxSlowdownPercent = Math.Clamp(limits.MaxSlowdownPercent, 0, MoveLimits.SlowdownPercentMax),
            PassesMax = limits.HasPassesMax ? Math.Max(1, limits.PassesMax) : null,
        };

    private static string Present(string text, string what) =>
        text.Length > 0 ? text : throw new InvalidDataException($"The {what} is missing in the server's order");

    /// <summary>On the wire every enum is ours plus one, because 0 means "not said" there.</summary>
    private static T Known<T>(int wire) where T : struct, Enum
    {
        var value = (T)Enum.ToObject(typeof(T), wire - 1);
        return Enum.IsDefined(value) ? value : throw new InvalidDataException(
            $"{typeof(T).Name} {wire} is not a word this agent knows; server and agent are of different versions");
    }
}
