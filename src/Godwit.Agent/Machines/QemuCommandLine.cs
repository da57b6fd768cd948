using System.Globalization;
using System.Text.Json.Nodes;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// The command line of one QEMU. Two hosts that get the same spec build the same guest-visible machine: every
/// device has an id and a PCI address, nothing is left to a default, a config file or a probe.
/// <list type="bullet">
/// <item><c>-no-shutdown</c>: a guest that powers itself off leaves its QEMU in run state "shutdown". An agent that
/// was away meanwhile can still tell that from a crash. "quit" and SIGTERM end the process as ever.</item>
/// <item><c>suppress-vmdesc=on</c>: 50 to 100 KB less inside the pause. Source and target must agree, and do: every
/// QEMU of ours has it.</item>
/// <item><c>enforce</c>: a host that lacks a feature of the CPU model refuses to start, instead of hiding it.</item>
/// <item><c>dump-guest-core=off</c>: should QEMU be dumped after all, the guest's memory is not in it.</item>
/// <item>What it sees of the host is what its words name, and no more.</item>
/// <item>Values a person chose go through a JSON writer or have passed <see cref="VmSpecRules"/>.</item>
/// </list>
/// </summary>
public static class QemuCommandLine
{
    /// <summary>
    /// A display takes PCI slots 2 and 3 of the root bus, disks 4 to 11, NICs 16 to 23: adding one never moves another.
    /// </summary>
    private const int VgaSlot = 0x02, UsbSlot = 0x03, FirstDiskSlot = 0x04, FirstNicSlot = 0x10;
    /// <summary>2560 × 1600 in full colour; it is moved with the guest, so no more than that.</summary>
    private const int VgaMemoryMiB = 16;
    /// <summary>TCG's cache of translated code. The default, 1 GiB, would not fit <c>Host.QemuOverheadBytes</c>.</summary>
    private const int TranslationCacheMiB = 128;

    /// <summary>Four times what admission counts for a QEMU (<c>Host.QemuOverheadBytes</c>).</summary>
    private const long MemorySlackBytes = 1L << 30;

    /// <summary>Two pages: QEMU rounds to 8 KiB.</summary>
    private const long TcgMemoryExtraBytes = 8 << 10;

    /// <summary>Throws <see cref="RefusedException"/> for a spec this host cannot express, and for unknown pools.</summary>
    public static Command Build(QemuLaunch launch, HostLayout layout)
    {
        var spec = launch.Spec;
        VmSpecRules.Check(spec);
        Invariant.Holds(launch.Taps.Count == spec.Nics.Count);
        List<string> words =
        [
            .. launch.StartsStopped ? ["-S"] : Array.Empty<string>(), "-nodefaults", "-no-user-config", "-display", "none", "-no-shutdown",
            "-name", $"guest={spec.Name},debug-threads=on", "-uuid", spec.Uuid, "-msg", "timestamp=on",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            .. Machine(launch),
            .. Monitors(launch),
            .. Console(launch),
            .. Screen(launch),
        ];
        for (var i = 0; i < spec.Disks.Count; i++) words.AddRange(Disk(spec, i, layout, launch.Isolated));
        for (var i = 0; i < spec.Nics.Count; i++) words.AddRange(Nic(spec, i, launch.Taps[i]));
        if (launch.Incoming) words.AddRange(["-incoming", "defer"]);
        return new Command(launch.QemuPath, words, spec.Uid)
        {
            Cpus = launch.Cpus,
            KeepGroup = spec.Accelerator == Accelerator.Kvm ? "kvm" : null,
            Sees = View(launch, layout),
            Share = Share(launch),
        };
    }

    /// <summary>Under this name the host's shares know one QEMU.</summary>
    public static string ShareName(VmId vm, int incarnation) => Text($"{vm}-{incarnation}");

    /// <summary>Under this name QEMU knows a disk.</summary>
    public static string DiskNode(int index) => Text($"disk{index}");

    /// <summary>Of a VM's disks the files themselves: what else lies in the pool is not there for it.</summary>
    private static FileView View(QemuLaunch launch, HostLayout layout)
    {
        var spec = launch.Spec;
        string PathOf(DiskSpec disk, string file) => Path.Combine(layout.Pools[disk.Pool].Directory, file);
        var disks = spec.Disks.Select(d => PathOf(d, d.File)).ToArray();
        return new FileView
        {
            Programs = InstalledIn(launch.QemuPath) is { } own ? [own] : [],
            ReadOnly =
            [
                .. spec.Disks.Where(d => d.BackingFile is not null).Select(d => PathOf(d, d.BackingFile!)).Distinct(),
                .. launch.Isolated ? disks : [],
            ],
            Writable = [launch.Home.Run, .. launch.Isolated ? [] : disks],
            Devices =
            [
                .. spec.Nics.Count > 0 ? ["/dev/net/tun"] : Array.Empty<string>(),
                .. spec.Accelerator == Accelerator.Kvm ? ["/dev/kvm"] : Array.Empty<string>(),
            ],
        };
    }

