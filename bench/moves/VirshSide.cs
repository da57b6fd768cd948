using System.Diagnostics;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>The same VM under libvirt, moved by <c>virsh migrate --live</c> with its defaults.</summary>
internal sealed class VirshSide(LabCluster lab, IReadOnlyList<LibvirtHost> hosts) : IMoveSide
{
    private static readonly TimeSpan CommandMax = TimeSpan.FromMinutes(5);
    private string _vm = "";
    private string _disk = "";

    public string Name => "virsh";
    public int Host { get; private set; } = 1;

    public async Task<string> StartAsync(GuestSize size, CancellationToken cancel)
    {
        Host = 1;
        _vm = $"b-{size.Name}";
        _disk = Path.Combine(lab.Plan.SharedPool, $"{_vm}.qcow2");
        var mac = $"52:54:00:bb:10:{size.MemoryMib >> 8:x2}";
        await LabShell.RunAsync(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", lab.Folder.Template, "-F", "qcow2", _disk], cancel: cancel);
        var definition = Path.Combine(lab.Plan.DataDirectory, $"{_vm}.xml");
        await File.WriteAllTextAsync(definition, Definition(size, mac), cancel);
        await VirshAsync(cancel, "create", definition);
        return GuestAddress.Of(mac);
    }

    public Task PauseAsync(CancellationToken cancel) => VirshAsync(cancel, "suspend", _vm);

    public Task ResumeAsync(CancellationToken cancel) => VirshAsync(cancel, "resume", _vm);

    public async Task<CommandCost> MoveAsync(int target, CancellationToken cancel)
    {
        var (from, to) = (hosts[Host - 1], hosts[target - 1]);
        from.ForgetEvents();
        to.ForgetEvents();
        var watch = Stopwatch.StartNew();
        // --unsafe only skips the check that the pool is a cluster file system: both hosts are this machine's, so its
        // own file system is shared between them.
        await VirshAsync(cancel, "migrate", "--live", "--unsafe", _vm, to.Uri, "--migrateuri", to.MigrationUri);
        var wall = watch.Elapsed.TotalSeconds;
        Host = target;
        var (stop, resume) = (await from.TimeOfAsync("STOP", cancel), await to.TimeOfAsync("RESUME", cancel));
        return new CommandCost(wall, resume - stop, "");
    }

    /// <summary>False: the move had not ended by itself by then, and was aborted.</summary>
    public async Task<bool> EndsWithinAsync(int target, TimeSpan most, CancellationToken cancel)
    {
        var to = hosts[target - 1];
        var move = VirshAsync(cancel, "migrate", "--live", "--unsafe", _vm, to.Uri, "--migrateuri", to.MigrationUri);
        if (await Task.WhenAny(move, Task.Delay(most, cancel)) == move)
        {
            await move;
            Host = target;
            return true;
        }
        await VirshAsync(cancel, "domjobabort", _vm);
        await move.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        return false;
    }

    public async Task RemoveAsync(CancellationToken cancel)
    {
        await VirshAsync(cancel, "destroy", _vm);
        File.Delete(_disk);
    }

    private Task<string> VirshAsync(CancellationToken cancel, params string[] words) =>
        LabShell.RunAsync(["virsh", "-q", "-c", hosts[Host - 1].Uri, .. words], deadline: CommandMax, cancel: cancel);

    /// <summary>
    /// godwit's machine in libvirt's words (QemuCommandLine.cs): same devices at the same PCI slots. libvirt knows no
    /// versions of CPU models; its Nehalem is QEMU's Nehalem-v1 on this machine type.
    /// </summary>
    private string Definition(GuestSize size, string mac) => $"""
        <domain type='qemu'>
          <name>{_vm}</name>
          <memory unit='MiB'>{size.MemoryMib}</memory>
          <vcpu>1</vcpu>
          <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
          <features><acpi/><vmport state='off'/><smm state='off'/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features>
          <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model></cpu>
          <clock offset='utc'/>
          <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
          <devices>
            <emulator>/usr/bin/qemu-system-x86_64</emulator>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='none' io='threads' discard='unmap'/>
              <source file='{_disk}'/>
              <target dev='vda' bus='virtio'/>
              <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
            </disk>
            <interface type='bridge'>
              <source bridge='{LabPlan.Bridge}'/>
              <mac address='{mac}'/>
              <model type='virtio'/>
              <driver name='qemu'/>
              <rom enabled='no'/>
              <address type='pci' domain='0x0000' bus='0x00' slot='0x10' function='0x0'/>
            </interface>
            <controller type='usb' model='none'/>
            <serial type='file'><source path='{lab.Plan.DataDirectory}/{_vm}.console'/></serial>
            <memballoon model='none'/>
          </devices>
        </domain>
        """;
}
