using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Simulation;

/// <summary>
/// The simulated QEMU says and does what the real 7.2 was measured to. The shipped monitor client and command line
/// speak to it.
/// </summary>
public sealed class SimQemuTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Fact]
    public void A_started_guest_runs_only_after_cont() => Run(async t =>
    {
        var qemu = await t.StartAsync(t.A);
        Assert.Equal("7.2.22", qemu.Qmp.Version);
        Assert.Equal("prelaunch", (await qemu.Qmp.QueryStatusAsync(Deadline, default)).Status);
        await qemu.Qmp.ContAsync(Deadline, default);
        Assert.True((await qemu.Qmp.QueryStatusAsync(Deadline, default)).Running);
        await Task.Delay(TimeSpan.FromSeconds(3), t.A.Host.Clock);
        Assert.InRange(qemu.Sim.State.Counter, 3000, 3100);
    });

    [Fact]
    public void A_live_move_stops_the_source_in_postmigrate_and_the_target_paused() => Run(async t =>
    {
        var (source, target) = await t.MigratingAsync();
        Assert.Equal("completed", await source.EndAsync());
        Assert.Equal("completed", await target.EndAsync());
        await t.SettleAsync();
        Assert.Equal("postmigrate", source.Sim.RunState);
        Assert.Equal("paused", target.Sim.RunState);
        Assert.Equal(source.Sim.State, target.Sim.State);
        Assert.Equal(["RESUME", "MIGRATION setup", "MIGRATION_PASS 1", "MIGRATION active", "MIGRATION_PASS 2"], source.Events.Take(5));
        Assert.Collection(source.Events.TakeLast(3),
            e => Assert.Equal("STOP", e), e => Assert.StartsWith("MIGRATION_PASS", e, StringComparison.Ordinal),
            e => Assert.Equal("MIGRATION completed", e));
        Assert.Equal(["MIGRATION setup", "MIGRATION active", "MIGRATION completed"], target.Events);
        await target.Qmp.ContAsync(Deadline, default);
        await t.SettleAsync();
        Assert.Contains("RESUME", target.Events);
        Assert.True(target.Sim.IsRunning);
    });

    [Fact]
    public void A_killed_target_makes_the_source_fail_and_run_on() => Run(async t =>
    {
        var (source, target) = await t.MigratingAsync();
        await Task.Delay(TimeSpan.FromMilliseconds(30), t.A.Host.Clock);
        target.Sim.Process.Exit(ProcessEnd.Injected);
        Assert.Equal("failed", await source.EndAsync());
        await t.SettleAsync();
        Assert.True(source.Sim.IsRunning);
    });

    [Fact]
    public void A_cancelled_move_runs_on_at_the_source_and_the_target_exits() => Run(async t =>
    {
        var (source, target) = await t.MigratingAsync();
        await source.Qmp.MigrateCancelAsync(Deadline, default);
        Assert.Equal("cancelled", await source.EndAsync());
        await t.SettleAsync();
        Assert.True(source.Sim.IsRunning);
        Assert.True(target.Sim.Process.HasExited);
    });

    [Fact]
    public void A_target_that_cannot_load_exits_while_the_source_says_completed() => Run(async t =>
    {
        var (source, target) = await t.MigratingAsync(target => target.Sim.RefuseToLoad());
        Assert.Equal("completed", await source.EndAsync());
        await t.SettleAsync();
        Assert.True(target.Sim.Process.HasExited);
        Assert.Equal("postmigrate", source.Sim.RunState);
        await source.Qmp.ContAsync(Deadline, default);
        Assert.True(source.Sim.IsRunning);
    });

    [Fact]
    public void Two_cannot_hold_one_image_for_writing() => Run(async t =>
    {
        var (source, target) = await t.MigratingAsync();
        await source.EndAsync();
        await target.EndAsync();
        await target.Qmp.ContAsync(Deadline, default);
        var refused = await Assert.ThrowsAsync<QmpException>(() => source.Qmp.ContAsync(Deadline, default));
        Assert.Contains("\"write\" lock", refused.Message, StringComparison.Ordinal);
    });

    [Fact]
    public void Without_working_locks_a_second_copy_does_run_and_the_ledger_sees_it() => Run(async t =>
    {
        t.A.Host.Storage.LocksWork = false;
        var (source, target) = await t.MigratingAsync();
        await source.EndAsync();
        await target.EndAsync();
        await t.SettleAsync();
        await target.Qmp.ContAsync(Deadline, default);
        await source.Qmp.ContAsync(Deadline, default);
        Assert.Equal(2, t.Ledger.Alive.Count(q => q.IsRunning));
    });

    [Fact]
    public void A_guest_that_powers_off_leaves_its_qemu_in_shutdown() => Run(async t =>
    {
        var qemu = await t.StartAsync(t.A);
        await qemu.Qmp.ContAsync(Deadline, default);
        await qemu.Qmp.SystemPowerdownAsync(Deadline, default);
        await Task.Delay(TimeSpan.FromSeconds(2), t.A.Host.Clock);
        Assert.Equal("shutdown", (await qemu.Qmp.QueryStatusAsync(Deadline, default)).Status);
        Assert.Equal(["RESUME", "POWERDOWN", "SHUTDOWN", "STOP"], qemu.Events);
        await Assert.ThrowsAsync<QmpException>(() => qemu.Qmp.ContAsync(Deadline, default));
    });

    [Fact]
    public void A_second_monitor_client_waits_until_the_first_is_gone() => Run(async t =>
    {
        var qemu = await t.StartAsync(t.A);
        var second = Bench.ConnectAsync(t.A, qemu.Home);
        await Task.Delay(TimeSpan.FromSeconds(5), t.A.Host.Clock);
        Assert.False(second.IsCompleted);
        await qemu.Qmp.DisposeAsync();
        Assert.Equal("7.2.22", (await second).Version);
    });

    private static void Run(Func<Bench, Task> story)
    {
        for (ulong seed = 1; seed <= 5; seed++)
            SimNetworkTests.Two(seed, (loop, a, b) => story(new Bench(loop, a, b)));
    }

    private sealed record Copy(VmHome Home, QmpClient Qmp, SimQemuHandle Sim, List<string> Events)
    {
        private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> EndAsync() => _ended.Task;

        public void Hear(QmpEvent said)
        {
            var status = said.Name == "MIGRATION" ? said.Data.GetProperty("status").GetString()! : "";
            Events.Add(said.Name switch
            {
                "MIGRATION" => $"MIGRATION {status}",
                "MIGRATION_PASS" => $"MIGRATION_PASS {said.Data.GetProperty("pass").GetInt32()}",
                _ => said.Name,
            });
            if (status is "completed" or "failed" or "cancelled") _ended.TrySetResult(status);
        }
    }

    private sealed class SimQemuHandle(SimQemu qemu)
    {
        public SimProcess Process => qemu.Process;
        public string RunState => qemu.RunState;
        public bool IsRunning => qemu.IsRunning;
        public GuestState State => qemu.State;
        public void RefuseToLoad() => qemu.RefuseToLoad();
    }

    private sealed class Bench(SimLoop loop, SimProcess a, SimProcess b)
    {
        private static readonly VmSpec Spec = new()
        {
            Id = new VmId("vm-0123456789ab"), Name = "one", Uuid = "6f1c0f5e-0000-4000-8000-000000000001", Cpus = 1,
            MemoryBytes = 16 << 20, MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg, Uid = 64001,
            Disks = [new DiskSpec("shared", "vm-0123456789ab-0.qcow2", "qcow2", 1 << 20)], Nics = [],
        };
        private static readonly HostLayout Layout = new()
        {
            RunDirectory = "/run/godwit", StateDirectory = "/var/lib/godwit", QemuPaths = ["/usr/bin/qemu-system-x86_64"],
            Pools = new Dictionary<string, PoolPlace> { ["shared"] = new("/pool", true) },
        };

        public SimProcess A => a;
        public GuestLedger Ledger { get; } = new(loop);

        public Task SettleAsync() => Task.Delay(TimeSpan.FromMilliseconds(200), a.Host.Clock);

        public async Task<Copy> StartAsync(SimProcess agent, bool incoming = false)
        {
            agent.Host.Storage.Create("/pool/vm-0123456789ab-0.qcow2", 1 << 20);
            var home = VmHome.On(Layout, Spec.Id);
            agent.Host.Disk.CreateDirectory(home.Run);
            agent.Host.Disk.CreateDirectory(home.State);
            var launch = new QemuLaunch
            {
                Spec = Spec, Home = home, Incarnation = 1, RamOf = 1, Incoming = incoming, QemuPath = Layout.QemuPaths[0], Taps = [],
            };
            var processes = new SimProcesses(agent.Host, new SimPrograms(Ledger));
            var handle = await processes.StartDetachedAsync(QemuCommandLine.Build(launch, Layout), home.QemuLog(1), default);
            await Task.Delay(TimeSpan.FromSeconds(1), agent.Host.Clock);
            Assert.True(processes.IsAlive(handle), "it did not start");
            var qmp = await ConnectAsync(agent, home);
            var copy = new Copy(home, qmp, new SimQemuHandle(Ledger.Alive.Single(q => q.Process.Handle == handle)), []);
            qmp.Subscribe(copy.Hear);
            return copy;
        }

        public static async Task<QmpClient> ConnectAsync(SimProcess agent, VmHome home) => await QmpClient.ConnectAsync(
            await agent.Network.ConnectUnixAsync(home.QmpSocket(1), default), agent.Host.Clock, default);

        /// <summary>Source runs on A, the target waits on B, and memory flows over a plain relay.</summary>
        public async Task<(Copy Source, Copy Target)> MigratingAsync(Action<Copy>? prepare = null)
        {
            a.Host.Net.Link("a", "b").BytesPerSecond = 5_000_000;
            Ledger.Loads["one"] = new GuestLoad(UsedPages: 1024);
            var (source, target) = (await StartAsync(a), await StartAsync(b, incoming: true));
            await source.Qmp.ContAsync(Deadline, default);
            var capabilities = new Dictionary<string, bool> { ["events"] = true, ["late-block-activate"] = true };
            await source.Qmp.MigrateSetCapabilitiesAsync(capabilities, Deadline, default);
            await target.Qmp.MigrateSetCapabilitiesAsync(capabilities, Deadline, default);
            prepare?.Invoke(target);
            await target.Qmp.MigrateIncomingAsync($"unix:{target.Home.IncomingSocket(1)}", true, Deadline, default);
            await RelayAsync(source.Home, target.Home);
            await source.Qmp.MigrateAsync($"unix:{source.Home.OutgoingSocket(1)}", Deadline, default);
            return (source, target);
        }

        private async Task RelayAsync(VmHome source, VmHome target)
        {
            var local = await a.Network.ListenUnixAsync(source.OutgoingSocket(1), 0, default);
            var remote = await b.Network.ListenPeersAsync("10.0.0.2:0", default);
            _ = PumpAsync(async () => (await local.AcceptAsync(default),
                (await a.Network.ConnectPeerAsync(remote.Endpoint, new HostId("b"), default)).Stream));
            _ = PumpAsync(async () => ((await remote.AcceptAsync(default)).Stream,
                await b.Network.ConnectUnixAsync(target.IncomingSocket(1), default)));
        }

        private static async Task PumpAsync(Func<Task<(Stream From, Stream To)>> connect)
        {
            var (from, to) = await connect();
            var buffer = new byte[8192];
            try
            {
                for (int count; (count = await from.ReadAsync(buffer)) > 0;) await to.WriteAsync(buffer.AsMemory(0, count));
            }
            catch (IOException) { } // Either end is gone: so is the other.
            from.Dispose();
            to.Dispose();
        }
    }
}
