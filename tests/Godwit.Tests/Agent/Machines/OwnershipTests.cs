using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Agent.Machines;

/// <summary>Who may run what, before any QEMU is started: late, doubled and misdirected orders change nothing (R7).</summary>
public sealed class OwnershipTests
{
    private static readonly VmSpec Spec = Samples.Spec;
    private readonly MemoryDisk _disk = new();
    private readonly ListeningProcesses _processes = new();

    private async Task<(HostMachines Machines, MachineLife Life)> AgentAsync(OwnerRecord? record = null)
    {
        if (record is not null) await new OwnerRecords(_disk, Samples.Layout).WriteAsync(record, default);
        var machines = new HostMachines(
            Samples.Layout, _disk, _processes, new NoNetwork(), new FakeTimeProvider(), NullLogger<HostMachines>.Instance);
        var adoption = new MachineAdoption(machines);
        await adoption.FindAllAsync(_ => Task.CompletedTask, default);
        await adoption.SettleAllAsync(default);
        return (machines, new MachineLife(machines));
    }

    private static OwnerRecord Record(long epoch, bool isOwner, VmState wanted = VmState.Stopped) =>
        new() { Spec = Spec, Epoch = new Epoch(epoch), IsOwner = isOwner, Wanted = wanted };

    private static async Task RefusedAsync(string code, Func<Task> order) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<RefusedException>(order)).Reasons[0].Code);

    [Fact]
    public async Task A_record_survives_the_trip_to_disk_word_for_word()
    {
        var record = Record(7, true, VmState.Running) with
        {
            Instances = [new InstanceRecord(3, new ProcessHandle(42, 4711), "/usr/bin/qemu", 2, ["t0"], "0-1")],
            Current = 3, LastIncarnation = 3, Note = "a note",
        };
        var records = new OwnerRecords(_disk, Samples.Layout);
        await records.WriteAsync(record, default);
        Assert.Equivalent(record, await records.ReadAsync(Spec.Id, default), strict: true);
        Assert.Equal([Spec.Id], records.List());
    }

    [Fact]
    public async Task A_record_that_is_damaged_or_of_another_vm_is_an_error_and_stays_where_it_is()
    {
        var records = new OwnerRecords(_disk, Samples.Layout);
        await records.WriteAsync(Record(1, true), default);
        var path = Samples.Home.OwnerRecordFile;
        var good = _disk.Files[path];
        foreach (var bad in new[] { "", "{", "{}", "null", "[]" })
        {
            _disk.Files[path] = System.Text.Encoding.UTF8.GetBytes(bad);
            await Assert.ThrowsAsync<IOException>(() => records.ReadAsync(Spec.Id, default));
        }
        _disk.Files[path.Replace(Spec.Id.Value, "vm-ffffffffffff")] = good;
        await Assert.ThrowsAsync<IOException>(() => records.ReadAsync(new VmId("vm-ffffffffffff"), default));
        var (machines, _) = await AgentAsync();
        Assert.Empty(machines.All);
        Assert.True(_disk.Files.ContainsKey(path));
    }

    [Fact]
    public async Task A_late_start_for_a_vm_that_moved_away_is_refused()
    {
        var (_, life) = await AgentAsync(Record(5, isOwner: false));
        await RefusedAsync("epoch-stale", () => life.StartAsync(Spec, new Epoch(4), default));
        await RefusedAsync("epoch-stale", () => life.StartAsync(Spec, new Epoch(5), default));
    }

    [Fact]
    public async Task A_vm_that_was_started_elsewhere_is_refused_from_then_on_also_where_it_was_never_heard_of()
    {
        var (_, life) = await AgentAsync();
        await life.LeaveAsync(Spec, new Epoch(7));
        await life.EndLeftAsync(Spec.Id, new Epoch(7));
        await life.LeaveAsync(Spec, new Epoch(7)); // Said twice.
        var (machines, restarted) = await AgentAsync();
        await RefusedAsync("epoch-stale", () => restarted.StartAsync(Spec, new Epoch(6), default));
        await RefusedAsync("epoch-stale", () => restarted.StartAsync(Spec, new Epoch(7), default));
        await RefusedAsync("epoch-stale", () => machines.LaunchIncomingAsync(Spec, new Epoch(7), new IncomingWish(), default));
        await RefusedAsync("epoch-stale", () => restarted.LeaveAsync(Spec, new Epoch(6)));
        Assert.Empty(await restarted.ListAsync(default));
    }

    [Fact]
    public async Task A_late_word_that_a_vm_left_changes_nothing_once_it_is_back()
    {
        var (machines, life) = await AgentAsync(Record(8, isOwner: true));
        await RefusedAsync("epoch-stale", () => life.LeaveAsync(Spec, new Epoch(7)));
        await RefusedAsync("epoch-stale", () => life.LeaveAsync(Spec, new Epoch(8)));
        await RefusedAsync("epoch-stale", () => life.EndLeftAsync(Spec.Id, new Epoch(7)));
        Assert.Equal((true, new Epoch(8)), (machines.Get(Spec.Id).Record.IsOwner, machines.Get(Spec.Id).Epoch));
    }

    [Fact]
    public async Task A_host_that_gave_a_vm_away_still_refuses_its_old_epoch_after_a_restart()
    {
        var (machines, _) = await AgentAsync(Record(4, isOwner: true));
        await machines.DisownAsync(machines.Get(Spec.Id), new Epoch(5), "moved to b");
        var (again, life) = await AgentAsync();
        Assert.False(again.Get(Spec.Id).Record.IsOwner);
        await RefusedAsync("epoch-stale", () => life.StartAsync(Spec, new Epoch(4), default));
        Assert.Empty(await life.ListAsync(default));
    }

    [Fact]
    public async Task A_host_whose_stopped_vm_moved_away_refuses_a_late_start_however_often_it_is_told()
    {
        var (machines, life) = await AgentAsync(Record(4, isOwner: true));
        await life.ForgetAsync(Spec.Id, new Epoch(5));
        await life.ForgetAsync(Spec.Id, new Epoch(5));
        await RefusedAsync("epoch-stale", () => life.StartAsync(Spec, new Epoch(4), default));
        await RefusedAsync("epoch-stale", () => life.StartAsync(Spec, new Epoch(5), default));
        Assert.Empty(await life.ListAsync(default));
        Assert.Equal((false, new Epoch(5)), (machines.Get(Spec.Id).Record.IsOwner, machines.Get(Spec.Id).Epoch));
    }

    [Fact]
    public async Task Orders_of_another_epoch_than_the_owners_change_nothing()
    {
        var (machines, life) = await AgentAsync(Record(5, isOwner: true));
        var before = machines.Get(Spec.Id).Record;
        foreach (var epoch in new[] { new Epoch(4), new Epoch(6) })
        {
            await RefusedAsync("epoch-stale", () => life.StopAsync(Spec.Id, epoch, force: true, default));
            await RefusedAsync("epoch-stale", () => life.PauseAsync(Spec.Id, epoch, default));
            await RefusedAsync("epoch-stale", () => life.UnpauseAsync(Spec.Id, epoch, default));
        }
        await RefusedAsync("epoch-stale", () => life.ForgetAsync(Spec.Id, new Epoch(4)));
        Assert.Same(before, machines.Get(Spec.Id).Record);
    }

    [Fact]
    public async Task A_candidate_must_carry_a_newer_epoch_than_this_host_knows()
    {
        var (machines, _) = await AgentAsync(Record(5, isOwner: false));
        await RefusedAsync("epoch-stale", () => machines.LaunchIncomingAsync(Spec, new Epoch(5), new(), default));
    }

    [Fact]
    public async Task A_host_is_no_target_for_its_own_vm()
    {
        var (machines, _) = await AgentAsync(Record(5, isOwner: true));
        await RefusedAsync("vm-already-here", () => machines.LaunchIncomingAsync(Spec, new Epoch(6), new(), default));
        Assert.True(machines.Get(Spec.Id).Record.IsOwner);
    }

    [Fact]
    public async Task A_saved_vm_is_not_booted_over_its_saved_memory()
    {
        var (_, life) = await AgentAsync(Record(5, isOwner: true, VmState.Saved));
        await RefusedAsync("vm-saved", () => life.StartAsync(Spec, new Epoch(5), default));
    }

    [Fact]
    public async Task A_vm_in_a_move_obeys_the_move_alone()
    {
        var (machines, life) = await AgentAsync(Record(5, isOwner: true));
        var machine = machines.Get(Spec.Id);
        machines.Hold(machine, new MoveId("mv-000000000001"));
        await RefusedAsync("move-under-way", () => life.StartAsync(Spec, new Epoch(5), default));
        await RefusedAsync("move-under-way", () => life.StopAsync(Spec.Id, new Epoch(5), force: true, default));
        await RefusedAsync("move-under-way", () => life.ForgetAsync(Spec.Id, new Epoch(5)));
        Assert.Throws<RefusedException>(() => machines.Hold(machine, new MoveId("mv-000000000002")));
        await machines.ReleaseAsync(machine, new MoveId("mv-000000000002"));
        Assert.NotNull(machine.HeldBy);
        await machines.ReleaseAsync(machine, new MoveId("mv-000000000001"));
        await life.StopAsync(Spec.Id, new Epoch(5), force: true, default);
    }

    [Fact]
    public async Task A_qemu_that_died_while_the_agent_was_away_leaves_a_crashed_vm_unless_a_stop_was_ordered()
    {
        var dead = Record(5, true, VmState.Running) with
        {
            Instances = [new InstanceRecord(1, new ProcessHandle(42, 1), "/usr/bin/qemu", 1, ["t0123456789ab0b"], null)],
            Current = 1, LastIncarnation = 1,
        };
        _disk.Files["/sys/class/net/t0123456789ab0b"] = [];
        _disk.Files[Samples.Home.Ram(1)] = [];
        var (_, life) = await AgentAsync(dead);
        var report = Assert.Single(await life.ListAsync(default));
        Assert.Equal(VmState.Crashed, report.State);
        Assert.Null(report.QemuPid);
        // Looking (list) and finding (adoption) may both come upon the dead one; removing a tap twice is harmless.
        Assert.NotEmpty(_processes.Heard);
        Assert.All(_processes.Heard, command => Assert.Equal("link del dev t0123456789ab0b\n", command.Input));
        Assert.False(_disk.Files.ContainsKey(Samples.Home.Ram(1)));

        (_, life) = await AgentAsync(dead with { Wanted = VmState.Stopped });
        Assert.Equal(VmState.Stopped, Assert.Single(await life.ListAsync(default)).State);
    }

    [Fact]
    public async Task A_disk_that_does_not_open_stops_the_start_before_anything_else_and_is_named()
    {
        _disk.Opens = (path, _, write) => write ? "Permission denied" : null;
        var (_, life) = await AgentAsync();
        var refused = await Assert.ThrowsAsync<RefusedException>(() => life.StartAsync(Spec, new Epoch(1), default));
        Assert.Equal("disk-unreachable", refused.Reasons[0].Code);
        Assert.Contains($"main/{Spec.Disks[0].File}: Permission denied", refused.Message, StringComparison.Ordinal);
        Assert.Empty(_processes.Heard);
    }

    [Theory]
    [InlineData("/usr/bin/evil", null, "qemu-unknown")]
    [InlineData(null, "0-1;reboot", "cpus-invalid")]
    [InlineData(null, "", "cpus-invalid")]
    public async Task A_wish_names_only_known_qemus_and_processors(string? qemu, string? cpus, string code)
    {
        var (machines, _) = await AgentAsync();
        await RefusedAsync(code, () => machines.LaunchIncomingAsync(Spec, new Epoch(2), new(QemuPath: qemu, Cpus: cpus), default));
    }

    [Fact]
    public async Task A_missing_bridge_is_refused_by_name_and_no_tap_is_made()
    {
        var (machines, _) = await AgentAsync();
        await RefusedAsync("bridge-missing", () => machines.LaunchIncomingAsync(Spec, new Epoch(2), new(), default));
        Assert.Empty(_processes.Heard);
    }
}
