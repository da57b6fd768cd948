using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.Tests.Agent.Machines;

public sealed class QemuCommandLineTests
{
    private static QemuLaunch Launch(VmSpec? spec = null, bool incoming = false) => new()
    {
        Spec = spec ?? Samples.Spec, Home = Samples.Home, Incarnation = 3, RamOf = 2, Incoming = incoming,
        QemuPath = "/usr/bin/qemu-system-x86_64", Taps = Taps.NamesOf(spec ?? Samples.Spec, 3), Cpus = "0-1",
    };

    /// <summary>The whole line, word for word: a change here is a change of every guest's machine.</summary>
    [Fact]
    public void A_cloned_vm_with_one_nic_gives_this_command_line()
    {
        var command = QemuCommandLine.Build(Launch(incoming: true), Samples.Layout);
        Assert.Equal("/usr/bin/qemu-system-x86_64", command.Program);
        Assert.Equal(20001, command.RunAsUid);
        Assert.Equal("0-1", command.Cpus);
        Assert.Null(command.KeepGroup);
        var expected = """
            -S
            -nodefaults
            -no-user-config
            -display none
            -no-shutdown
            -name guest=web1,debug-threads=on
            -uuid 6f1f6f5e-0b1c-4a39-9a52-0d2f1f1f2a01
            -msg timestamp=on
            -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
            -machine pc-q35-7.2,memory-backend=ram0,smm=off,vmport=off,graphics=off,suppress-vmdesc=on,dump-guest-core=off
            -accel tcg,thread=multi,tb-size=128
            -cpu Nehalem-v1,enforce
            -smp cpus=2,maxcpus=2,sockets=1,cores=2,threads=1
            -object {"qom-type":"memory-backend-file","id":"ram0","mem-path":"/run/godwit/vms/vm-0123456789ab/ram-2",»
            "size":536879104,"share":true,"align":2097152}
            -m size=536879104B
            -qmp unix:/run/godwit/vms/vm-0123456789ab/qmp-3.sock,server=on,wait=off
            -qmp unix:/run/godwit/vms/vm-0123456789ab/qmp-spare-3.sock,server=on,wait=off
            -chardev socket,id=console0,path=/run/godwit/vms/vm-0123456789ab/console-3.sock,server=on,wait=off,»
            logfile=/run/godwit/vms/vm-0123456789ab/console-3.log,logappend=on
            -device {"driver":"isa-serial","id":"serial0","chardev":"console0"}
            -blockdev {"node-name":"disk0-backing-file","driver":"file","filename":"/srv/main/TEMPLATE","read-only":true,»
            "auto-read-only":false,"locking":"on","aio":"threads","discard":"unmap","cache":{"direct":true,"no-flush":false}}
            -blockdev {"node-name":"disk0-backing","driver":"qcow2","file":"disk0-backing-file","read-only":true,»
            "auto-read-only":false,"discard":"unmap"}
            -blockdev {"node-name":"disk0-file","driver":"file","filename":"/srv/main/vm-0123456789ab-0.qcow2",»
            "read-only":false,"auto-read-only":false,"locking":"on","aio":"threads","discard":"unmap",»
            "cache":{"direct":true,"no-flush":false}}
            -blockdev {"node-name":"disk0","driver":"qcow2","file":"disk0-file","read-only":false,»
            "auto-read-only":false,"discard":"unmap","backing":"disk0-backing"}
            -device {"driver":"virtio-blk-pci","id":"vd0","drive":"disk0","write-cache":"on","rerror":"stop","werror":"stop",»
            "bus":"pcie.0","addr":"0x4","bootindex":0}
            -netdev {"type":"tap","id":"net0","ifname":"t0123456789ab0b","script":"no","downscript":"no","vhost":false}
            -device {"driver":"virtio-net-pci","id":"nic0","netdev":"net0","mac":"52:54:00:0a:0b:0c",»
            "romfile":"","bus":"pcie.0","addr":"0x10"}
            -incoming defer
            """.Replace("»\n", "").Replace("TEMPLATE", Samples.Template);
        Assert.Equal(expected.Split('\n', ' '), command.Arguments);
    }

