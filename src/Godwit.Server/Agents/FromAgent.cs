using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Server.Agents;

/// <summary>
/// An agent's messages as our records. An agent may be newer, older or hostile: a word we do not know is an
/// <see cref="InvalidDataException"/>, never a default.
/// </summary>
public static class FromAgent
{
    public static HostFacts Record(Contracts.HostFacts facts) => new()
    {
        AgentVersion = facts.AgentVersion,
        KernelVersion = facts.KernelVersion,
        Cpus = facts.Cpus,
        CpuModelName = facts.CpuModelName,
        CpuFlags = [.. facts.CpuFlags],
        Accelerator = Known<Accelerator>((int)facts.Accelerator),
        AcceleratorReason = facts.AcceleratorReason,
        Qemus =
        [
            .. facts.Qemus.Select(q => new QemuBinary(q.Path, q.Version, [.. q.MachineTypes], [.. q.UsableCpuModels], q.HasDisplay)),
        ],
        MemoryBytes = facts.MemoryBytes,
        MemoryAvailableBytes = facts.MemoryAvailableBytes,
        RamFileSpaceBytes = facts.RamFileSpaceBytes,
        Bridges = [.. facts.Bridges],
        Pools = [.. facts.Pools.Select(p => new PoolFacts(p.Name, p.Path, p.SizeBytes, p.FreeBytes, p.Writable))],
        Links = [.. facts.Links.Select(l => new LinkFacts(l.Interface, l.Address, l.SpeedBitsPerSecond, l.Mtu))],
        Clock = Time(facts.Clock),
        Notes = [.. facts.Notes],
        Certificate = facts.Certificate is { } shown
            ? new CertificateFacts(Time(shown.NotBefore), Time(shown.NotAfter), shown.DenyList) : null,
        Watchdog = LeaseFromAgent.Record(facts.Watchdog),
        JournalSilentSeconds = facts.JournalSilentSeconds,
    };

    public static VmReport Record(Contracts.VmReport report) => new()
    {
        Spec = Record(Present(report.Spec)),
        Epoch = new Epoch(report.Epoch),
        State = Known<VmState>((int)report.State),
        IsOwner = report.IsOwner,
        QemuPid = report.HasQemuPid ? report.QemuPid : null,
        QemuVersion = report.HasQemuVersion ? report.QemuVersion : null,
        Note = report.HasNote ? report.Note : null,
        StorageFailed = report.StorageFailed,
    };

    public static VmSpec Record(Contracts.VmSpec spec) => new()
    {
        Id = new VmId(spec.Id),
        Name = spec.Name,
        Uuid = spec.Uuid,
        Cpus = spec.Cpus,
        MemoryBytes = spec.MemoryBytes,
        MachineType = spec.MachineType,
        CpuModel = spec.CpuModel,
        Accelerator = Known<Accelerator>((int)spec.Accelerator),
        Disks =
        [
            .. spec.Disks.Select(d => new DiskSpec(
                d.Pool, d.File, d.Format, d.SizeBytes, d.HasBackingFile ? d.BackingFile : null)),
        ],
        Nics = [.. spec.Nics.Select(n => new NicSpec(n.Bridge, n.Mac))],
        Uid = spec.Uid,
        Template = spec.HasTemplate ? spec.Template : null,
        Display = spec.Display == Contracts.Display.Unspecified ? Display.None : Known<Display>((int)spec.Display),
        TemplateVersion = spec.HasTemplateVersion ? spec.TemplateVersion : null,
    };

    public static ImportedImage Record(Contracts.ImportedImage image) =>
        new(image.File, image.Sha256, image.Format, image.VirtualBytes, image.FileBytes, image.Kind);

    public static SavedVm Record(Contracts.SavedVm saved) => new(saved.File, saved.Bytes, saved.Sha256, saved.PauseMs);

    public static IncomingReady Record(Contracts.IncomingReady ready) =>
        new(ready.Endpoint, ready.Ticket, [.. ready.Devices], ready.Isolated, ready.Lazily);

