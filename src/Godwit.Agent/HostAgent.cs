using Godwit.Agent.Disks;
using Godwit.Agent.Facts;
using Godwit.Agent.Identity;
using Godwit.Agent.Inventory;
using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Agent.Saved;
using Godwit.Agent.Watchdog;
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
using Microsoft.Extensions.Logging;

namespace Godwit.Agent;

/// <summary>
/// Everything one host does for the server. Each line opens one room: Machines (QEMU processes), Disks, Facts, Moves,
/// Saved. The same object stands behind gRPC in production and behind simulated calls in the simulator.
/// </summary>
public sealed class HostAgent : IHostAgent
{
    private readonly HostMachines machines;
    private readonly MachineLife life;
    private readonly MachineAdoption adoption;
    private readonly ConsoleLogs consoleLogs;
    private readonly Pools pools;
    private readonly DiskFiles disks;
    private readonly VmSnapshots snapshots;
    private readonly ImageImport images;
    private readonly HostFactsReader facts;
    private readonly LoadMeter load;
    private readonly MoveChecks checks;
    private readonly MemoryLook look;
    private readonly MemoryPulse pulse;
    private readonly MemoryKnown memory;
    private readonly MoveJournal journal;
    private readonly MoveDesk moves;
    private readonly LinkTest linkTest;
    private readonly SaveVm save;
    private readonly ArrivingMemory arriving;
    private readonly ResumeSavedVm resume;
    private readonly InventoryTaking inventory;
    private readonly LeakSweep sweep;
    private readonly NotesKept notesKept;
    private readonly WatchdogKeeper watchdog;
    private readonly AgentPorts ports;
    private readonly WatchedDisk watchedDisk;
    private readonly string linkAddress, aliveFile;
    private IReadOnlyList<string> notes = [], linkInterfaces = [];
    private IPeerListener? link;

    /// <param name="linkAddress"><c>address:port</c> other agents reach this host's link at; port 0 takes a free one.</param>
    public HostAgent(AgentPorts ports, HostLayout layout, string linkAddress, string? failPoints, ILoggerFactory logs)
        : this(ports, layout, linkAddress, failPoints, logs, SafetyRules.All) { }

    internal HostAgent(
        AgentPorts ports, HostLayout layout, string linkAddress, string? failPoints, ILoggerFactory logs, SafetyRules rules)
    {
        (this.ports, this.linkAddress, aliveFile) = (ports, linkAddress, Path.Combine(layout.StateDirectory, "disk-answers"));
        var (processes, network, time, randomness) = (ports.Processes, ports.Network, ports.Time, ports.Randomness);
        var disk = watchedDisk = new WatchedDisk(ports.Disk, layout.StateDirectory, time);
        watchdog = new WatchdogKeeper(ports.Watchdog, ports.WatchdogTimeout, new WatchdogRecords(disk, layout.StateDirectory), time,
            randomness, logs.CreateLogger<WatchdogKeeper>()) { Rules = rules };
        machines = new HostMachines(layout, disk, processes, network, time, logs.CreateLogger<HostMachines>())
        {
            Rules = rules, WhyNoGuest = () => watchdog.WhyNoGuest,
        };
        life = new MachineLife(machines);
        adoption = new MachineAdoption(machines);
        consoleLogs = new ConsoleLogs(machines, disk, processes);
        pools = new Pools(layout, disk);
        disks = new DiskFiles(pools, disk, processes);
        snapshots = new VmSnapshots(machines, pools, processes);
        images = new ImageImport(pools, disk, processes, randomness);
        facts = new HostFactsReader(disk, processes,
            new QemuProbe(processes, network, disk, time, layout.RunDirectory), time, layout, ports.SpaceOf);
        look = new MemoryLook(disk, time, randomness);
        pulse = new MemoryPulse(disk, machines, time);
        memory = new MemoryKnown(machines, look, pulse, disk, time);
        load = new LoadMeter(disk, machines, memory, time);
        journal = new MoveJournal(
            disk, layout.StateDirectory, layout.RunDirectory, directory => ports.SpaceOf(directory).IsMemory, time);
        var tools = new MoveTools(machines, journal, network, new(), time, randomness)
        {
            FailPoints = new FailPoints(failPoints, time, disk), PagesThatChange = pulse.PagesThatChange,
        };
        checks = new MoveChecks(machines, facts, tools.Kept, time);
        linkTest = new LinkTest(network, tools.Tickets, randomness, time);
        arriving = new ArrivingMemory(tools, disk, processes, logs.CreateLogger<ArrivingMemory>());
        moves = new MoveDesk(tools, CanonicalDevices.ListAsync, linkTest, arriving);
        save = new SaveVm(tools, disk, layout);
        resume = new ResumeSavedVm(tools, disk, layout, arriving);
        var hostLook = new HostLook(machines, adoption, tools.Tickets, moves);
        notesKept = new NotesKept(disk, layout.StateDirectory);
        inventory = new InventoryTaking(machines, life, adoption, moves, hostLook, pools, notesKept);
        sweep = new LeakSweep(machines, tools.Tickets, hostLook);
    }