    /// <summary>Word for word, too: and the rest of the machine is what it is without.</summary>
    [Fact]
    public void A_display_adds_a_card_a_pointer_and_a_socket_and_moves_nothing_else()
    {
        static List<string> Pairs(VmSpec spec)
        {
            var words = QemuCommandLine.Build(Launch(spec), Samples.Layout).Arguments;
            return [.. words.Zip(words.Skip(1), (option, value) => $"{option} {value}").Where(pair => pair[0] == '-')];
        }

        var (without, with) = (Pairs(Samples.Spec), Pairs(Samples.Spec with { Display = Display.Vnc }));
        Assert.Equal(
        [
            "-machine pc-q35-7.2,memory-backend=ram0,smm=off,vmport=off,graphics=on,suppress-vmdesc=on,dump-guest-core=off",
            """-device {"driver":"VGA","id":"vga0","vgamem_mb":16,"bus":"pcie.0","addr":"0x2"}""",
            """-device {"driver":"qemu-xhci","id":"usb0","bus":"pcie.0","addr":"0x3"}""",
            """-device {"driver":"usb-tablet","id":"tablet0","bus":"usb0.0","port":"1"}""",
            "-vnc unix:/run/godwit/vms/vm-0123456789ab/display-3.sock,share=force-shared",
        ], with.Except(without));
        Assert.Equal(["-machine pc-q35-7.2,memory-backend=ram0,smm=off,vmport=off,graphics=off,suppress-vmdesc=on,dump-guest-core=off"],
            without.Except(with));
    }

    [Fact]
    public void What_it_sees_are_its_own_files_and_the_network_device()
    {
        var command = QemuCommandLine.Build(Launch(), Samples.Layout);
        Assert.Equal(["/run/godwit/vms/vm-0123456789ab", "/srv/main/vm-0123456789ab-0.qcow2"], command.Sees!.Writable);
        Assert.Equal([$"/srv/main/{Samples.Template}"], command.Sees.ReadOnly);
        Assert.Equal(["/dev/net/tun"], command.Sees.Devices);
        Assert.Empty(command.Sees.Programs);
        Assert.Equal(["/dev/kvm"], QemuCommandLine.Build(
            Launch(Samples.Spec with { Accelerator = Accelerator.Kvm, Nics = [] }), Samples.Layout).Sees!.Devices);
    }

