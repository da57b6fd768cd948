using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Godwit.Agent.Identity;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;

namespace Godwit.Tests.Control;

/// <summary>A host that does what it is told in memory. Tests make it refuse, fall silent, or wait at a call.</summary>
internal sealed class FakeHost(HostId id, FakeCluster cluster) : IHostAgent
{
    public ConcurrentDictionary<VmId, VmReport> Vms { get; } = new();
    public ConcurrentQueue<string> Calls { get; } = new();
    public ConcurrentDictionary<string, string> Files { get; } = new();
    /// <summary>By name of the call without Async: thrown instead of answering.</summary>
    public ConcurrentDictionary<string, Exception> Fails { get; } = new();
    /// <summary>By name of the call: awaited before it does anything.</summary>
    public ConcurrentDictionary<string, Task> Waits { get; } = new();
    public HostFacts Facts { get; set; } = FakeCluster.Facts();
    /// <summary>Where a test gives the host a certificate.</summary>
    public HostIdentity? Identity { get; set; }
    /// <summary>The directory behind each pool: hosts with the same name of it share it.</summary>
    public Dictionary<string, string> Directories { get; } = new() { ["default"] = "nfs" };
    public bool Silent { get; set; }
    public RefusedException? RefusesImagesUnread { get; set; }
    public ConcurrentDictionary<MoveId, MoveStatus> Moves { get; } = new();

    public HostId Id => id;

    public int Count(string call) => Calls.Count(c => c == call);

    public Task<HostFacts> DescribeAsync(CancellationToken cancel) =>
        DoAsync("Describe", () => Facts with { Certificate = Identity?.Facts }, cancel);

