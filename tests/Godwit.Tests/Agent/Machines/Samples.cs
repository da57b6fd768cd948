using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Tests.Agent.Machines;

internal static class Samples
{
    public const string Template = "template-0000000000000000000000000000000000000000000000000000000000000001.qcow2";

    public static readonly HostLayout Layout = new()
    {
        RunDirectory = "/run/godwit",
        StateDirectory = "/var/lib/godwit",
        Pools = new Dictionary<string, PoolPlace> { ["main"] = new("/srv/main", DirectIo: true) },
        QemuPaths = ["/usr/bin/qemu-system-x86_64"],
    };

    public static VmSpec Spec => new()
    {
        Id = new VmId("vm-0123456789ab"),
        Name = "web1",
        Uuid = "6f1f6f5e-0b1c-4a39-9a52-0d2f1f1f2a01",
        Cpus = 2,
        MemoryBytes = 512L << 20,
        MachineType = "pc-q35-7.2",
        CpuModel = "Nehalem-v1",
        Accelerator = Accelerator.Tcg,
        Disks = [new DiskSpec("main", "vm-0123456789ab-0.qcow2", "qcow2", 8L << 30, Template)],
        Nics = [new NicSpec("br0", "52:54:00:0a:0b:0c")],
        Uid = 20001,
    };

    public static VmHome Home => VmHome.On(Layout, Spec.Id);
}
