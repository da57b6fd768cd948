using Godwit.Core.Balance.Automatic;
using Godwit.Core.Ports;
using Godwit.Core;
using Godwit.Server.Access;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Server.Balancing;
using Godwit.Server.Checking;
using Godwit.Server.Draining;
using Godwit.Server.Fencing;
using Godwit.Server.Hosts;
using Godwit.Server.Identity;
using Godwit.Server.Loads;
using Godwit.Server.Migrations;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Power;
using Godwit.Server.Quoting;
using Godwit.Server.Rebuild;
using Godwit.Server.Replaying;
using Godwit.Server.Store;
using Godwit.Server.Templates;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server;

/// <summary>
/// All that a server decides and remembers, put together; the REST API in front of it and the agents behind it are
/// given. The same object runs in production and in the simulator.
/// </summary>
public sealed class ControlPlane
{
    private readonly CancellationTokenSource _stopping = new();
    private readonly CertificateKeeper? _certificates;
    private readonly JoinVerbs? _joins;
    private readonly HaWatch _ha;
    private readonly LeaseKeeper _leases;
    private Task _watching = Task.CompletedTask, _keeping = Task.CompletedTask, _checking = Task.CompletedTask,
        _measuring = Task.CompletedTask, _haWatching = Task.CompletedTask, _leasing = Task.CompletedTask, _balancing = Task.CompletedTask,
        _testing = Task.CompletedTask, _noting = Task.CompletedTask,
        _powering = Task.CompletedTask;

    /// <param name="identity">Null in the simulator, whose network knows every peer: there nobody joins and no certificate expires.</param>
    public ControlPlane(
        Database database, IAgentConnector connector, IRandomness randomness, TimeProvider time, ILoggerFactory logs,
        ControlPlaneIdentity? identity = null, FailPoints? failPoints = null, FenceSettings? fencing = null, BalancerPace? pace = null)
        : this(database, connector, randomness, time, logs, SafetyRules.All, identity, failPoints, fencing, pace) { }