    public Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel) =>
        DoAsync<IReadOnlyList<VmReport>>("ListVms", () => [.. Vms.Values], cancel);

    /// <summary>Told beside what <see cref="Vms"/> and <see cref="Files"/> say.</summary>
    public HostInventory Lies { get; set; } = new() { Vms = [] };

    public Task<IReadOnlyList<VmEpoch>> ListEpochsAsync(CancellationToken cancel) => DoAsync<IReadOnlyList<VmEpoch>>("ListEpochs", () =>
        [.. Vms.Values.Select(v => new VmEpoch(v.Spec.Id, v.Epoch, v.IsOwner))], cancel);

    public KeptNotes Notes { get; set; } = KeptNotes.None;

    public Task<HostInventory> TakeInventoryAsync(bool leaksOnly, CancellationToken cancel) => DoAsync("TakeInventory", () => Lies with
    {
        Vms =
        [
            .. Vms.Values.Select(v => new VmHolding(v.Spec, v.Epoch, v.IsOwner, v.State, v.State is VmState.Running or VmState.Paused,
                v.Note)),
            .. Lies.Vms,
        ],
        Files = [.. Lies.Files, .. Files.Select(f => new PoolFile(f.Value, f.Key, 1 << 20, 1 << 20))],
        Denied = Identity?.Denied.Hosts ?? [],
        Notes = Notes,
    }, cancel);

    /// <summary>As an agent that finds all of them still to be leaks.</summary>
    public Task<IReadOnlyList<Leak>> SweepAsync(IReadOnlyList<Leak> leaks, CancellationToken cancel) =>
        DoAsync<IReadOnlyList<Leak>>("Sweep", () =>
        {
            Lies = Lies with { Leaks = [.. Lies.Leaks.Except(leaks)] };
            return leaks;
        }, cancel);

    public HostLoad Load { get; set; } = new() { At = FakeCluster.Now, SpanSeconds = 0, CpuCores = 0, MemoryUsedBytes = 0 };

    public Task<LeaseAnswer> RenewLeaseAsync(LeaseGrant? grant, CancellationToken cancel) => DoAsync("RenewLease", () =>
    {
        if (grant is not null && Facts.Watchdog is { } dog)
            Facts = Facts with { Watchdog = dog with { Arming = grant.Arming, ArmedSince = FakeCluster.Now } };
        return new LeaseAnswer($"{Calls.Count}", Facts.Watchdog);
    }, cancel);

    public Task ReleaseWatchdogAsync(string arming, CancellationToken cancel) => DoAsync("ReleaseWatchdog", () =>
        Facts = Facts with { Watchdog = Facts.Watchdog! with { Arming = null, ArmedSince = null } }, cancel);

    public Task<HostLoad> SampleLoadAsync(CancellationToken cancel) => DoAsync("SampleLoad", () => Load, cancel);

    public Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        DoAsync("WritePoolNonce", () => cluster.Nonces.Add((Directories[pool], nonce)), cancel);

    public Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        DoAsync("SeesPoolNonce", () => cluster.Nonces.Contains((Directories[pool], nonce)), cancel);

    public async Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel)
    {
        if (RefusesImagesUnread is { } refusal) throw refusal;
        var bytes = new MemoryStream();
        await content.CopyToAsync(bytes, cancel);
        var sha = Convert.ToHexStringLower(SHA256.HashData(bytes.ToArray()));
        return await DoAsync("ImportImage", () =>
        {
            var format = order.Format == "raw" ? "raw" : "qcow2";
            Files[$"template-{sha}.{format}"] = order.Pool;
            return new ImportedImage($"template-{sha}.{format}", sha, format, 1 << 20, bytes.Length, "made up");
        }, cancel);
    }

    public Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel) =>
        DoAsync("CreateDisk", () => Files[disk.File] = disk.Pool, cancel);

    public Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel) =>
        DoAsync("DeleteDisk", () => Files.TryRemove(disk.File, out _), cancel);

    public Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel) =>
        DoAsync("StartVm", () => Vms[order.Spec.Id] = Report(order.Spec, order.Epoch, VmState.Running), cancel);

    public Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel) =>
        DoAsync(force ? "StopVmByForce" : "StopVm", () => Become(vm, VmState.Stopped), cancel);

    public Task EndLostVmAsync(VmId vm, Epoch epoch, string why, CancellationToken cancel) =>
        DoAsync("EndLostVm", () => Vms[vm] = Vms[vm] with { State = VmState.Crashed, Note = why }, cancel);

    public Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        DoAsync("PauseVm", () => Become(vm, VmState.Paused), cancel);

    public Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        DoAsync("UnpauseVm", () => Become(vm, VmState.Running), cancel);

    public Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        DoAsync("ForgetVm", () => Vms.TryRemove(vm, out _), cancel);

    public Task LeaveVmAsync(VmSpec vm, Epoch epoch, CancellationToken cancel) =>
        DoAsync("LeaveVm", () => Vms[vm.Id] = Report(vm, epoch, VmState.Stopped) with { IsOwner = false }, cancel);

    public Task RenewEpochAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        DoAsync("RenewEpoch", () => Vms[vm] = Vms[vm] with { Epoch = epoch }, cancel);

    public Task<SnapshotMade> MakeSnapshotAsync(SnapshotOrder order, CancellationToken cancel) => DoAsync("MakeSnapshot", () =>
    {
        Snapshots[order.Tag] = order.Epoch;
        return new SnapshotMade(Vms.GetValueOrDefault(order.Spec.Id)?.State == VmState.Running);
    }, cancel);

    public Task RevertToSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        DoAsync("RevertToSnapshot", () => Snapshots[order.Tag] = order.Epoch, cancel);

    public Task DropSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        DoAsync("DropSnapshot", () => Snapshots.TryRemove(order.Tag, out _), cancel);

    /// <summary>By tag: the epoch of the last order for it.</summary>
    public ConcurrentDictionary<string, Epoch> Snapshots { get; } = new();

    public Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => DoAsync("SaveVm", () =>
    {
        Become(vm, VmState.Saved);
        Files[$"{vm}-{epoch}.saved"] = "default";
        return new SavedVm($"{vm}-{epoch}.saved", 5 << 20, "00", 12.5);
    }, cancel);

    /// <summary>A console that echoes what is typed.</summary>
    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel) =>
        DoAsync<Stream>("OpenConsole", () => new EchoStream(), cancel);

    /// <summary>So does its display.</summary>
    public Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel) =>
        DoAsync<Stream>("OpenDisplay", () => new EchoStream(), cancel);

    /// <summary>What a look at any guest's memory finds; null: nothing.</summary>
    public MemoryProfile? Memory { get; set; }

    public Task<MemoryProfile?> MeasureMemoryAsync(VmId vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel) =>
        Task.FromResult(Memory);

    public Task<LinkTestReady> PrepareLinkTestAsync(HostId source, CancellationToken cancel) =>
        DoAsync("PrepareLinkTest", () => new LinkTestReady(new MoveId("lt-1"), "127.0.0.1:1", $"for {source}"), cancel);

    public Task<LinkFigures> RunLinkTestAsync(LinkTestReady ready, HostId target, CancellationToken cancel) =>
        DoAsync("RunLinkTest", () => new LinkFigures
        {
            At = FakeCluster.Now, BytesPerSecond = 117_000_000, Bytes = 117_000_000, RoundTripMs = 0.2,
            Security = $"{ready.Ticket} to {target}",
        }, cancel);

    public Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel) => DoAsync("CheckSource", () =>
    {
        var report = Vms.GetValueOrDefault(vm) ?? throw new RefusedException("vm-not-here", $"{id} has no VM {vm}",
            "see 'godwit vm show'");
        return new SourceFacts
        {
            State = report.State,
            Epoch = report.Epoch,
            QemuVersion = "7.2.22",
            Blockers = [],
            Devices = ["q35"],
            Clock = FakeCluster.Now,
        };
    }, cancel);

    public Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel) => DoAsync("CheckTarget", () => new TargetFacts
    {
        Host = Facts,
        UnreachableDisks = [],
        MissingBridges = [],
        MissingCpuFeatures = [],
        AlreadyHere = Vms.ContainsKey(vm.Id)
            || cluster.Moving.Any(m => m.Value == vm.Id && Now(m.Key).Standing == MoveStanding.TargetCandidate),
    }, cancel);

    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel) => DoAsync("PrepareIncoming", () =>
    {
        Moves[order.Move] = Status(order.Move, MoveStanding.TargetCandidate, order.Epoch);
        cluster.Moving[order.Move] = order.Spec.Id;
        return new IncomingReady("127.0.0.1:1", "00", ["q35"]);
    }, cancel);

    /// <summary>The whole hand-over at once, unless the test holds it back with <c>Waits["Memory"]</c>.</summary>
    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) => DoAsync("StartOutgoing", () =>
        Moves[order.Move] = Status(order.Move, MoveStanding.SourceSending, order.Epoch) with { Reason = $"{order.Target}" }, cancel);

    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) => DoAsync("StartRefresh", () =>
    {
        if (Vms.TryGetValue(order.Vm, out var vm)) Vms[order.Vm] = vm with { Epoch = order.Epoch.Next() };
        return Moves[order.Move] = Status(order.Move, MoveStanding.SourceReleased, order.Epoch) with { Receipt = FakeCluster.Receipt() };
    }, cancel);

    public async IAsyncEnumerable<MoveStatus> WatchMoveAsync(MoveId move, [EnumeratorCancellation] CancellationToken cancel)
    {
        var status = await QueryMoveAsync(move, cancel);
        yield return status;
        if (status.Standing != MoveStanding.SourceSending) yield break;

        yield return status with { Progress = new MoveProgress { Pass = 2, RemainingBytes = 4096 } };
        if (Waits.TryGetValue("Memory", out var memory)) await memory.WaitAsync(cancel);
        cluster.HandOver(move, id, new HostId(status.Reason!));
        yield return await QueryMoveAsync(move, cancel);
    }

    public Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel) => DoAsync("QueryMove", () => Now(move), cancel);

    public Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel) => DoAsync("CancelMove", () =>
    {
        if (Now(move).Standing == MoveStanding.SourceSending)
            Moves[move] = Now(move) with { Standing = MoveStanding.SourceKept, Reason = "cancelled" };
        return Now(move);
    }, cancel);

    public Task<MoveStatus> AbandonIncomingAsync(MoveId move, bool lazyFollows, CancellationToken cancel) =>
        DoAsync("AbandonIncoming", () =>
    {
        if (Now(move).Standing is MoveStanding.TargetCandidate or MoveStanding.Nothing)
            Moves[move] = Now(move) with { Standing = MoveStanding.TargetAborted };
        return Now(move);
    }, cancel);

    public Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel) =>
        DoAsync("SettleOutgoing", () => Now(move), cancel);

    public Task CleanMoveAsync(MoveId move, CancellationToken cancel) => DoAsync("CleanMove", () => true, cancel);

    public Task<string> NewKeyAsync(CancellationToken cancel) => DoAsync("NewKey", () => Identity!.NewKey(), cancel);

    public async Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel) =>
        await await DoAsync("InstallCertificate", () => Identity!.InstallAsync(certificatePem, serverClock, cancel), cancel);

    public Task<long> KeepNotesAsync(KeptNotes notes, CancellationToken cancel) => DoAsync("KeepNotes", () =>
    {
        if (notes.Version > Notes.Version) Notes = notes;
        return Notes.Version;
    }, cancel);

    public async Task SetDeniedAsync(DenyList denied, CancellationToken cancel) =>
        await await DoAsync("SetDenied", () => Identity!.DenyAsync(denied, cancel), cancel);

    public MoveStatus Now(MoveId move) => Moves.GetValueOrDefault(move) ?? Status(move, MoveStanding.Nothing, default);

    public static VmReport Report(VmSpec spec, Epoch epoch, VmState state) => new()
    {
        Spec = spec,
        Epoch = epoch,
        State = state,
        IsOwner = true,
    };

    private static MoveStatus Status(MoveId move, MoveStanding standing, Epoch epoch) =>
        new() { Move = move, Standing = standing, Epoch = epoch };

    private bool Become(VmId vm, VmState state)
    {
        if (!Vms.TryGetValue(vm, out var report)) throw new RefusedException("vm-not-here", $"{id} has no VM {vm}",
            "see 'godwit vm show'");
        Vms[vm] = report with { State = state };
        return true;
    }

    private async Task<T> DoAsync<T>(string call, Func<T> answer, CancellationToken cancel)
    {
        Calls.Enqueue(call);
        await Task.Yield(); // A real answer never comes at once: others get their turn.
        if (Silent) throw new AgentUnreachableException(id, "silenced by the test");
        if (Waits.TryGetValue(call, out var wait)) await wait.WaitAsync(cancel);
        if (Fails.TryGetValue(call, out var failure)) throw failure;
        return answer();
    }
}