    /// <summary>Where a QEMU of its own keeps firmware and libraries: above its bin. Null for the system's.</summary>
    private static string? InstalledIn(string qemu)
    {
        if (qemu.StartsWith("/usr/", StringComparison.Ordinal) || qemu.StartsWith("/bin/", StringComparison.Ordinal)) return null;
        var directory = Path.GetDirectoryName(qemu)!;
        return Path.GetFileName(directory) == "bin" ? Path.GetDirectoryName(directory)! : directory;
    }

    /// <summary>
    /// A fence against a QEMU that runs away, not a budget: admission counts memory, and a guest must never be ended because
    /// its QEMU needed a little more than we thought. By the number of vCPUs, QEMUs share the processors.
    /// </summary>
    private static HostShare Share(QemuLaunch launch)
    {
        const int threadsBesideVcpus = 256, weightPerVcpu = 100, weightMax = 10_000, usualWeight = 100;
        return new HostShare(ShareName(launch.Spec.Id, launch.Incarnation),
            launch.Spec.MemoryBytes + MemorySlackBytes + (launch.Spec.MemoryBytes / 8),
            launch.Spec.Cpus + threadsBesideVcpus, Math.Min(weightMax, launch.Spec.Cpus * weightPerVcpu), usualWeight);
    }

    /// <summary>
    /// QEMU asks for huge pages by itself, and gets them where its mapping begins on one, which it else does by chance. No part of
    /// the guest's machine: two ends of a move may differ. (qemu_ram_mmap; x86-64's size, and no harm where it is another.)
    /// </summary>
    private const long HugePageBytes = 2L << 20;

    private static string[] Machine(QemuLaunch launch)
    {
        var spec = launch.Spec;
        // "off" makes the firmware write to the serial line instead: where there is a card, it writes there.
        var graphics = spec.Display == Display.None ? "off" : "on";
        var memory = new JsonObject
        {
            ["qom-type"] = "memory-backend-file",
            ["id"] = "ram0",
            ["mem-path"] = launch.Home.Ram(launch.RamOf),
            ["size"] = RamBytes(spec),
            ["share"] = true,
        };
        if (!launch.OnHugetlbfs) memory["align"] = HugePageBytes;
        return
        [
            "-machine", $"{spec.MachineType},memory-backend=ram0,smm=off,vmport=off,graphics={graphics},suppress-vmdesc=on"
                + ",dump-guest-core=off",
            "-accel", spec.Accelerator == Accelerator.Kvm ? "kvm" : $"tcg,thread=multi,tb-size={TranslationCacheMiB}",
            "-cpu", $"{spec.CpuModel},enforce",
            "-smp", Text($"cpus={spec.Cpus},maxcpus={spec.Cpus},sockets=1,cores={spec.Cpus},threads=1"),
            "-object", memory.ToJsonString(),
            "-m", Text($"size={RamBytes(spec)}B"),
        ];
    }

    /// <summary>
    /// Before QEMU 9.0, under TCG, collecting the dirty pages of a memory of whole 256 KiB forgets to arm the vCPU's TLB
    /// again: later writes go unseen, and the guest panics at the target. Any other size takes a path that does not (3 ms
    /// more in the pause for 512 MiB). On every version alike: the two ends of a move have the same memory.
    /// (QEMU commit "physmem: Fix migration dirty bitmap coherency with TCG memory access".)
    /// </summary>
    private static long RamBytes(VmSpec spec) =>
        spec.Accelerator == Accelerator.Tcg ? spec.MemoryBytes + TcgMemoryExtraBytes : spec.MemoryBytes;

    private static string[] Monitors(QemuLaunch launch) =>
    [
        "-qmp", $"unix:{Escaped(launch.Home.QmpSocket(launch.Incarnation))},server=on,wait=off",
        "-qmp", $"unix:{Escaped(launch.Home.SpareQmpSocket(launch.Incarnation))},server=on,wait=off",
    ];

    private static string[] Console(QemuLaunch launch) =>
    [
        "-chardev", $"socket,id=console0,path={Escaped(launch.Home.ConsoleSocket(launch.Incarnation))},server=on,wait=off"
            + $",logfile={Escaped(launch.Home.ConsoleLog(launch.Incarnation))},logappend=on",
        "-device", Json(new() { ["driver"] = "isa-serial", ["id"] = "serial0", ["chardev"] = "console0" }),
    ];

