using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>Real QEMUs of a blank VM: begin, be found again, end.</summary>
[Collection("real host")]
public sealed class RealMachineTests
{
    private static readonly Epoch First = new(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [RealQemuFact]
    public async Task A_vm_starts_as_its_own_uid_without_rights_and_leaves_nothing_after_its_end()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();

        var report = await life.StartAsync(spec, First, default);
        Assert.Equal(VmState.Running, report.State);
        Assert.True(report.IsOwner);
        var status = await File.ReadAllTextAsync($"/proc/{report.QemuPid}/status");
        Assert.Contains($"Uid:\t{LabHost.Uid}\t{LabHost.Uid}\t{LabHost.Uid}\t{LabHost.Uid}", status, StringComparison.Ordinal);
        Assert.Contains("CapBnd:\t0000000000000000", status, StringComparison.Ordinal);
        Assert.Contains("NoNewPrivs:\t1", status, StringComparison.Ordinal);
        Assert.Contains("Seccomp:\t2", status, StringComparison.Ordinal);
        Assert.Contains("Groups:\t \n", status, StringComparison.Ordinal);
        Assert.Equal(report.QemuPid, (await life.StartAsync(spec, First, default)).QemuPid);

        var taps = machines.Get(spec.Id).Current!.Record.Taps;
        Assert.Contains("master " + host.Bridge, await host.ShellAsync($"ip link show {taps[0]}"), StringComparison.Ordinal);
        await life.StopAsync(spec.Id, First, force: true, default);
        Assert.Equal(VmState.Stopped, (await life.ListAsync(default)).Single().State);
        Assert.False(Directory.Exists($"/proc/{report.QemuPid}"));
        Assert.DoesNotContain(taps[0], await host.ShellAsync("ip -br link"), StringComparison.Ordinal);
        Assert.Empty(host.Disk.List(Path.Combine(host.Layout.RunDirectory, "vms")));
        await life.ForgetAsync(spec.Id, First);
        Assert.Empty(await life.ListAsync(default));
    }

    [RealQemuFact]
    public async Task An_agent_that_starts_again_finds_the_same_vm_in_the_same_state()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (_, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        await life.PauseAsync(spec.Id, First, default);
        var before = (await life.ListAsync(default)).Single();

        var (_, again, adoption) = await host.AgentAsync();
        var after = (await again.ListAsync(default)).Single();
        Assert.Equal(VmState.Paused, after.State);
        Assert.Equivalent(before, after);
        Assert.Empty(adoption.Orphans);
        await again.UnpauseAsync(spec.Id, First, default);
        Assert.Equal(VmState.Running, (await again.ListAsync(default)).Single().State);
    }

    [RealQemuFact]
    public async Task A_qemu_that_dies_is_told_as_crashed_with_its_last_words_and_frees_its_memory()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();
        var pid = (await life.StartAsync(spec, First, default)).QemuPid;
        var instance = machines.Get(spec.Id).Current!;
        var exit = instance.WaitForExitAsync(default);
        await host.ShellAsync($"kill -TERM {pid}");
        await exit.WaitAsync(Patience);
        // Both agents have one directory here: the first writes down what it saw before the second begins.
        for (var waited = 0; machines.Get(spec.Id).Record.Instances.Count > 0 && waited < 100; waited++) await Task.Delay(100);
        using (await machines.Get(spec.Id).EnterAsync()) { }

        var (_, again, _) = await host.AgentAsync();
        var report = (await again.ListAsync(default)).Single();
        Assert.Equal(VmState.Crashed, report.State);
        Assert.Contains("terminating on signal 15", report.Note, StringComparison.Ordinal);
        Assert.False(File.Exists(instance.RamPath));
        Assert.Equal(VmState.Running, (await again.StartAsync(spec, First.Next(), default)).State);
    }

    [RealQemuFact]
    public async Task A_start_that_was_cut_off_before_its_record_leaves_a_qemu_that_is_found_and_ended()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        await life.StopAsync(spec.Id, First, force: true, default);
        var lost = await machines.LaunchIncomingAsync(spec, new Epoch(3), new(), default);
        var records = new OwnerRecords(host.Disk, host.Layout);
        await records.WriteAsync((await records.ReadAsync(spec.Id, default))! with { Instances = [] }, default);

        var (_, again, adoption) = await host.AgentAsync();
        Assert.Empty(adoption.Orphans);
        Assert.False(lost.IsAlive);
        Assert.Empty(await again.ListAsync(default));
    }

    [RealQemuFact]
    public async Task A_qemu_of_ours_that_no_record_knows_is_told_and_left_alone()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        var instance = machines.Get(spec.Id).Current!;
        var record = File.ReadAllBytes(instance.Home.OwnerRecordFile);
        File.Delete(instance.Home.OwnerRecordFile);

        var (_, again, adoption) = await host.AgentAsync();
        Assert.Contains(spec.Id.Value, Assert.Single(adoption.Orphans), StringComparison.Ordinal);
        Assert.True(instance.IsAlive);
        Assert.Empty(await again.ListAsync(default));
        File.WriteAllBytes(instance.Home.OwnerRecordFile, record); // So that the host's end ends it.
    }

    [RealQemuFact]
    public async Task A_start_that_qemu_refuses_says_why_and_leaves_nothing()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = (await host.VmAsync()) with { CpuModel = "Skylake-Server-v1" };
        var (_, life, _) = await host.AgentAsync();
        var refused = await Assert.ThrowsAsync<RefusedException>(() => life.StartAsync(spec, First, default));
        Assert.Equal("qemu-start-failed", refused.Reasons[0].Code);
        Assert.Contains("TCG doesn't support requested features", refused.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Stopped, (await life.ListAsync(default)).Single().State);
        Assert.Empty(host.Disk.List(Path.Combine(host.Layout.RunDirectory, "vms")));
        Assert.DoesNotContain("t0123456789ab", await host.ShellAsync("ip -br link"), StringComparison.Ordinal);
    }

    [RealQemuFact]
    public async Task Two_incarnations_share_the_memory_and_the_older_one_goes_alone()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        var machine = machines.Get(spec.Id);
        var old = machine.Current!;
        var fresh = await machines.LaunchIncomingAsync(spec, First.Next(), new(RamOf: old.Record.RamOf), default);
        Assert.Equal(old.RamPath, fresh.RamPath);
        Assert.Empty(old.Record.Taps.Intersect(fresh.Record.Taps));

        await machines.DropAsync(machine, fresh);
        Assert.True(File.Exists(old.RamPath));
        fresh = await machines.LaunchIncomingAsync(spec, First.Next(), new(RamOf: old.Record.RamOf), default);
        Assert.Empty(old.Record.Taps.Intersect(fresh.Record.Taps));
        await machines.AdoptAsOwnerAsync(machine, fresh, First.Next(), VmState.Paused);
        await machines.DropAsync(machine, old);
        Assert.True(File.Exists(fresh.RamPath));
        Assert.Same(fresh, machine.Current);
        await Assert.ThrowsAsync<RefusedException>(() => life.StopAsync(spec.Id, First, force: true, default));
    }
}