    /// <summary>QEMU refuses an alignment that is no multiple of the page, and those may be of a GiB.</summary>
    [Fact]
    public void In_reserved_huge_pages_memory_lies_as_they_do()
    {
        var words = QemuCommandLine.Build(Launch() with { OnHugetlbfs = true }, Samples.Layout).Arguments;
        Assert.DoesNotContain("align", Assert.Single(words, w => w.Contains("memory-backend-file", StringComparison.Ordinal)),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/opt/qemu10/bin/qemu-system-x86_64", "/opt/qemu10")]
    [InlineData("/srv/lab/qemu", "/srv/lab")]
    public void A_qemu_of_its_own_sees_where_it_is_installed(string path, string installed) => Assert.Equal([installed],
        QemuCommandLine.Build(Launch() with { QemuPath = path }, Samples.Layout).Sees!.Programs);

    [Fact]
    public void Its_share_of_the_host_is_a_fence_well_above_what_it_should_need() => Assert.Equal(
        new HostShare("vm-0123456789ab-3", (512L << 20) + (64L << 20) + (1L << 30), TasksMax: 258, CpuWeight: 200, IoWeight: 100),
        QemuCommandLine.Build(Launch(), Samples.Layout).Share);

    [Fact]
    public void A_first_start_waits_paused_and_expects_no_stream()
    {
        var words = QemuCommandLine.Build(Launch(), Samples.Layout).Arguments;
        Assert.Contains("-S", words);
        Assert.DoesNotContain("-incoming", words);
    }

    [Fact]
    public void A_blank_qcow2_disk_names_no_backing_file_and_so_opens_none()
    {
        var spec = Samples.Spec with { Disks = [Samples.Spec.Disks[0] with { BackingFile = null }] };
        Assert.Contains(QemuCommandLine.Build(Launch(spec), Samples.Layout).Arguments,
            w => w.Contains("\"backing\":null", StringComparison.Ordinal));
    }

    [Fact]
    public void Only_under_kvm_is_memory_exactly_as_large_as_wished()
    {
        static string MemoryOf(Accelerator accelerator) =>
            QemuCommandLine.Build(Launch(Samples.Spec with { Accelerator = accelerator }), Samples.Layout).Arguments
                .Single(w => w.StartsWith("size=", StringComparison.Ordinal));
        Assert.Equal("size=536870912B", MemoryOf(Accelerator.Kvm));
        // TCG before QEMU 9.0 loses dirty pages of a memory that is a multiple of 256 KiB.
        Assert.Equal("size=536879104B", MemoryOf(Accelerator.Tcg));
    }

    [Fact]
    public void Kvm_keeps_the_group_that_may_open_the_device()
    {
        var command = QemuCommandLine.Build(Launch(Samples.Spec with { Accelerator = Accelerator.Kvm }), Samples.Layout);
        Assert.Equal("kvm", command.KeepGroup);
        Assert.Contains("kvm", command.Arguments);
    }

    [Fact]
    public void A_comma_in_the_run_directory_stays_part_of_the_path()
    {
        var layout = Samples.Layout with { RunDirectory = "/run/a,b" };
        var launch = Launch() with { Home = VmHome.On(layout, Samples.Spec.Id) };
        Assert.Contains("unix:/run/a,,b/vms/vm-0123456789ab/qmp-3.sock,server=on,wait=off",
            QemuCommandLine.Build(launch, layout).Arguments);
    }

    [Fact]
    public void A_pool_this_host_does_not_have_is_refused_by_name()
    {
        var spec = Samples.Spec with { Disks = [Samples.Spec.Disks[0] with { Pool = "other" }] };
        var refused = Assert.Throws<RefusedException>(() => QemuCommandLine.Build(Launch(spec), Samples.Layout));
        Assert.Equal("pool-unknown", refused.Reasons[0].Code);
        Assert.Contains("other", refused.Reasons[0].Cause, StringComparison.Ordinal);
    }

    public static TheoryData<string, VmSpec> Poisoned => new()
    {
        { "name", Samples.Spec with { Name = "a,b" } },
        { "uuid", Samples.Spec with { Uuid = "x" } },
        { "machine", Samples.Spec with { MachineType = "q35" } },
        { "machine with an option", Samples.Spec with { MachineType = "pc-q35-7.2,accel=kvm" } },
        { "cpu", Samples.Spec with { CpuModel = "host" } },
        { "cpu with an option", Samples.Spec with { CpuModel = "Nehalem-v1,-vmx" } },
        { "uid", Samples.Spec with { Uid = 0 } },
        { "memory", Samples.Spec with { MemoryBytes = (512L << 20) + 1 } },
        { "disk path", Samples.Spec with { Disks = [new DiskSpec("main", "../shadow", "raw", 512)] } },
        { "disk format", Samples.Spec with { Disks = [new DiskSpec("main", "a.img", "vmdk", 512)] } },
        { "backing", Samples.Spec with { Disks = [new DiskSpec("main", "a.qcow2", "qcow2", 512, "b.qcow2")] } },
        { "mac", Samples.Spec with { Nics = [new NicSpec("br0", "52:54:00:0A:0B:0C")] } },
        { "display", Samples.Spec with { Display = (Display)7 } },
        { "bridge", Samples.Spec with { Nics = [new NicSpec("br0;reboot", "52:54:00:0a:0b:0c")] } },
    };

    [Theory]
    [MemberData(nameof(Poisoned))]
    public void A_spec_that_could_say_more_than_it_should_is_refused(string what, VmSpec spec)
    {
        var refused = Assert.Throws<RefusedException>(() => VmSpecRules.Check(spec));
        Assert.True(refused.Reasons.All(r => r.Code == "vm-spec-invalid"), what);
    }

    [Fact]
    public void Every_broken_rule_is_told_at_once()
    {
        var refused = Assert.Throws<RefusedException>(() =>
            VmSpecRules.Check(Samples.Spec with { Uuid = "x", Cpus = 0, Uid = 0 }));
        Assert.Equal(3, refused.Reasons.Count);
    }
}