    /// <summary>
    /// Finds what a former agent left, before any order is taken: first the VMs, then their moves (which hold the VMs
    /// they judge), then what was wanted and not done. Returns once orders may come; the link goes on until stopped.
    /// </summary>
    public async Task StartAsync(IReadOnlyList<string> hostNotes, CancellationToken stopping)
    {
        notes = hostNotes;
        await watchdog.StartAsync(stopping);
        await adoption.FindAllAsync(arriving.HealAsync, stopping);
        await arriving.ExpectAsync(adoption.UnreadableRecords.Count == 0);
        await moves.AdoptAsync();
        await adoption.SettleAllAsync(stopping);
        link = await ports.Network.ListenPeersAsync(linkAddress, stopping);
        _ = moves.AcceptLinksAsync(link, stopping);
    }

    /// <summary>Null where this host has none.</summary>
    public WatchdogFacts? Watchdog => watchdog.Facts;

    /// <summary>Housekeeping, to be called now and then: what guests print must not fill the host's memory.</summary>
    public Task TrimConsoleLogsAsync(CancellationToken cancel) => consoleLogs.TrimAsync(cancel);

    /// <summary>Housekeeping, to be called each second: quotes want to know the guests' memory before somebody asks.</summary>
    public Task LookAtNextMemoryAsync(CancellationToken cancel) => memory.LookAtNextAsync(cancel);

    /// <summary>Housekeeping, to be called each <see cref="MemoryPulse.Tick"/>: which guests work in turns.</summary>
    public void FeelMemory() => memory.Feel();

    /// <summary>Housekeeping, to be called now and then: a disk that hangs is to be known before a guest waits for it.</summary>
    public async Task AskDiskAsync()
    {
        try { await watchedDisk.WriteDurablyAsync(aliveFile, ReadOnlyMemory<byte>.Empty, CancellationToken.None); }
        catch (IOException) { } // Silent: the facts say so. Full or read-only: whoever must write says so.
    }

