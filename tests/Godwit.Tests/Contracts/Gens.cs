using CsCheck;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Tests.Rpc;

/// <summary>Arbitrary records of everything that crosses between server and agent.</summary>
internal static class Gens
{
    private static readonly Gen<string> Text = Gen.String[Gen.Char["abzß…–0\"\\ \n漢"], 1, 12];
    private static readonly Gen<string?> TextOrNull = Text.Null();
    private static readonly Gen<IReadOnlyList<string>> Texts = Text.List[0, 4].Select(l => (IReadOnlyList<string>)l);
    private static readonly Gen<double> Doubles = Gen.Double[-1e15, 1e15];
    private static readonly Gen<Epoch> Epochs = Gen.Long.Select(e => new Epoch(e));
    private static readonly Gen<MoveId> Moves = Text.Select(t => new MoveId(t));
    private static readonly Gen<VmId> VmIds = Text.Select(t => new VmId(t));
    private static readonly Gen<HostId> HostIds = Text.Select(t => new HostId(t));
    private static readonly Gen<DateTimeOffset> Times =
        Gen.Long[0, DateTimeOffset.MaxValue.Ticks].Select(ticks => new DateTimeOffset(ticks, TimeSpan.Zero));

    public static readonly Gen<DiskSpec> Disk = Gen.Select(Text, Text, Text, Gen.Long, TextOrNull)
        .Select(d => new DiskSpec(d.Item1, d.Item2, d.Item3, d.Item4, d.Item5));

    private static readonly Gen<NicSpec> Nic = Gen.Select(Text, Text).Select(n => new NicSpec(n.Item1, n.Item2));

    public static readonly Gen<VmSpec> Spec =
        from names in Gen.Select(VmIds, Text, Text, Text, Text)
        from sizes in Gen.Select(Gen.Int, Gen.Long, Gen.Int)
        from accelerator in Gen.Enum<Accelerator>()
        from disks in Disk.List[0, 3]
        from nics in Nic.List[0, 3]
        from template in TextOrNull
        from display in Gen.Enum<Display>()
        from version in Gen.Int[0, 9]
        select new VmSpec
        {
            Id = names.Item1,
            Name = names.Item2,
            Uuid = names.Item3,
            MachineType = names.Item4,
            CpuModel = names.Item5,
            Cpus = sizes.Item1,
            MemoryBytes = sizes.Item2,
            Uid = sizes.Item3,
            Accelerator = accelerator,
            Disks = disks,
            Nics = nics,
            Template = template,
            Display = display,
            TemplateVersion = version == 0 ? null : version,
        };

    private static readonly Gen<MoveLimits> Limits =
        Gen.Select(Gen.Int, Gen.Long).Select(l => new MoveLimits(l.Item1, l.Item2));

    public static readonly Gen<IncomingReady> Ready =
        Gen.Select(Text, Text, Texts, Gen.Bool).Select(r => new IncomingReady(r.Item1, r.Item2, r.Item3, r.Item4));

    public static readonly Gen<StartVm> Start =
        Gen.Select(Spec, Epochs, TextOrNull).Select(s => new StartVm(s.Item1, s.Item2, s.Item3));

    public static readonly Gen<IncomingOrder> Incoming = Gen.Select(Moves, Spec, Epochs, HostIds, Gen.Bool, Gen.Bool)
        .Select(o => new IncomingOrder(o.Item1, o.Item2, o.Item3, o.Item4, o.Item5, o.Item6));

    public static readonly Gen<OutgoingOrder> Outgoing =
        Gen.Select(Moves, VmIds, Epochs, HostIds, Gen.Enum<MoveMode>(), Limits, Ready, Gen.Bool)
            .Select(o => new OutgoingOrder(o.Item1, o.Item2, o.Item3, o.Item4, o.Item5, o.Item6, o.Item7, o.Item8));

    public static readonly Gen<RefreshOrder> Refresh = Gen.Select(Moves, VmIds, Epochs, Limits, TextOrNull, TextOrNull)
        .Select(o => new RefreshOrder(o.Item1, o.Item2, o.Item3, o.Item4, new RefreshWish(o.Item5, o.Item6)));

    private static readonly Gen<QemuBinary> Qemu =
        Gen.Select(Text, Text, Texts, Texts, Gen.Bool).Select(q => new QemuBinary(q.Item1, q.Item2, q.Item3, q.Item4, q.Item5));

    private static readonly Gen<PoolFacts> Pool = Gen.Select(Text, Text, Gen.Long, Gen.Long, Gen.Bool)
        .Select(p => new PoolFacts(p.Item1, p.Item2, p.Item3, p.Item4, p.Item5));

    private static readonly Gen<LinkFacts> Link = Gen.Select(Text, Text, Gen.Long, Gen.Int)
        .Select(l => new LinkFacts(l.Item1, l.Item2, l.Item3, l.Item4));

    private static readonly Gen<CertificateFacts> Certificate =
        Gen.Select(Times, Times, Text).Select(c => new CertificateFacts(c.Item1, c.Item2, c.Item3));

    public static readonly Gen<WatchdogFacts> Watchdog =
        from words in Gen.Select(Text, Text, TextOrNull, TextOrNull)
        from since in Times.Nullable()
        from seconds in Gen.Int[1, 300]
        from stuck in Gen.Bool
        select new WatchdogFacts(words.Item1, words.Item2, seconds, words.Item3, since, stuck, words.Item4);

    public static readonly Gen<LeaseGrant> Grant = Gen.Select(Text, Text, Gen.Int, Gen.Int)
        .Select(g => new LeaseGrant(g.Item1, g.Item2, g.Item3, g.Item4));

