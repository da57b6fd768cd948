using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Power;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Rebuild;
using Godwit.Simulator.Checkers;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Network;
using Godwit.Simulator.Qemu;
using Godwit.Simulator.Store;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// A whole cluster in one thread: hosts with their agents and QEMUs, a server with its store, wires between them, and
/// checkers that look at it after each step. Stories do to it what people and bad luck do.
/// </summary>
public sealed class World
{
    private static readonly TimeSpan EndsWithin = TimeSpan.FromMinutes(20);
    private readonly List<IChecker> _checkers;
    private readonly Dictionary<string, SimAgent> _agents = [];
    private readonly Dictionary<string, int> _letGo = [];
    private readonly HashSet<MoveId> _promised = [];
    private readonly SimRpc _rpc;

    private World(SimLoop loop, WorldKnobs knobs, StoreDisk store)
    {
        (Loop, Knobs) = (loop, knobs);
        Net = new SimNet(loop) { LinkDefaults = Wire };
        Storage = new SimStorage { LocksWork = knobs.ImageLocksWork };
        Ledger = new GuestLedger(loop);
        var programs = new SimPrograms(Ledger);
        for (var number = 1; number <= knobs.Hosts; number++)
        {
            var host = new SimHost(loop, Net, $"host{number}", $"10.0.0.{number}", Storage);
            host.Devices.AddBridge("br0");
            _agents[host.Name] = new SimAgent(host, programs, knobs);
        }
        var machine = new SimHost(loop, Net, "server", "10.0.0.250", Storage);
        _rpc = new SimRpc(loop, Net, knobs, name => _agents[name]);
        Fence = new SimFence(loop, machine.Clock, name => _agents[name].Host) { Mood = knobs.FenceMood };
        if (knobs.HasPowerHooks) Power = new SimPower(loop, machine.Clock, name => _agents[name].Host, name => _agents[name].Start());
        Server = new SimServer(
            machine, store, _rpc, knobs.Without is { } rule ? SafetyRules.AllBut(rule) : SafetyRules.All,
            new FenceSettings(Fence, knobs.SilenceMin, knobs.WatchdogLease) { Power = Power });
        _checkers =
        [
            new OneRunningGuest(), new NoTimeTravel(), new NoLostVm(), new BoundedPause(), new OneBootPerEpoch(), new EveryMigrationEnds(),
            new NoLeaks(),
        ];
        loop.AfterStep = Check;
    }

    public SimLoop Loop { get; }
    public WorldKnobs Knobs { get; }
    public SimNet Net { get; }
    public SimStorage Storage { get; }
    public GuestLedger Ledger { get; }
    public SimServer Server { get; }
    internal SimFence Fence { get; }
    internal SimPower? Power { get; }
    public IReadOnlyDictionary<string, SimAgent> Agents => _agents;

    /// <summary>
    /// Runs one story in a cluster that is up; then everything is healed, and what must be true at the end is demanded.
    /// Throws <see cref="SimFailedException"/>.
    /// </summary>
    public static LoopResult Run(ulong seed, Func<World, Task> story, WorldKnobs? knobs = null, Action<string>? onEvent = null)
    {
        var limits = new LoopLimits(StepsMax: 50_000_000);
        using var store = new StoreDisk(SimRandom.Fork(seed, "store"));
        return SimLoop.Run(seed, async loop =>
        {
            loop.OnEvent += onEvent;
            var world = new World(loop, knobs ?? new WorldKnobs(), store);
            await world.StartAsync();
            await story(world);
            await world.EndAsync();
        }, limits);
    }

    /// <summary>A running VM with a disk on the shared pool.</summary>
    public async Task CreateVmAsync(string name, string on, GuestLoad? load = null, int memoryMiB = 16,
        Display display = Display.None)
    {
        Ledger.Loads[name] = load ?? Knobs.Load;
        var wish = new CreateVmRequest(name)
        {
            MemoryBytes = (long)memoryMiB << 20, DiskBytes = 1 << 20, Host = on, Start = true, Ha = Knobs.Ha,
            Display = display,
        };
        _rpc.Calm++;
        var operation = await Server.AskAsync(c => c.Vms.CreateAsync(wish, null, CancellationToken.None));
        _rpc.Calm--;
        if (operation.Problem is { } problem) throw new SimFailedException($"{name} was not created: {problem.Cause}");
    }

