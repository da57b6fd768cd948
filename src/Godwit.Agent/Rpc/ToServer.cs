using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Agent.Rpc;

/// <summary>Our records as the messages a server understands. The way back is in the server's <c>FromAgent</c>.</summary>
public static class ToServer
{
    /// <summary>The server reads trailers of 128 KiB at most, and base64 and UTF-8 make them longer.</summary>
    private const int ReasonsMax = 24;
    private const int SentenceCharsMax = 400;

    public static Contracts.HostFacts Message(HostFacts facts) => Showing(facts, new()
    {
        AgentVersion = facts.AgentVersion,
        KernelVersion = facts.KernelVersion,
        Cpus = facts.Cpus,
        CpuModelName = facts.CpuModelName,
        CpuFlags = { facts.CpuFlags },
        Accelerator = (Contracts.Accelerator)Wire(facts.Accelerator),
        AcceleratorReason = facts.AcceleratorReason,
        Qemus = { facts.Qemus.Select(Message) },
        MemoryBytes = facts.MemoryBytes,
        MemoryAvailableBytes = facts.MemoryAvailableBytes,
        RamFileSpaceBytes = facts.RamFileSpaceBytes,
        Bridges = { facts.Bridges },
        Pools = { facts.Pools.Select(Message) },
        Links = { facts.Links.Select(Message) },
        Clock = Timestamp.FromDateTimeOffset(facts.Clock),
        Notes = { facts.Notes },
        JournalSilentSeconds = facts.JournalSilentSeconds,
    });

    private static Contracts.HostFacts Showing(HostFacts facts, Contracts.HostFacts message)
    {
        if (facts.Watchdog is { } watchdog) message.Watchdog = LeaseToServer.Message(watchdog);
        if (facts.Certificate is not { } certificate) return message;
        message.Certificate = new Contracts.CertificateFacts
        {
            NotBefore = Timestamp.FromDateTimeOffset(certificate.NotBefore), NotAfter = Timestamp.FromDateTimeOffset(certificate.NotAfter),
            DenyList = certificate.DenyList,
        };
        return message;
    }

    public static Contracts.VmReport Message(VmReport report)
    {
        var message = new Contracts.VmReport
        {
            Spec = Message(report.Spec),
            Epoch = report.Epoch.Value,
            State = (Contracts.VmState)Wire(report.State),
            IsOwner = report.IsOwner,
            StorageFailed = report.StorageFailed,
        };
        if (report.QemuPid is { } pid) message.QemuPid = pid;
        if (report.QemuVersion is { } version) message.QemuVersion = version;
        if (report.Note is { } note) message.Note = note;
        return message;
    }

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

    public static Contracts.ImportedImage Message(ImportedImage image) => new()
    {
        File = image.File,
        Sha256 = image.Sha256,
        Format = image.Format,
        VirtualBytes = image.VirtualBytes,
        FileBytes = image.FileBytes,
        Kind = image.Kind,
    };

    public static Contracts.SavedVm Message(SavedVm saved) =>
        new() { File = saved.File, Bytes = saved.Bytes, Sha256 = saved.Sha256, PauseMs = saved.PauseMs };

    public static Contracts.IncomingReady Message(IncomingReady ready) =>
        new()
        {
            Endpoint = ready.Endpoint, Ticket = ready.Ticket, Devices = { ready.Devices }, Isolated = ready.Isolated,
            Lazily = ready.Lazily,
        };

    public static Contracts.SourceFacts Message(SourceFacts facts) => new()
    {
        State = (Contracts.VmState)Wire(facts.State),
        Epoch = facts.Epoch.Value,
        QemuVersion = facts.QemuVersion,
        Blockers = { facts.Blockers },
        Devices = { facts.Devices },
        Clock = Timestamp.FromDateTimeOffset(facts.Clock),
        CertificateEnds = facts.CertificateEnds is { } ends ? Timestamp.FromDateTimeOffset(ends) : null,
        StorageFailed = facts.StorageFailed,
        JournalSilentSeconds = facts.JournalSilentSeconds,
        UntouchedBytes = facts.UntouchedBytes,
        MemoryAvailableBytes = facts.MemoryAvailableBytes,
    };

