using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Timestamp = Google.Protobuf.WellKnownTypes.Timestamp;

namespace Godwit.Server.Agents;

/// <summary>Our records as the messages an agent understands. The way back is in the agent's <c>FromServer</c>.</summary>
public static class ToAgent
{
    public static Contracts.VmSpec Message(VmSpec spec)
    {
        var message = new Contracts.VmSpec
        {
            Id = spec.Id.Value,
            Name = spec.Name,
            Uuid = spec.Uuid,
            Cpus = spec.Cpus,
            MemoryBytes = spec.MemoryBytes,
            MachineType = spec.MachineType,
            CpuModel = spec.CpuModel,
            Accelerator = (Contracts.Accelerator)Wire(spec.Accelerator),
            Disks = { spec.Disks.Select(Message) },
            Nics = { spec.Nics.Select(n => new Contracts.NicSpec { Bridge = n.Bridge, Mac = n.Mac }) },
            Uid = spec.Uid,
            Display = (Contracts.Display)Wire(spec.Display),
        };
        if (spec.Template is { } template) message.Template = template;
        if (spec.TemplateVersion is { } version) message.TemplateVersion = version;
        return message;
    }

    public static Contracts.DiskSpec Message(DiskSpec disk)
    {
        var message = new Contracts.DiskSpec
        {
            Pool = disk.Pool,
            File = disk.File,
            Format = disk.Format,
            SizeBytes = disk.SizeBytes,
        };
        if (disk.BackingFile is { } backing) message.BackingFile = backing;
        return message;
    }

    public static Contracts.StartVmRequest Message(StartVm order)
    {
        var message = new Contracts.StartVmRequest { Spec = Message(order.Spec), Epoch = order.Epoch.Value };
        if (order.SavedFile is { } file) message.SavedFile = file;
        message.Lazily = order.Lazily;
        return message;
    }

    public static Contracts.SnapshotOrder Message(SnapshotOrder order) =>
        new() { Spec = Message(order.Spec), Epoch = order.Epoch.Value, Tag = order.Tag };

    public static Contracts.IncomingOrder Message(IncomingOrder order) => new()
    {
        MoveId = order.Move.Value,
        Spec = Message(order.Spec),
        Epoch = order.Epoch.Value,
        Source = order.Source.Value,
        StayPaused = order.StayPaused,
        Rehearses = order.Rehearses,
        Lazily = order.Lazily,
        KeepsMemory = order.KeepsMemory,
    };

    public static Contracts.OutgoingOrder Message(OutgoingOrder order) => new()
    {
        MoveId = order.Move.Value,
        VmId = order.Vm.Value,
        Epoch = order.Epoch.Value,
        Target = order.Target.Value,
        Mode = (Contracts.MoveMode)Wire(order.Mode),
        Limits = Message(order.Limits),
        Ready = new Contracts.IncomingReady
        {
            Endpoint = order.Ready.Endpoint,
            Ticket = order.Ready.Ticket,
            Devices = { order.Ready.Devices },
            Isolated = order.Ready.Isolated,
            Lazily = order.Ready.Lazily,
        },
        Rehearses = order.Rehearses,
    };

    public static Contracts.RefreshOrder Message(RefreshOrder order)
    {
        var wish = new Contracts.RefreshWish();
        if (order.Wish.QemuPath is { } path) wish.QemuPath = path;
        if (order.Wish.Cpus is { } cpus) wish.Cpus = cpus;
        return new Contracts.RefreshOrder
        {
            MoveId = order.Move.Value,
            VmId = order.Vm.Value,
            Epoch = order.Epoch.Value,
            Limits = Message(order.Limits),
            Wish = wish,
        };
    }

    public static Contracts.LeaveVmRequest Leave(VmSpec vm, Epoch epoch) => new() { Spec = Message(vm), Epoch = epoch.Value };

    public static Contracts.VmAtEpoch Message(VmId vm, Epoch epoch) => new() { VmId = vm.Value, Epoch = epoch.Value };

    public static Contracts.SignedCertificate Message(string certificatePem, DateTimeOffset clock) =>
        new() { Pem = certificatePem, Clock = Timestamp.FromDateTimeOffset(clock) };

    public static Contracts.DenyList Message(DenyList denied) => new()
    {
        Hosts =
        {
            denied.Hosts.Select(one => new Contracts.DeniedHost
                { Host = one.Host.Value, BeganUntil = Timestamp.FromDateTimeOffset(one.BeganUntil) }),
        },
    };

    public static Contracts.MoveRequest Message(MoveId move) => new() { MoveId = move.Value };

    public static Contracts.SettleOutgoingRequest Message(MoveId move, TargetProof proof) =>
        new() { MoveId = move.Value, Proof = (Contracts.TargetProof)Wire(proof) };

    private static Contracts.MoveLimits Message(MoveLimits limits)
    {
        var message = new Contracts.MoveLimits
        {
            MaxPauseMs = limits.MaxPauseMs, BandwidthBytesPerSecond = limits.BandwidthBytesPerSecond,
            MayQuick = limits.MayQuick, MaxSlowdownPercent = limits.MaxSlowdownPercent,
        };
        if (limits.DeadlineSeconds is { } deadline) message.DeadlineSeconds = deadline;
        if (limits.PassesMax is { } passes) message.PassesMax = passes;
        return message;
    }

    /// <summary>On the wire every enum is ours plus one, because 0 means "not said" there. A test compares the names.</summary>
    private static int Wire<T>(T value) where T : struct, Enum =>
        Convert.ToInt32(value, System.Globalization.CultureInfo.InvariantCulture) + 1;
}