    internal ControlPlane(
        Database database, IAgentConnector connector, IRandomness randomness, TimeProvider time, ILoggerFactory logs,
        SafetyRules rules, ControlPlaneIdentity? identity = null, FailPoints? failPoints = null, FenceSettings? fencing = null,
        BalancerPace? pace = null)
    {
        var numbers = new VmNumbers(randomness);
        Stores = new Stores(database, time);
        Agents = new AgentDirectory(connector, rules);
        var sharing = new PoolSharing(Stores.Hosts, Agents, randomness);
        Hosts = new HostVerbs(Stores.Hosts, Agents, sharing);
        Watcher = new HostWatcher(Stores, Agents, sharing, time, logs.CreateLogger<HostWatcher>()) { Rules = rules };
        Templates = new TemplateVerbs(Stores, Agents, time);
        pace ??= BalancerPace.Real;
        Loads = new LoadWatch(Stores, Agents, pace, time, logs.CreateLogger<LoadWatch>());
        Desk = new PlacementDesk(Stores, Loads, time);
        Operations = new OperationRunner(Stores, new VmStory(Stores, Desk, Agents), logs.CreateLogger<OperationRunner>());
        Vms = new VmVerbs(Stores, Desk, Operations, Agents, numbers, time);
        Live = new LiveMoves();
        Migrations = new MigrationRunner(Agents.Of, Stores, Live, time, logs.CreateLogger<MigrationRunner>(), failPoints);
        LinkTests = new LinkTests(Agents.Of, Stores, time, logs.CreateLogger<LinkTests>());
        Quotes = new QuoteDesk(Agents.Of, Stores, Loads.Of, time);
        Wishes = new MoveWishes(Stores, Desk, Migrations, Vms, numbers, Quotes, time);
        var drainRunner = new DrainRunner(Stores, Agents, Migrations, Wishes, time, logs.CreateLogger<DrainRunner>());
        Drains = new DrainVerbs(Stores, Desk, drainRunner, numbers, time);
        Watcher.Returned += Migrations.RepairAfterReturnAsync;
        Placement = new PlacementVerbs(Stores, Desk);
        Balance = new BalanceVerbs(Stores, Loads, pace, time);
        Balancer = new Balancer(Stores, Balance, Loads, Wishes, numbers, pace, time, logs.CreateLogger<Balancer>());
        Replays = new ReplayVerbs(Stores, Balance, time);
        Spare = new SpareRoom(Stores, Balance);
        var hooks = fencing?.Power ?? new NoPower();
        Needs = new RoomNeeds(time);
        Desk.Homeless = Needs.Note;
        Vms.SpareRoom = Spare.WhyNotAsync;
        BalancerVerbs = new BalancerVerbs(Stores, Balancer, Vms, time);
        ConsoleTickets = new ConsoleTickets(randomness, time);
        Events = new EventFeed(Stores);
        Views = new ViewReader(Stores, Watcher);
        Audit = new AuditTrail(Stores.Audit, time, logs.CreateLogger<AuditTrail>());
        Notes = new NotesKeeper(Stores, Agents, time, logs.CreateLogger<NotesKeeper>());
        Settling = new Settling(Stores, Agents, Migrations, time, logs.CreateLogger<Settling>());
        Watcher.Answered += async (hosts, stopping) =>
        {
            await Settling.HearAsync(hosts, stopping);
            await Migrations.TellSourcesAsync(hosts, stopping);
        };
        PowerJobs = new PowerRunner(Stores, new HostPowerStory(Stores, Agents, Drains, hooks, Audit, numbers, time),
            logs.CreateLogger<PowerRunner>());
        Power = new PowerKeeper(Stores, Balance, Watcher, Needs, PowerJobs, hooks, pace, time, logs.CreateLogger<PowerKeeper>());
        PowerVerbs = new PowerVerbs(Stores, Power, Drains, hooks, time);
        Watcher.Rises += Power.RisesAsync;
        Checks = new ClusterChecker(Stores, Agents, Migrations, Operations, Audit, time, logs.CreateLogger<ClusterChecker>());
        Checks.SpareRoom = Spare.CheckAsync;
        var fence = fencing?.Fence ?? new NoFence();
        Leases = new LeaseBook(time);
        _leases = new LeaseKeeper(Stores, Agents, Leases, numbers, fencing?.Lease ?? Core.Fencing.WatchdogRules.LeaseDefault, time,
            logs.CreateLogger<LeaseKeeper>());
        Recoveries = new RecoveryRunner(Stores, new RecoverHost(Stores, fence,
            new WatchdogProof(Stores, Leases, Audit, numbers, time, logs.CreateLogger<WatchdogProof>()), Agents,
            new RecoverVm(Stores, Desk, Agents, Migrations, numbers, time) { MakeRoom = Power.MakeRoomAsync }, Audit, numbers, time, rules),
            logs.CreateLogger<RecoveryRunner>());
        Fencing = new FenceVerbs(Stores, Watcher, Recoveries, fence, numbers, time);
        _ha = new HaWatch(Stores, Watcher, Recoveries, new LateMemories(Stores, Agents), numbers,
            fencing?.SilenceMin ?? Core.Fencing.HaRules.SilenceDefault, time, logs.CreateLogger<HaWatch>());
        Watcher.Knocks += new NewHome(Stores.Fences, Agents, logs.CreateLogger<NewHome>()).WelcomeAsync;
        Access = new AccessVerbs(Stores.Access, randomness, time);
        if (identity is null) return;
        _joins = new JoinVerbs(identity, Stores.Identity, Hosts, randomness, time);
        _certificates = new CertificateKeeper(identity, Stores, Agents, Watcher, _joins, time, logs.CreateLogger<CertificateKeeper>());
    }