    public static Contracts.TargetFacts Message(TargetFacts facts) => new()
    {
        Host = Message(facts.Host),
        UnreachableDisks = { facts.UnreachableDisks },
        MissingBridges = { facts.MissingBridges },
        MissingCpuFeatures = { facts.MissingCpuFeatures },
        AlreadyHere = facts.AlreadyHere,
    };

    public static Contracts.MoveStatus Message(MoveStatus status)
    {
        var message = new Contracts.MoveStatus
        {
            MoveId = status.Move.Value,
            Standing = (Contracts.MoveStanding)Wire(status.Standing),
            Epoch = status.Epoch.Value,
        };
        message.MemoryArriving = status.MemoryArriving;
        message.MemoryGivenBytes = status.MemoryGivenBytes;
        if (status.Reason is { } reason) message.Reason = reason;
        if (status.Progress is { } progress) message.Progress = Message(progress);
        if (status.Receipt is { } receipt) message.Receipt = Message(receipt);
        return message;
    }

    public static Contracts.Refused Message(RefusedException refused) => new()
    {
        Reasons =
        {
            refused.Reasons.Take(ReasonsMax).Select(r => new Contracts.Refusal
            {
                Code = Short(r.Code),
                Cause = Short(r.Cause),
                Fix = Short(r.Fix),
            }),
        },
    };

    private static Contracts.MoveProgress Message(MoveProgress progress)
    {
        var message = new Contracts.MoveProgress
        {
            Pass = progress.Pass,
            RemainingBytes = progress.RemainingBytes,
            TotalBytes = progress.TotalBytes,
            SentBytes = progress.SentBytes,
            BytesPerSecond = progress.BytesPerSecond,
            DirtyBytesPerSecond = progress.DirtyBytesPerSecond,
            ExpectedPauseMs = progress.ExpectedPauseMs,
            SlowdownPercent = progress.SlowdownPercent,
            Steps = { progress.Steps.Select(QuotingToServer.Message) },
        };
        if (progress.EtaSeconds is { } eta) message.EtaSeconds = eta;
        return message;
    }

    private static Contracts.Receipt Message(Receipt receipt)
    {
        var message = new Contracts.Receipt
        {
            TotalMs = receipt.TotalMs,
            WireBytes = receipt.WireBytes,
            Passes = receipt.Passes,
            NormalPages = receipt.NormalPages,
            ZeroPages = receipt.ZeroPages,
            Accelerator = (Contracts.Accelerator)Wire(receipt.Accelerator),
            Transport = receipt.Transport,
            StreamBytes = receipt.StreamBytes,
            MemoryMs = receipt.MemoryMs,
            PauseParts = QuotingToServer.Message(receipt.PauseParts),
            Steps = { receipt.Steps.Select(QuotingToServer.Message) },
            Phases =
            {
                receipt.PhaseMs.Select(p => new Contracts.PhaseTime { Phase = (Contracts.Phase)Wire(p.Key), Ms = p.Value }),
            },
        };
        if (receipt.PauseMs is { } pause) message.PauseMs = pause;
        if (receipt.OwnPauseMs is { } own) message.OwnPauseMs = own;
        return message;
    }

    private static Contracts.DiskSpec Message(DiskSpec disk)
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

    private static Contracts.QemuBinary Message(QemuBinary qemu) => new()
    {
        Path = qemu.Path,
        Version = qemu.Version,
        MachineTypes = { qemu.MachineTypes },
        UsableCpuModels = { qemu.UsableCpuModels },
        HasDisplay = qemu.HasDisplay,
    };

    private static Contracts.PoolFacts Message(PoolFacts pool) => new()
    {
        Name = pool.Name,
        Path = pool.Path,
        SizeBytes = pool.SizeBytes,
        FreeBytes = pool.FreeBytes,
        Writable = pool.Writable,
    };

    private static Contracts.LinkFacts Message(LinkFacts link) => new()
    {
        Interface = link.Interface,
        Address = link.Address,
        SpeedBitsPerSecond = link.SpeedBitsPerSecond,
        Mtu = link.Mtu,
    };

    private static string Short(string text) =>
        text.Length <= SentenceCharsMax ? text : string.Concat(text.AsSpan(0, SentenceCharsMax), "…");

    /// <summary>On the wire every enum is ours plus one, because 0 means "not said" there. A test compares the names.</summary>
    private static int Wire<T>(T value) where T : struct, System.Enum =>
        Convert.ToInt32(value, System.Globalization.CultureInfo.InvariantCulture) + 1;
}