/// <summary>Hosts by name, and what they share.</summary>
internal sealed class FakeCluster : IAgentConnector
{
    public static readonly DateTimeOffset Now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    private readonly ConcurrentDictionary<HostId, FakeHost> _hosts = new();

    public ConcurrentDictionary<MoveId, VmId> Moving { get; } = new();
    public HashSet<(string Directory, string Nonce)> Nonces { get; } = [];

    public FakeHost this[string name] => _hosts.GetOrAdd(new HostId(name), id => new FakeHost(id, this));

    public IHostAgent Connect(HostId host, string endpoint) => this[host.Value];
    public void Disconnect(HostId host) { }

    public void HandOver(MoveId move, HostId source, HostId target)
    {
        var (from, to) = (_hosts[source], _hosts[target]);
        if (from.Now(move).Standing != MoveStanding.SourceSending) return;
        var vm = from.Vms[Moving[move]];
        to.Vms[vm.Spec.Id] = vm with { Epoch = vm.Epoch.Next() };
        to.Moves[move] = to.Now(move) with { Standing = MoveStanding.TargetRuns };
        from.Vms.TryRemove(vm.Spec.Id, out _);
        from.Moves[move] = from.Now(move) with { Standing = MoveStanding.SourceReleased, Receipt = Receipt() };
    }

