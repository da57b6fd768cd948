using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Xunit;

namespace Godwit.Tests.Rpc;

/// <summary>Server and agent as two ends of one real mutual-TLS connection.</summary>
public sealed class GrpcHostAgentTests
{
    private static readonly CancellationToken Never = CancellationToken.None;
    private readonly FakeCluster _cluster = new();
    private FakeHost Host => _cluster["h1"];

    [Fact]
    public async Task Every_order_arrives_at_the_host_and_its_answer_comes_back()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var far = agent.Client("h1");
        var (vm, move, epoch) = (Spec(), new MoveId("mv-1"), new Epoch(3));

        Same(Host.Facts, await far.DescribeAsync(Never));
        await far.WritePoolNonceAsync("default", "abc", Never);
        Assert.True(await far.SeesPoolNonceAsync("default", "abc", Never));
        await far.CreateDiskAsync(vm.Disks[0], vm.Uid, Never);
        Assert.Equal(VmState.Running, (await far.StartVmAsync(new StartVm(vm, epoch), Never)).State);
        Same(Host.Vms.Values.Single(), (await far.ListVmsAsync(Never)).Single());
        await far.PauseVmAsync(vm.Id, epoch, Never);
        await far.UnpauseVmAsync(vm.Id, epoch, Never);
        Assert.Equal(epoch, (await far.CheckSourceAsync(vm.Id, Never)).Epoch);
        Assert.True((await far.CheckTargetAsync(vm, Never)).AlreadyHere);
        Assert.Null(await far.MeasureMemoryAsync(vm.Id, TimeSpan.FromSeconds(1), mayLook: true, Never));
        Host.Memory = Quoting.PredictMoveTests.Memory(256, 2.5, (100, 1), (3000, 2)) with { UntouchedBytes = 5, GivenBytesPerSecond = 6 };
        Same(Host.Memory, await far.MeasureMemoryAsync(vm.Id, TimeSpan.FromSeconds(1), mayLook: true, Never));
        var ready = await far.PrepareLinkTestAsync(new HostId("h2"), Never);
        Assert.Equal("for h2 to h3", (await far.RunLinkTestAsync(ready, new HostId("h3"), Never)).Security);
        var incoming = new IncomingOrder(move, vm, epoch, new HostId("h2"), false);
        Assert.Equal("127.0.0.1:1", (await far.PrepareIncomingAsync(incoming, Never)).Endpoint);
        Assert.Equal(MoveStanding.TargetCandidate, (await far.QueryMoveAsync(move, Never)).Standing);
        Assert.Equal(MoveStanding.TargetAborted, (await far.AbandonIncomingAsync(move, lazyFollows: true, Never)).Standing);
        Assert.Equal(MoveStanding.TargetAborted, (await far.CancelMoveAsync(move, Never)).Standing);
        await far.SettleOutgoingAsync(move, TargetProof.Lost, Never);
        var wish = new RefreshWish(null, "0-1");
        await far.StartRefreshAsync(new RefreshOrder(new MoveId("mv-2"), vm.Id, epoch, new MoveLimits(), wish), Never);
        await far.CleanMoveAsync(move, Never);
        Assert.Equal($"{vm.Id}-3.saved", (await far.SaveVmAsync(vm.Id, epoch, Never)).File);
        var order = new SnapshotOrder(vm, epoch, "one.0123456789ab");
        Assert.False((await far.MakeSnapshotAsync(order, Never)).IsCrashConsistent);
        await far.RevertToSnapshotAsync(order with { Epoch = epoch.Next() }, Never);
        Assert.Equal(epoch.Next(), Host.Snapshots[order.Tag]);
        await far.DropSnapshotAsync(order, Never);
        Assert.Empty(Host.Snapshots);
        await far.StopVmAsync(vm.Id, epoch, true, Never);
        await far.EndLostVmAsync(vm.Id, epoch, "h2 is off", Never);
        Assert.Equal((VmState.Crashed, "h2 is off"), (Host.Vms[vm.Id].State, Host.Vms[vm.Id].Note));
        Assert.Equal(3, await far.KeepNotesAsync(new KeptNotes(3, "{}"), Never));
        Assert.Equal(new KeptNotes(3, "{}"), Host.Notes);
        await far.RenewEpochAsync(vm.Id, epoch.Next(), Never);
        Assert.Equal((true, epoch.Next()), (Host.Vms[vm.Id].IsOwner, Host.Vms[vm.Id].Epoch));
        await far.LeaveVmAsync(vm, epoch.Next(), Never);
        Assert.Equal((false, epoch.Next()), (Host.Vms[vm.Id].IsOwner, Host.Vms[vm.Id].Epoch));
        Same(vm, Host.Vms[vm.Id].Spec);
        await far.ForgetVmAsync(vm.Id, epoch, Never);
        await far.DeleteDiskAsync(vm.Disks[0], Never);