    public async Task<MoveId> MigrateAsync(string vm, string to, MoveMode mode = MoveMode.Live, MigrateRequest? wish = null)
    {
        wish ??= new MigrateRequest();
        return (await Server.AskAsync(c => c.Wishes.BeginAsync(vm, wish with { To = to, Mode = mode }, null, null))).Id;
    }

    public async Task<MoveId> RefreshAsync(string vm) =>
        (await Server.AskAsync(c => c.Wishes.BeginAsync(vm, new MigrateRequest(), new RefreshWish(null, null), null))).Id;

    /// <summary>Once it has ended; however often the server comes and goes meanwhile.</summary>
    public Task<Migration> EndOfAsync(MoveId move) => UntilAsync(move, m => m.End is not null);

    /// <summary>The move's record, once it is in <paramref name="phase"/> or later.</summary>
    public Task<Migration> UntilAsync(MoveId move, Phase phase) => UntilAsync(move, m => m.Phase >= phase || m.End is not null);

    public Task<Migration> FindAsync(MoveId move) => Server.AskAsync(c => c.Stores.Moves.ReadAsync(move));

    public Task<Vm> VmAsync(string name) => Server.AskAsync(c => c.Vms.FindAsync(name));

    /// <summary>The QEMUs of a VM that live on a host; one, or none.</summary>
    public SimQemu? Copy(string vm, string on) =>
        Ledger.Alive.FirstOrDefault(q => q.Options.Name == vm && q.Host.Name == on && !q.Process.HasExited);

    public bool Runs(string vm, string on) => Ledger.Alive.Any(q => q.Options.Name == vm && q.Host.Name == on && q.IsRunning);

    /// <summary>
    /// A person lets go of the VM's memory, as it is now: stops it, saves it, deletes it. The last copy of this life may
    /// be ended; of a later one not, for an order that comes late must not touch it (R7).
    /// </summary>
    /// <param name="beingBooted">The next life has been ordered already: it is that one the person lets go of, too.</param>
    public void LetGo(string vm, bool beingBooted = false) => _letGo[vm] = Ledger.LifeOf(vm) + (beingBooted ? 1 : 0);

    /// <summary>A person was told that this move was taken: from then on no server may know nothing of it.</summary>
    public void Promise(MoveId move) => _promised.Add(move);

    internal IReadOnlySet<MoveId> Promised => _promised;

    /// <summary>The server's disk dies; its store is made anew from the hosts that answer, and a server starts with it.</summary>
    public async Task<RebuildPlan> LoseAndRebuildAsync()
    {
        Server.LoseStore();
        return await RebuildAsync();
    }

    /// <summary>Of the store that lies there nothing is read, or (<paramref name="fromOld"/>) all.</summary>
    public async Task<RebuildPlan> RebuildAsync(bool fromOld = false)
    {
        _promised.Clear(); // What people were told is in no record any more.
        _rpc.Calm++;
        var wish = new RebuildWish([.. _agents.Values.Select(a => (new HostId(a.Host.Name), $"{a.Host.Address}:7443"))], []);
        var plan = await Server.RebuildAsync(wish, fromOld);
        _rpc.Calm--;
        await Server.StartAsync();
        return plan;
    }

    /// <summary>It came back from its file, the same life: nobody lets go of it any more.</summary>
    public void WantBack(string vm) => _letGo.Remove(vm);

    internal bool IsWantedGone(string vm, int life) => _letGo.TryGetValue(vm, out var last) && life <= last;

    /// <summary>Everything works again: power, wires, disks, processes. What hung may go on.</summary>
    public async Task HealAsync()
    {
        Loop.Trace("world", "everything heals");
        _rpc.Calm++; // For good.
        Fence.IsCalm = true;
        if (Power is not null) Power.IsCalm = true;
        Net.HealAll();
        foreach (var agent in _agents.Values)
        {
            agent.Host.PowerOn();
            (agent.Host.Disk.IsFull, agent.Host.Disk.IsReadOnly, agent.Host.Disk.FailingWrites) = (false, false, 0);
            agent.Host.Disk.BeSlow(false);
            agent.Host.Disk.Hangs = false;
            agent.Host.Clock.WallClockError = TimeSpan.Zero;
            foreach (var qemu in Ledger.Alive.Where(q => q.Host == agent.Host)) qemu.StorageFails = false;
            foreach (var process in agent.Host.Processes)
            {
                process.HangsInKernel = false;
                process.Continue();
            }
            agent.FailPoints = null;
            agent.Start();
        }
        Server.Host.PowerOn();
        Server.Disarm();
        Server.FillDisk(false);
        Server.Process!.Continue();
        await Server.StartAsync();
        await Loop.Until(() => Server.Serving is not null && _agents.Values.All(a => a.Serving is not null));
    }