    public static readonly Gen<DenyList> Denied =
        Gen.Select(Gen.Int[0, 2000], Gen.Long[0, 4_000_000_000]).Select(d => new DeniedHost(
            new HostId($"h{d.Item1}"), DateTimeOffset.FromUnixTimeSeconds(d.Item2))).List[0, 20]
            .Select(list => new DenyList(list.DistinctBy(d => d.Host)));

    public static readonly Gen<HostFacts> Host =
        from words in Gen.Select(Text, Text, Text, Text)
        from sizes in Gen.Select(Gen.Int, Gen.Long, Gen.Long, Gen.Long)
        from accelerator in Gen.Enum<Accelerator>()
        from lists in Gen.Select(Texts, Texts, Texts)
        from parts in Gen.Select(Qemu.List[0, 3], Pool.List[0, 3], Link.List[0, 3])
        from clock in Times
        from certificate in Certificate.Null()
        from watchdog in Watchdog.Null()
        select new HostFacts
        {
            AgentVersion = words.Item1,
            KernelVersion = words.Item2,
            CpuModelName = words.Item3,
            AcceleratorReason = words.Item4,
            Cpus = sizes.Item1,
            MemoryBytes = sizes.Item2,
            MemoryAvailableBytes = sizes.Item3,
            RamFileSpaceBytes = sizes.Item4,
            Accelerator = accelerator,
            CpuFlags = lists.Item1,
            Bridges = lists.Item2,
            Notes = lists.Item3,
            Qemus = parts.Item1,
            Pools = parts.Item2,
            Links = parts.Item3,
            Clock = clock,
            Certificate = certificate,
            Watchdog = watchdog,
        };

    public static readonly Gen<VmReport> Report =
        from spec in Spec
        from epoch in Epochs
        from state in Gen.Enum<VmState>()
        from owner in Gen.Bool
        from pid in Gen.Int.Nullable()
        from words in Gen.Select(TextOrNull, TextOrNull)
        select new VmReport
        {
            Spec = spec,
            Epoch = epoch,
            State = state,
            IsOwner = owner,
            QemuPid = pid,
            QemuVersion = words.Item1,
            Note = words.Item2,
        };

    public static readonly Gen<SourceFacts> Source =
        Gen.Select(Gen.Enum<VmState>(), Epochs, Text, Texts, Texts, Times, Times.Nullable(), Gen.Select(Gen.Long, Gen.Long))
            .Select(s => new SourceFacts
        {
            State = s.Item1,
            Epoch = s.Item2,
            QemuVersion = s.Item3,
            Blockers = s.Item4,
            Devices = s.Item5,
            Clock = s.Item6,
            CertificateEnds = s.Item7,
            UntouchedBytes = s.Item8.Item1,
            MemoryAvailableBytes = s.Item8.Item2,
        });

    public static readonly Gen<TargetFacts> Target =
        Gen.Select(Host, Texts, Texts, Texts, Gen.Bool).Select(t => new TargetFacts
        {
            Host = t.Item1,
            UnreachableDisks = t.Item2,
            MissingBridges = t.Item3,
            MissingCpuFeatures = t.Item4,
            AlreadyHere = t.Item5,
        });

    private static readonly Gen<MoveProgress> Progress =
        from pass in Gen.Int
        from bytes in Gen.Select(Gen.Long, Gen.Long, Gen.Long, Gen.Long, Gen.Long)
        from pause in Doubles
        from eta in Doubles.Nullable()
        select new MoveProgress
        {
            Pass = pass,
            RemainingBytes = bytes.Item1,
            TotalBytes = bytes.Item2,
            SentBytes = bytes.Item3,
            BytesPerSecond = bytes.Item4,
            DirtyBytesPerSecond = bytes.Item5,
            ExpectedPauseMs = pause,
            EtaSeconds = eta,
        };

    private static readonly Gen<Receipt> Receipts =
        from times in Gen.Select(Doubles, Doubles.Nullable())
        from counts in Gen.Select(Gen.Long, Gen.Int, Gen.Long, Gen.Long)
        from accelerator in Gen.Enum<Accelerator>()
        from transport in Text
        from phases in Gen.Dictionary(Gen.Enum<Phase>(), Doubles)[0, 8]
        select new Receipt
        {
            TotalMs = times.Item1,
            PauseMs = times.Item2,
            OwnPauseMs = times.Item2,
            WireBytes = counts.Item1,
            Passes = counts.Item2,
            NormalPages = counts.Item3,
            ZeroPages = counts.Item4,
            Accelerator = accelerator,
            Transport = transport,
            PhaseMs = phases,
        };

    public static readonly Gen<MoveStatus> Status =
        from move in Moves
        from standing in Gen.Enum<MoveStanding>()
        from epoch in Epochs
        from reason in TextOrNull
        from progress in Progress.Null()
        from receipt in Receipts.Null()
        select new MoveStatus
        {
            Move = move,
            Standing = standing,
            Epoch = epoch,
            Reason = reason,
            Progress = progress,
            Receipt = receipt,
        };

    public static readonly Gen<ImportedImage> Image = Gen.Select(Text, Text, Text, Gen.Long, Gen.Long, Text)
        .Select(i => new ImportedImage(i.Item1, i.Item2, i.Item3, i.Item4, i.Item5, i.Item6));

    public static readonly Gen<SavedVm> Saved = Gen.Select(Text, Gen.Long, Text, Doubles)
        .Select(s => new SavedVm(s.Item1, s.Item2, s.Item3, s.Item4));

    public static readonly Gen<IReadOnlyList<Refusal>> Refusals = Gen.Select(Text, Text, Text)
        .Select(r => new Refusal(r.Item1, r.Item2, r.Item3)).List[1, 5].Select(l => (IReadOnlyList<Refusal>)l);
}