    public static Receipt Receipt() => new()
    {
        TotalMs = 1200,
        PauseMs = 9.5,
        WireBytes = 150 << 20,
        Passes = 3,
        NormalPages = 40_000,
        ZeroPages = 90_000,
        Accelerator = Accelerator.Tcg,
        Transport = "TLS 1.3",
    };

    public static HostFacts Facts(long memoryBytes = 8L << 30) => new()
    {
        AgentVersion = "0.1.0",
        KernelVersion = "6.1",
        Cpus = 2,
        CpuModelName = "Some CPU",
        CpuFlags = ["sse4_2"],
        Accelerator = Accelerator.Tcg,
        AcceleratorReason = "TCG: no vmx or svm in /proc/cpuinfo",
        Qemus = [new QemuBinary("/usr/bin/qemu-system-x86_64", "7.2.22", ["pc-q35-7.1", "pc-q35-7.2"], ["Nehalem-v1", "Westmere-v1"],
            HasDisplay: true)],
        MemoryBytes = memoryBytes,
        MemoryAvailableBytes = memoryBytes,
        RamFileSpaceBytes = memoryBytes,
        Bridges = ["br0"],
        Pools = [new PoolFacts("default", "/srv/pool", 1L << 40, 1L << 39, true)],
        Links = [new LinkFacts("mig0", "10.0.0.1", 0, 1500)],
        Clock = Now,
    };
}

/// <summary>Gives back what is written to it.</summary>
internal sealed class EchoStream : Stream
{
    private readonly System.Threading.Channels.Channel<byte[]> _bytes = System.Threading.Channels.Channel.CreateUnbounded<byte[]>();

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var bytes = await _bytes.Reader.ReadAsync(cancellationToken);
        bytes.CopyTo(buffer); // Tests write less than any reader asks for.
        return bytes.Length;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        _bytes.Writer.WriteAsync(buffer.ToArray(), cancellationToken);

    public override void Flush() { }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
