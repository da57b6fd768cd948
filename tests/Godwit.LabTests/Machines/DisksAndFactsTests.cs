using Godwit.Agent.Disks;
using Godwit.Agent.Facts;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>Real images, real opens, real QEMUs asked what they are.</summary>
[Collection("real host")]
public sealed class DisksAndFactsTests
{
    private static readonly Epoch First = new(1);

    [RealQemuFact]
    public async Task A_template_is_imported_cloned_and_the_clone_starts_from_it()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        await host.ShellAsync($"cd {host.Pool}/.. && qemu-img create -q -f qcow2 t.qcow2 32M");
        var pools = new Pools(host.Layout, host.Disk);
        var import = new ImageImport(pools, host.Disk, host.Processes, new RealRandomness());
        await using var content = File.OpenRead(Path.Combine(host.Pool, "..", "t.qcow2"));
        var image = await import.ImportAsync(new ImportImage("main", "qcow2"), content, default);
        Assert.Equal(32 << 20, image.VirtualBytes);

        var disk = new DiskSpec("main", "vm-0123456789ab-0.qcow2", "qcow2", 64 << 20, image.File);
        await new DiskFiles(pools, host.Disk, host.Processes).CreateAsync(disk, LabHost.Uid, default);
        Assert.Equal([disk.File, image.File], host.Disk.List(host.Pool).Order(StringComparer.Ordinal).Reverse());
        var spec = (await host.VmAsync("vm-0123456789ac")) with { Disks = [disk] };
        var (machines, life, _) = await host.AgentAsync();
        Assert.Equal(VmState.Running, (await life.StartAsync(spec, First, default)).State);
        var devices = await CanonicalDevices.ListAsync(machines.Get(spec.Id).Current!);
        Assert.Contains(devices, l => l.EndsWith(" 67108864", StringComparison.Ordinal));
    }

    /// <summary>What a lazy guest's healing relies on is asked of the kernel, with every way a tmpfs may be mounted.</summary>
    [RealQemuFact]
    public async Task Memory_comes_by_the_page_unless_somebody_mounted_it_otherwise()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        Assert.Null(host.Disk.WhyNotByThePage(host.Layout.RunDirectory));
        var place = Path.Combine(host.Pool, "..", "pages");
        foreach (var (huge, comesByThePage) in new[] { ("never", true), ("advise", true), ("always", false), ("within_size", false) })
        {
            await host.ShellAsync($"mkdir -p {place} && mount -t tmpfs -o huge={huge},size=16m none {place}");
            try
            {
                Assert.Equal((huge, comesByThePage), (huge, host.Disk.WhyNotByThePage(place) is null));
                Assert.Empty(Directory.EnumerateFileSystemEntries(place));
            }
            finally { await host.ShellAsync($"umount {place}"); }
        }
        Assert.Contains("no page could be written", host.Disk.WhyNotByThePage(place + "-gone")!, StringComparison.Ordinal);
    }

    [RealQemuFact]
    public async Task Images_qemu_itself_made_of_other_files_are_refused()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        await host.ShellAsync($"""
            cd {host.Pool}/.. && qemu-img create -q -f raw secret 1M
            qemu-img create -q -f qcow2 -F raw -b $PWD/secret backed.qcow2
            qemu-img create -q -f qcow2 -o data_file=$PWD/secret,data_file_raw=on data.qcow2 1M
            """);
        var import = new ImageImport(new Pools(host.Layout, host.Disk), host.Disk, host.Processes, new RealRandomness());
        foreach (var (file, code) in new[] { ("backed.qcow2", "image-backing-file"), ("data.qcow2", "image-data-file") })
        {
            await using var content = File.OpenRead(Path.Combine(host.Pool, "..", file));
            var refused = await Assert.ThrowsAsync<RefusedException>(() =>
                import.ImportAsync(new ImportImage("main", "qcow2"), content, default));
            Assert.Equal(code, refused.Reasons[0].Code);
        }
        Assert.Empty(host.Disk.List(host.Pool));
    }

    [RealQemuFact]
    public async Task A_disk_is_opened_as_the_vms_uid_and_refusals_come_in_the_systems_words()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var path = Path.Combine(host.Pool, (await host.VmAsync()).Disks[0].File);
        Assert.Null(await host.Disk.WhyNotOpenableAsync(path, LabHost.Uid, write: true, default));
        Assert.Equal("Permission denied", await host.Disk.WhyNotOpenableAsync(path, LabHost.Uid + 1, write: false, default));
        Assert.Equal("No such file or directory", await host.Disk.WhyNotOpenableAsync(path + "x", LabHost.Uid, true, default));
        await host.ShellAsync($"chmod 444 {path}");
        Assert.Equal("Permission denied", await host.Disk.WhyNotOpenableAsync(path, LabHost.Uid, write: true, default));
        Assert.Null(await host.Disk.WhyNotOpenableAsync(path, 0, write: true, default)); // This thread kept root's rights.
    }

    [RealQemuFact]
    public async Task A_host_tells_what_its_kernel_and_its_qemu_say()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var facts = await FactsAsync(host);
        var qemu = Assert.Single(facts.Qemus);
        Assert.Contains("pc-q35-7.2", qemu.MachineTypes);
        Assert.Contains("Nehalem-v1", qemu.UsableCpuModels);
        Assert.Contains(host.Bridge, facts.Bridges);
        Assert.InRange(facts.MemoryAvailableBytes, 1, facts.MemoryBytes);
        Assert.True(facts.RamFileSpaceBytes > 0);
        Assert.True(Assert.Single(facts.Pools).Writable);
        Assert.DoesNotContain(facts.Notes, n => n.Contains("tmpfs", StringComparison.Ordinal));
        Assert.Equal(facts.Accelerator == Accelerator.Kvm, facts.CpuFlags.Contains("vmx") || facts.CpuFlags.Contains("svm"));
        Assert.Equal(["qemu.log"], host.Disk.List(Path.Combine(host.Layout.RunDirectory, "probe")));
    }

    [TwoQemusFact]
    public async Task The_same_vm_is_the_same_list_of_devices_on_an_older_and_a_newer_qemu()
    {
        await using var host = new LabHost(TwoQemusFactAttribute.Newer);
        await host.PrepareAsync();
        var spec = await host.VmAsync();
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        var old = machines.Get(spec.Id).Current!;
        var fresh = await machines.LaunchIncomingAsync(
            spec, First.Next(), new(RamOf: old.Record.RamOf, QemuPath: TwoQemusFactAttribute.Newer), default);
        Assert.NotEqual(old.Qmp.Version, fresh.Qmp.Version);
        var devices = await CanonicalDevices.ListAsync(old);
        Assert.Contains("machine pc-q35-7.2-machine", devices);
        Assert.Contains(devices, d => d.Contains("52:54:00:0a:0b:0c", StringComparison.Ordinal));
        Assert.Contains("cpu 0 Nehalem-v1-x86_64-cpu", devices);
        Assert.Equal(devices, await CanonicalDevices.ListAsync(fresh));
    }

    private static async Task<Godwit.Core.Hosts.HostFacts> FactsAsync(LabHost host)
    {
        var probe = new QemuProbe(host.Processes, host.Network, host.Disk, TimeProvider.System, host.Layout.RunDirectory);
        var reader = new HostFactsReader(
            host.Disk, host.Processes, probe, TimeProvider.System, host.Layout, new DirectorySpaces().Of);
        return await reader.ReadAsync([], default);
    }
}