    public async Task<HostFacts> DescribeAsync(CancellationToken cancel)
    {
        var found = await facts.ReadAsync([.. notes, .. adoption.Orphans, .. adoption.Unreadable], cancel);
        linkInterfaces = [.. found.Links.Select(l => l.Interface)]; // Of these the load is told, too.
        return found with
        {
            Certificate = ports.Identity?.Facts, Watchdog = watchdog.Facts, JournalSilentSeconds = JournalSilentSeconds,
        };
    }
    public Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel) => life.ListAsync(cancel);
    public async Task<HostLoad> SampleLoadAsync(CancellationToken cancel) => await load.SampleAsync(linkInterfaces, cancel) with
    {
        Agent = new AgentCounts
        {
            Qemus = machines.All.Count(vm => vm.Current is not null), MovesOpen = moves.OpenCount,
            MemoryLooks = look.Spent.Looks, MemoryLookSeconds = (look.Spent.Busy + pulse.Busy).TotalSeconds,
            JournalWrites = journal.Written,
        },
    };

    public Task<IReadOnlyList<VmEpoch>> ListEpochsAsync(CancellationToken cancel) => Task.FromResult(inventory.Epochs());
    public Task<HostInventory> TakeInventoryAsync(bool leaksOnly, CancellationToken cancel) =>
        inventory.TakeAsync(leaksOnly, ports.Identity?.Denied ?? DenyList.Empty, cancel);
    public Task<long> KeepNotesAsync(KeptNotes notes, CancellationToken cancel) => notesKept.KeepAsync(notes, cancel);
    public Task<IReadOnlyList<Leak>> SweepAsync(IReadOnlyList<Leak> leaks, CancellationToken cancel) => sweep.RunAsync(leaks, cancel);

    public Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel) => pools.WriteNonceAsync(pool, nonce, cancel);
    public Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        pools.SeesNonceAsync(pool, nonce, cancel);
    public Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel) =>
        images.ImportAsync(order, content, cancel);
    public Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel) => disks.CreateAsync(disk, ownerUid, cancel);
    public Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel)
    {
        disks.Delete(disk);
        return Task.CompletedTask;
    }

    public async Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel)
    {
        await moves.EndGivingBeforeAsync(order.Spec.Id, order.Epoch);
        if (order.SavedFile is null) return await life.StartAsync(order.Spec, order.Epoch, cancel);
        await resume.RunAsync(order, CanonicalDevices.ListAsync, cancel);
        return await life.ReportAsync(machines.Get(order.Spec.Id), cancel);
    }

    public Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel) => life.StopAsync(vm, epoch, force, cancel);
    public Task EndLostVmAsync(VmId vm, Epoch epoch, string why, CancellationToken cancel) => life.EndLostAsync(vm, epoch, why);
    public Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => life.PauseAsync(vm, epoch, cancel);
    public Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => life.UnpauseAsync(vm, epoch, cancel);
    public Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => life.ForgetAsync(vm, epoch);
    public async Task LeaveVmAsync(VmSpec vm, Epoch epoch, CancellationToken cancel)
    {
        await life.LeaveAsync(vm, epoch); // First the record: from then on nothing of an older epoch begins here.
        await moves.LeaveAsync(vm.Id);
        await life.EndLeftAsync(vm.Id, epoch);
    }
    public Task RenewEpochAsync(VmId vm, Epoch epoch, CancellationToken cancel) => life.RenewAsync(vm, epoch);
    public Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        save.RunAsync(machines.Get(vm), epoch, CanonicalDevices.ListAsync, cancel);
    public Task<SnapshotMade> MakeSnapshotAsync(SnapshotOrder order, CancellationToken cancel) => snapshots.MakeAsync(order, cancel);
    public Task RevertToSnapshotAsync(SnapshotOrder order, CancellationToken cancel) => snapshots.RevertAsync(order, cancel);
    public Task DropSnapshotAsync(SnapshotOrder order, CancellationToken cancel) => snapshots.DropAsync(order, cancel);
    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel) => life.OpenConsoleAsync(vm, cancel);
    public Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel) => life.OpenDisplayAsync(vm, cancel);

    public Task<MemoryProfile?> MeasureMemoryAsync(VmId vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel) =>
        memory.OfAsync(machines.Get(vm), ageMax, mayLook, cancel);
    public async Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel) =>
        await checks.CheckSourceAsync(vm, cancel) with
        {
            CertificateEnds = ports.Identity?.Facts.NotAfter, JournalSilentSeconds = JournalSilentSeconds,
        };
    public async Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel)
    {
        var found = await checks.CheckTargetAsync(vm, cancel);
        return found with
        {
            // One that crashed at its new home may be started here all the same; one that runs there says itself that it cannot come.
            AlreadyHere = found.AlreadyHere && !moves.OnlyGives(vm.Id),
            Host = found.Host with { Certificate = ports.Identity?.Facts, JournalSilentSeconds = JournalSilentSeconds },
        };
    }

    public Task<LinkTestReady> PrepareLinkTestAsync(HostId source, CancellationToken cancel) =>
        Task.FromResult(linkTest.Prepare(source, link?.Endpoint ?? linkAddress));
    public Task<LinkFigures> RunLinkTestAsync(LinkTestReady ready, HostId target, CancellationToken cancel) =>
        linkTest.RunAsync(ready, target, cancel);
    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel) =>
        moves.PrepareIncomingAsync(order, link?.Endpoint ?? linkAddress, cancel);
    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) => moves.StartOutgoingAsync(order, cancel);
    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) => moves.StartRefreshAsync(order, cancel);
    public IAsyncEnumerable<MoveStatus> WatchMoveAsync(MoveId move, CancellationToken cancel) => moves.WatchAsync(move, cancel);
    public Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel) => moves.QueryAsync(move);
    public Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel) => moves.CancelAsync(move);
    public Task<MoveStatus> AbandonIncomingAsync(MoveId move, bool lazyFollows, CancellationToken cancel) =>
        moves.AbandonAsync(move, lazyFollows);
    public Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel) =>
        moves.SettleAsync(move, proof);
    public Task CleanMoveAsync(MoveId move, CancellationToken cancel) => moves.CleanAsync(move);

    public Task<LeaseAnswer> RenewLeaseAsync(LeaseGrant? grant, CancellationToken cancel) => watchdog.RenewAsync(grant, cancel);
    public Task ReleaseWatchdogAsync(string arming, CancellationToken cancel) => watchdog.ReleaseAsync(arming, cancel);

    public Task<string> NewKeyAsync(CancellationToken cancel) => Task.FromResult(Identity.NewKey());
    public Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel) =>
        Identity.InstallAsync(certificatePem, serverClock, cancel);
    public Task SetDeniedAsync(DenyList denied, CancellationToken cancel) => Identity.DenyAsync(denied, cancel);

    private double JournalSilentSeconds => watchedDisk.SilentFor?.TotalSeconds ?? 0;

    private HostIdentity Identity => ports.Identity
        ?? throw new RefusedException("identity-missing", "this agent has no certificate", "ask only agents that show one");
}

/// <summary>The machine under the agent: real in production, made of seeds in the simulator.</summary>
public sealed record AgentPorts(
    IDisk Disk, IProcesses Processes, INetwork Network, TimeProvider Time, IRandomness Randomness, Func<string, PoolSpace> SpaceOf)
{
    /// <summary>Null in the simulator, whose network knows every peer.</summary>
    public HostIdentity? Identity { get; init; }
    /// <summary>Null: the host has none, or nobody asked for it.</summary>
    public IWatchdog? Watchdog { get; init; }
    public TimeSpan WatchdogTimeout { get; init; } = WatchdogRules.TimeoutDefault;
}