    public Stores Stores { get; }
    public AgentDirectory Agents { get; }
    public HostVerbs Hosts { get; }
    public HostWatcher Watcher { get; }
    public TemplateVerbs Templates { get; }
    public OperationRunner Operations { get; }
    public VmVerbs Vms { get; }
    public LiveMoves Live { get; }
    public MigrationRunner Migrations { get; }
    public LeaseBook Leases { get; }
    public RecoveryRunner Recoveries { get; }
    public FenceVerbs Fencing { get; }
    public MoveWishes Wishes { get; }
    public QuoteDesk Quotes { get; }
    public LinkTests LinkTests { get; }
    public DrainVerbs Drains { get; }
    public LoadWatch Loads { get; }
    public PlacementDesk Desk { get; }
    public PlacementVerbs Placement { get; }
    public BalanceVerbs Balance { get; }
    public Balancer Balancer { get; }
    public ReplayVerbs Replays { get; }
    public SpareRoom Spare { get; }
    public BalancerVerbs BalancerVerbs { get; }
    public RoomNeeds Needs { get; }
    public PowerRunner PowerJobs { get; }
    public PowerKeeper Power { get; }
    public PowerVerbs PowerVerbs { get; }
    public ConsoleTickets ConsoleTickets { get; }
    public EventFeed Events { get; }
    public ViewReader Views { get; }
    public AccessVerbs Access { get; }
    public AuditTrail Audit { get; }
    public Settling Settling { get; }
    public NotesKeeper Notes { get; }
    public ClusterChecker Checks { get; }
    public CertificateKeeper Certificates => _certificates ?? throw NoCertificates();
    public JoinVerbs Joins => _joins ?? throw NoCertificates();

    /// <summary>Goes on with everything that had not ended, before anything new is taken.</summary>
    public async Task StartAsync()
    {
        if (_certificates is not null) await _certificates.LoadAsync();
        Agents.PutAll(await Stores.Hosts.ListAsync());
        _leasing = _leases.RunAsync(_stopping.Token); // Before anything that takes time: hosts are reset that wait too long.
        var first = await Watcher.FirstLookAsync(_stopping.Token); // A store that is older than its hosts must order nothing.
        await Operations.ResumeAsync();
        await Migrations.ResumeAsync();
        await Recoveries.ResumeAsync();
        await Drains.ResumeAsync();
        await PowerJobs.ResumeAsync();
        _watching = Watcher.RunAsync(first, _stopping.Token);
        _haWatching = _ha.RunAsync(_stopping.Token);
        _checking = Checks.RunAsync(_stopping.Token);
        _measuring = Loads.RunAsync(_stopping.Token);
        _balancing = Balancer.RunAsync(_stopping.Token);
        _testing = LinkTests.RunAsync(_stopping.Token);
        _powering = Power.RunAsync(_stopping.Token);
        _noting = Notes.RunAsync(_stopping.Token);
        if (_certificates is not null) _keeping = _certificates.RunAsync(_stopping.Token);
    }

    /// <summary>Leaves everything where it is, durably: VMs and their moves do not depend on a server that runs.</summary>
    public async Task StopAsync()
    {
        _stopping.Cancel();
        await Task.WhenAll([
            _watching, _haWatching, _leasing, _keeping, _checking, _measuring, _balancing, _powering, _testing, _noting,
            Recoveries.StopAsync(), Operations.StopAsync(), Migrations.StopAsync(), Drains.StopAsync(), PowerJobs.StopAsync(),
        ]);
    }

    private static InvariantBrokenException NoCertificates() => new("a simulated cluster has no certificates");
}

/// <param name="Fence">What turns hosts off; null: only a person's word is proof.</param>
/// <param name="SilenceMin">How long a host with VMs marked <c>ha</c> is silent before its fence is tried; null: the default.</param>
/// <param name="Lease">How long hosts that are fenced by their watchdog go on without this server; null: the default.</param>
public sealed record FenceSettings(IFence? Fence, TimeSpan? SilenceMin = null, TimeSpan? Lease = null)
{
    /// <summary>What turns hosts off and on to save power; null: nothing does.</summary>
    public IPowerHooks? Power { get; init; }
}