    /// <summary>
    /// The card that every firmware, boot loader and system can draw on, and a pointer that is where the viewer's is. QEMU listens
    /// in the VM's run directory, as with the serial line: who may get there is the VM's uid, and the agent.
    /// </summary>
    private static string[] Screen(QemuLaunch launch) => launch.Spec.Display == Display.None ? [] :
    [
        "-device", Json(new()
        {
            ["driver"] = "VGA", ["id"] = "vga0", ["vgamem_mb"] = VgaMemoryMiB,
            ["bus"] = RootBus(launch.Spec), ["addr"] = Text($"0x{VgaSlot:x}"),
        }),
        "-device", Json(new()
        {
            ["driver"] = "qemu-xhci", ["id"] = "usb0", ["bus"] = RootBus(launch.Spec), ["addr"] = Text($"0x{UsbSlot:x}"),
        }),
        "-device", Json(new() { ["driver"] = "usb-tablet", ["id"] = "tablet0", ["bus"] = "usb0.0", ["port"] = "1" }),
        "-vnc", $"unix:{Escaped(launch.Home.DisplaySocket(launch.Incarnation))},share=force-shared",
    ];

    private static IEnumerable<string> Disk(VmSpec spec, int index, HostLayout layout, bool readOnly)
    {
        var (disk, node) = (spec.Disks[index], DiskNode(index));
        var pool = layout.Pools.GetValueOrDefault(disk.Pool) ?? throw new RefusedException("pool-unknown",
            $"{spec.Name} has a disk in pool '{disk.Pool}', which this host does not have",
            "give the agent that pool with --pool NAME=DIRECTORY, or choose another host");

        // The chain is spelt out, file by file: what an image's own header names is never opened.
        if (disk.BackingFile is { } backing)
        {
            yield return "-blockdev";
            yield return Json(FileNode($"{node}-backing-file", pool, backing, readOnly: true));
            yield return "-blockdev";
            yield return Json(FormatNode($"{node}-backing", VmSpecRules.FormatOf(backing), readOnly: true));
        }
        yield return "-blockdev";
        yield return Json(FileNode($"{node}-file", pool, disk.File, readOnly));
        yield return "-blockdev";
        var format = FormatNode(node, disk.Format, readOnly);
        if (disk.Format == "qcow2") format["backing"] = disk.BackingFile is null ? null : $"{node}-backing";
        yield return Json(format);
        yield return "-device";
        yield return Json(new()
        {
            ["driver"] = "virtio-blk-pci", ["id"] = $"vd{index}", ["drive"] = node, ["write-cache"] = "on",
            // Storage that fails under the guest stops it: it goes on where it was, instead of being told that its disk is broken.
            ["rerror"] = "stop", ["werror"] = "stop",
            ["bus"] = RootBus(spec), ["addr"] = Text($"0x{FirstDiskSlot + index:x}"), ["bootindex"] = index,
        });
    }

    private static JsonObject FileNode(string node, PoolPlace pool, string file, bool readOnly) => new()
    {
        ["node-name"] = node, ["driver"] = "file", ["filename"] = Path.Combine(pool.Directory, file),
        ["read-only"] = readOnly, ["auto-read-only"] = false, ["locking"] = "on", ["aio"] = "threads",
        ["discard"] = "unmap",
        ["cache"] = new JsonObject { ["direct"] = pool.DirectIo, ["no-flush"] = false },
    };

    private static JsonObject FormatNode(string node, string format, bool readOnly) => new()
    {
        ["node-name"] = node, ["driver"] = format, ["file"] = $"{node}-file",
        ["read-only"] = readOnly, ["auto-read-only"] = false, ["discard"] = "unmap",
    };

    private static string[] Nic(VmSpec spec, int index, string tap) =>
    [
        "-netdev", Json(new()
        {
            ["type"] = "tap", ["id"] = $"net{index}", ["ifname"] = tap,
            ["script"] = "no", ["downscript"] = "no", ["vhost"] = false,
        }),
        "-device", Json(new()
        {
            ["driver"] = "virtio-net-pci", ["id"] = $"nic{index}", ["netdev"] = $"net{index}",
            ["mac"] = spec.Nics[index].Mac, ["romfile"] = "",
            ["bus"] = RootBus(spec), ["addr"] = Text($"0x{FirstNicSlot + index:x}"),
        }),
    ];

    private static string RootBus(VmSpec spec) => VmSpecRules.IsQ35(spec) ? "pcie.0" : "pci.0";

    private static string Json(JsonObject value) => value.ToJsonString();

    /// <summary>In QEMU's key=value options a comma ends the value; a doubled one stands for itself.</summary>
    private static string Escaped(string path) => path.Replace(",", ",,", StringComparison.Ordinal);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