    /// <summary>Returns when nothing is being done any more; at the latest when it should have ended long ago.</summary>
    public async Task RestAsync()
    {
        var limit = Loop.Now + EndsWithin;
        int resets;
        do
        {
            while (Loop.Now < limit && await UnfinishedAsync() > 0) await SleepAsync(1);
            resets = Resets;
            await SleepAsync(35); // What is cleaned after the end, or tried again, is cleaned by now.
        }
        while (Loop.Now < limit && (await UnfinishedAsync() > 0 || Resets > resets));
        // A candidate that nobody connects to is taken back after 5 minutes.
        if (Ledger.Alive.Any(q => q.RunState == "inmigrate")) await SleepAsync(330);
    }

    public Task SleepAsync(double seconds) => Loop.SleepAsync(TimeSpan.FromSeconds(seconds));

    private async Task StartAsync()
    {
        Loop.Trace("world", $"seed {Loop.Seed}, {Knobs}");
        foreach (var agent in _agents.Values) agent.Start();
        await Loop.Until(() => _agents.Values.All(a => a.Serving is not null));
        await Server.StartAsync();
        _rpc.Calm++;
        foreach (var host in _agents.Values.Select(a => a.Host))
        {
            await Server.AskAsync(c => c.Hosts.AddAsync(new HostId(host.Name), $"{host.Address}:7443", CancellationToken.None));
            if (Power is not null)
                await Server.AskAsync(async c =>
                {
                    await c.PowerVerbs.SetHostAsync(
                        new HostId(host.Name), SimPower.Off, SimPower.On, SimPower.State, null, CancellationToken.None);
                    return true;
                });
            if (Knobs.Ha) await SetFenceAsync(host.Name, Knobs.WatchdogTimeout is null ? SimFence.Hook : WatchdogRules.FenceName);
        }
        while (Knobs is { Ha: true, WatchdogTimeout: not null } && !await AreArmedAsync()) await SleepAsync(1);
        _rpc.Calm--;
    }

    internal Task SetFenceAsync(string host, string? fence) => Server.AskAsync(async control =>
    {
        await control.Fencing.SetFenceAsync(new HostId(host), fence, CancellationToken.None);
        return true;
    });

    private async Task<bool> AreArmedAsync() =>
        (await Server.AskAsync(c => c.Stores.Hosts.ListAsync())).All(host => host.Watchdog is { Confirmed: true });

    private async Task EndAsync()
    {
        await HealAsync();
        await RestAsync();
        foreach (var checker in _checkers) await checker.AtEndAsync(this);
    }

    /// <summary>How often watchdogs struck.</summary>
    internal int Resets => _agents.Values.Sum(agent => agent.Host.Watchdog.Resets);

    private async Task<int> UnfinishedAsync() => Server.Serving is null ? 1
        : (await Server.AskAsync(c => c.Stores.Operations.UnfinishedAsync())).Count
            + (await Server.AskAsync(c => c.Stores.Fences.UnfinishedAsync())).Count
            + _agents.Values.Count(agent => agent.Serving is null) // Its watchdog reset it.
            + (await Server.AskAsync(c => c.Stores.Hosts.ListAsync()))
                .Count(host => host.State == HostState.Fenced || host.Power.Phase != PowerPhase.On);

    private async Task<Migration> UntilAsync(MoveId move, Func<Migration, bool> holds)
    {
        while (true)
        {
            try
            {
                if (await Server.AskAsync(c => c.Stores.Moves.ReadAsync(move)) is var found && holds(found)) return found;
            }
            catch (ServerGoneException) { } // The next server knows as much.
            await SleepAsync(0.02);
        }
    }

    private void Check()
    {
        foreach (var checker in _checkers) checker.AfterStep(this);
    }

    private void Wire(SimLink link) =>
        (link.Delay, link.Jitter, link.BytesPerSecond) = (Knobs.LinkDelay, Knobs.LinkDelay / 4, Knobs.LinkBytesPerSecond);
}