    public static SourceFacts Record(Contracts.SourceFacts facts) => new()
    {
        State = Known<VmState>((int)facts.State),
        Epoch = new Epoch(facts.Epoch),
        QemuVersion = facts.QemuVersion,
        Blockers = [.. facts.Blockers],
        Devices = [.. facts.Devices],
        Clock = Time(facts.Clock),
        CertificateEnds = facts.CertificateEnds is { } ends ? Time(ends) : null,
        StorageFailed = facts.StorageFailed,
        JournalSilentSeconds = facts.JournalSilentSeconds,
        UntouchedBytes = facts.UntouchedBytes,
        MemoryAvailableBytes = facts.MemoryAvailableBytes,
    };

    public static TargetFacts Record(Contracts.TargetFacts facts) => new()
    {
        Host = Record(Present(facts.Host)),
        UnreachableDisks = [.. facts.UnreachableDisks],
        MissingBridges = [.. facts.MissingBridges],
        MissingCpuFeatures = [.. facts.MissingCpuFeatures],
        AlreadyHere = facts.AlreadyHere,
    };

    public static MoveStatus Record(Contracts.MoveStatus status) => new()
    {
        Move = new MoveId(status.MoveId),
        Standing = Known<MoveStanding>((int)status.Standing),
        Epoch = new Epoch(status.Epoch),
        Reason = status.HasReason ? status.Reason : null,
        Progress = status.Progress is { } progress ? Record(progress) : null,
        Receipt = status.Receipt is { } receipt ? Record(receipt) : null,
        MemoryArriving = status.MemoryArriving,
        MemoryGivenBytes = status.MemoryGivenBytes,
    };

    public static RefusedException Record(Contracts.Refused refused) =>
        new([.. refused.Reasons.Select(r => new Refusal(r.Code, r.Cause, r.Fix))]);

    private static MoveProgress Record(Contracts.MoveProgress progress) => new()
    {
        Pass = progress.Pass,
        RemainingBytes = progress.RemainingBytes,
        TotalBytes = progress.TotalBytes,
        SentBytes = progress.SentBytes,
        BytesPerSecond = progress.BytesPerSecond,
        DirtyBytesPerSecond = progress.DirtyBytesPerSecond,
        ExpectedPauseMs = progress.ExpectedPauseMs,
        EtaSeconds = progress.HasEtaSeconds ? progress.EtaSeconds : null,
        SlowdownPercent = progress.SlowdownPercent,
        Steps = QuotingFromAgent.Record(progress.Steps),
    };

    private static Receipt Record(Contracts.Receipt receipt)
    {
        var phases = new Dictionary<Phase, double>();
        foreach (var time in receipt.Phases)
            phases[Known<Phase>((int)time.Phase)] = time.Ms;

        return new Receipt
        {
            TotalMs = receipt.TotalMs,
            PauseMs = receipt.HasPauseMs ? receipt.PauseMs : null,
            OwnPauseMs = receipt.HasOwnPauseMs ? receipt.OwnPauseMs : null,
            WireBytes = receipt.WireBytes,
            Passes = receipt.Passes,
            NormalPages = receipt.NormalPages,
            ZeroPages = receipt.ZeroPages,
            Accelerator = Known<Accelerator>((int)receipt.Accelerator),
            Transport = receipt.Transport,
            PhaseMs = phases,
            StreamBytes = Math.Max(0, receipt.StreamBytes),
            MemoryMs = QuotingFromAgent.Time(receipt.MemoryMs),
            PauseParts = QuotingFromAgent.Record(receipt.PauseParts),
            Steps = QuotingFromAgent.Record(receipt.Steps),
        };
    }

    /// <summary>On the wire every enum is ours plus one, because 0 means "not said" there.</summary>
    private static T Known<T>(int wire) where T : struct, System.Enum
    {
        var value = (T)System.Enum.ToObject(typeof(T), wire - 1);
        return System.Enum.IsDefined(value) ? value : throw new InvalidDataException(
            $"{typeof(T).Name} {wire} is not a word this server knows; server and agent are of different versions");
    }

    private static T Present<T>(T? part) where T : class =>
        part ?? throw new InvalidDataException($"{typeof(T).Name} is missing in the agent's answer");

    private static DateTimeOffset Time(Timestamp? time) => Present(time).ToDateTimeOffset();
}