        Assert.Empty(Host.Vms);
        Assert.Equal(
            ["Describe", "WritePoolNonce", "SeesPoolNonce", "CreateDisk", "StartVm", "ListVms", "PauseVm", "UnpauseVm",
                "CheckSource", "CheckTarget", "PrepareLinkTest", "RunLinkTest", "PrepareIncoming", "QueryMove",
                "AbandonIncoming", "CancelMove", "SettleOutgoing",
                "StartRefresh", "CleanMove", "SaveVm", "MakeSnapshot", "RevertToSnapshot", "DropSnapshot", "StopVmByForce", "EndLostVm",
                "KeepNotes", "RenewEpoch", "LeaveVm", "ForgetVm", "DeleteDisk"],
            Host.Calls);
    }

    [Fact]
    public async Task Over_a_connection_that_was_closed_here_the_host_is_unreachable_and_nothing_worse()
    {
        var agent = await AgentUnderTest.StartAsync("h1", Host);
        var far = agent.Client("h1");
        await far.DescribeAsync(Never);
        await agent.DisposeAsync(); // As where a host is cut off: its channel is disposed of, and somebody still holds it.
        await Assert.ThrowsAsync<AgentUnreachableException>(() => far.StartVmAsync(new StartVm(Spec(), new Epoch(1)), Never));
        await Assert.ThrowsAsync<AgentUnreachableException>(() => far.OpenConsoleAsync(new VmId("vm-1"), Never));
        await Assert.ThrowsAsync<AgentUnreachableException>(async () =>
        {
            await foreach (var _ in far.WatchMoveAsync(new MoveId("mv-1"), Never)) { }
        });
    }

    [Fact]
    public async Task A_refusal_arrives_with_every_reason_even_if_they_are_long()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var reasons = Enumerable.Range(0, 24).Select(i => new Refusal($"code-{i}", new string('漢', 399), new string('ß', 399))).ToList();
        Host.Fails["StartVm"] = new RefusedException(reasons);
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            agent.Client("h1").StartVmAsync(new StartVm(Spec(), new Epoch(1)), Never));
        Assert.Equal(reasons, refused.Reasons);
    }

    [Fact]
    public async Task A_failure_inside_the_agent_is_not_taken_for_an_answer()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        Host.Fails["StopVm"] = new IOException("disk on fire");
        var unknown = await Assert.ThrowsAsync<AgentUnreachableException>(() =>
            agent.Client("h1").StopVmAsync(Spec().Id, new Epoch(1), false, Never));
        Assert.Contains("disk on fire", unknown.Message);
    }

    [Fact]
    public async Task An_agent_that_does_not_listen_is_unreachable_and_the_reason_is_the_sockets()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var far = agent.Client("h1", endpoint: "127.0.0.1:1");
        var unknown = await Assert.ThrowsAsync<AgentUnreachableException>(() => far.DescribeAsync(Never));
        Assert.Contains("refused", unknown.Why, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task An_agent_that_does_not_answer_in_time_is_unreachable()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        Host.Waits["Describe"] = new TaskCompletionSource().Task;
        var far = agent.Client("h1", deadlines: new AgentDeadlines { Question = TimeSpan.FromMilliseconds(200) });
        await Assert.ThrowsAsync<AgentUnreachableException>(() => far.DescribeAsync(Never));
    }

    [Fact]
    public async Task A_caller_who_gives_up_gets_his_own_cancellation()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        Host.Waits["Describe"] = new TaskCompletionSource().Task;
        using var leave = new CancellationTokenSource();
        var asked = agent.Client("h1").DescribeAsync(leave.Token);
        leave.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
    }

    [Fact]
    public async Task Only_the_control_plane_of_the_same_cluster_is_let_in()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var asAHost = Joined.Host(agent.Ca, "h2");
        await Assert.ThrowsAsync<AgentUnreachableException>(() => agent.Client("h1", asAHost).DescribeAsync(Never));

        var directory = Directory.CreateTempSubdirectory("godwit-other-").FullName;
        var stranger = (await AgentUnderTest.OtherClusterAsync(directory)).IssueControlPlane();
        await Assert.ThrowsAsync<AgentUnreachableException>(() => agent.Client("h1", stranger).DescribeAsync(Never));
        Directory.Delete(directory, recursive: true);
        Assert.Empty(Host.Calls);
    }

    [Fact]
    public async Task A_host_under_another_hosts_address_is_not_obeyed()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var wrong = await Assert.ThrowsAsync<AgentUnreachableException>(() => agent.Client("h2").DescribeAsync(Never));
        Assert.Contains("not host h2", wrong.Message);
        Assert.Empty(Host.Calls);
    }

    [Fact]
    public async Task An_image_arrives_whole_and_in_order()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var image = new byte[3 * GrpcHostAgent.ImportChunkBytes + 17];
        new Random(1).NextBytes(image);
        var imported = await agent.Client("h1").ImportImageAsync(new ImportImage("default", "raw"), new MemoryStream(image), Never);
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(image)), imported.Sha256);
        Assert.Equal(image.Length, imported.FileBytes);
    }

    [Fact]
    public async Task A_broken_upload_never_looks_whole_to_the_host()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        await Assert.ThrowsAsync<IOException>(() => agent.Client("h1").ImportImageAsync(
            new ImportImage("default", "raw"), new BrokenStream(GrpcHostAgent.ImportChunkBytes * 2), Never));
        Assert.Equal(0, Host.Count("ImportImage"));
    }

    [Fact]
    public async Task A_refused_image_says_why_although_bytes_are_still_on_their_way()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        Host.RefusesImagesUnread = new RefusedException("image-names-other-files", "it has a backing file", "flatten it");
        var refused = await Assert.ThrowsAsync<RefusedException>(() => agent.Client("h1").ImportImageAsync(
            new ImportImage("default", "qcow2"), new MemoryStream(new byte[32 << 20]), Never));
        Assert.Equal("image-names-other-files", refused.Reasons.Single().Code);
    }

    [Fact]
    public async Task A_console_and_a_display_carry_bytes_both_ways_and_a_missing_vm_is_refused()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var far = agent.Client("h1");
        await using (var console = await far.OpenConsoleAsync(Spec().Id, Never))
        {
            await console.WriteAsync("hello"u8.ToArray(), Never);
            var buffer = new byte[10];
            Assert.Equal(5, await console.ReadAsync(buffer, Never));
            Assert.Equal("hello"u8.ToArray(), buffer[..5]);
        }
        await using (var display = await far.OpenDisplayAsync(Spec().Id, Never))
        {
            await display.WriteAsync("RFB"u8.ToArray(), Never);
            Assert.Equal(3, await display.ReadAsync(new byte[10], Never));
        }
        Host.Fails["OpenConsole"] = new RefusedException("vm-not-here", "no such VM", "look elsewhere");
        await Assert.ThrowsAsync<RefusedException>(() => far.OpenConsoleAsync(Spec().Id, Never));
    }

    [Fact]
    public async Task A_watched_move_is_seen_to_its_end()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        var (vm, move) = (Spec(), new MoveId("mv-1"));
        Host.Vms[vm.Id] = FakeHost.Report(vm, new Epoch(1), VmState.Running);
        await _cluster["h2"].PrepareIncomingAsync(new IncomingOrder(move, vm, new Epoch(2), Host.Id, false), Never);
        var far = agent.Client("h1");
        await far.StartOutgoingAsync(new OutgoingOrder(move, vm.Id, new Epoch(1), new HostId("h2"), MoveMode.Live, new MoveLimits(),
            new IncomingReady("x:1", "t", [])), Never);
        var seen = new List<MoveStanding>();
        await foreach (var status in far.WatchMoveAsync(move, Never)) seen.Add(status.Standing);
        Assert.Equal([MoveStanding.SourceSending, MoveStanding.SourceSending, MoveStanding.SourceReleased], seen);
    }

    [Fact]
    public async Task A_watched_move_that_falls_silent_is_unreachable_not_waited_for_without_end()
    {
        await using var agent = await AgentUnderTest.StartAsync("h1", Host);
        Host.Moves[new MoveId("mv-1")] = new MoveStatus { Move = new MoveId("mv-1"), Standing = MoveStanding.SourceSending, Reason = "h2" };
        Host.Waits["Memory"] = new TaskCompletionSource().Task;
        var far = agent.Client("h1", deadlines: new AgentDeadlines { Silence = TimeSpan.FromMilliseconds(300) });
        await Assert.ThrowsAsync<AgentUnreachableException>(async () =>
        {
            await foreach (var _ in far.WatchMoveAsync(new MoveId("mv-1"), Never)) { }
        });
    }

    internal static VmSpec Spec() => new()
    {
        Id = new VmId("vm-0123456789ab"),
        Name = "web",
        Uuid = "01234567-89ab-4def-8123-456789abcdef",
        Cpus = 1,
        MemoryBytes = 512 << 20,
        MachineType = "pc-q35-7.2",
        CpuModel = "Nehalem-v1",
        Accelerator = Accelerator.Tcg,
        Disks = [new DiskSpec("default", "vm-0123456789ab-0.qcow2", "qcow2", 1 << 30)],
        Nics = [new NicSpec("br0", "52:54:00:01:02:03")],
        Uid = 1_900_000_001,
    };

    private static void Same<T>(T sent, T received) =>
        Assert.Equal(JsonSerializer.Serialize(sent), JsonSerializer.Serialize(received));

    /// <summary>Gives some bytes and then fails, as an upload whose client vanished.</summary>
    private sealed class BrokenStream(int bytes) : MemoryStream(new byte[bytes])
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            await base.ReadAsync(buffer, cancellationToken) is > 0 and var read ? read : throw new IOException("the client left");
    }
}
