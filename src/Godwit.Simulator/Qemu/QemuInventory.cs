using System.Globalization;
using System.Text.Json.Nodes;

namespace Godwit.Simulator.Qemu;

/// <summary>Answers about what the machine is made of, from its command line.</summary>
internal static class QemuInventory
{
    private const string Peripheral = "/machine/peripheral";
    /// <summary>What the node of a disk's file has after the disk's own name.</summary>
    internal const string FileNode = "-file";
    private static readonly string[] Machines = ["pc-q35-7.2", "pc-i440fx-7.2", "pc-q35-7.1", "microvm", "none"];
    private static readonly string[] Models = ["Nehalem-v1", "Westmere-v1", "qemu64-v1"];

    /// <summary>Null where it is no question of this kind.</summary>
    public static JsonNode? Answer(SimQemu qemu, string command, JsonObject arguments) => command switch
    {
        "query-pci" => new JsonArray(new JsonObject { ["bus"] = 0, ["devices"] = PciDevices(qemu) }),
        "query-block" => new JsonArray([.. Disks(qemu).Select(d => (JsonNode)new JsonObject
        {
            ["device"] = "", ["qdev"] = d["id"]!.DeepClone(), ["locked"] = false, ["removable"] = false, ["type"] = "unknown",
            ["io-status"] = "ok", ["inserted"] = Node(qemu, d["drive"]!.GetValue<string>()),
        })]),
        "query-named-block-nodes" => new JsonArray([.. qemu.Options.Disks.SelectMany(d => (JsonNode[])
            [Node(qemu, d.Node), Node(qemu, d.Node[..^FileNode.Length])])]),
        "query-vnc-servers" => new JsonArray(), // Of a QEMU that was built with VNC; the probe's question.
        "query-memdev" => new JsonArray(new JsonObject
        {
            ["id"] = "ram0", ["size"] = qemu.Options.MemoryBytes, ["share"] = true, ["prealloc"] = false,
            ["merge"] = true, ["dump"] = true, ["host-nodes"] = new JsonArray(), ["policy"] = "default",
        }),
        "query-cpus-fast" => new JsonArray([.. Enumerable.Range(0, qemu.Options.Cpus).Select(c => (JsonNode)new JsonObject
        {
            ["cpu-index"] = c, ["thread-id"] = qemu.Process.Pid * 100 + c, ["target"] = "x86_64",
            ["qom-path"] = string.Create(CultureInfo.InvariantCulture, $"/machine/unattached/device[{c}]"),
        })]),
        "qom-list" => Properties(qemu, arguments["path"]!.GetValue<string>()),
        "qom-get" => Property(qemu, arguments["path"]!.GetValue<string>(), arguments["property"]!.GetValue<string>()),
        "query-machines" => new JsonArray([.. Machines.Select(m => (JsonNode)new JsonObject
        {
            ["name"] = m, ["cpu-max"] = 288, ["hotpluggable-cpus"] = true, ["numa-mem-supported"] = true, ["deprecated"] = false,
        })]),
        "query-cpu-definitions" => new JsonArray([.. Models.Select(m => (JsonNode)new JsonObject
        {
            ["name"] = m, ["typename"] = $"{m}-x86_64-cpu", ["unavailable-features"] = new JsonArray(),
            ["migration-safe"] = true, ["static"] = false, ["deprecated"] = false,
        })]),
        _ => null,
    };

    private static JsonArray Properties(SimQemu qemu, string path)
    {
        if (path == Peripheral)
            return new JsonArray([.. qemu.Options.Devices.Select(d => (JsonNode)new JsonObject
            {
                ["name"] = d["id"]!.DeepClone(), ["type"] = $"child<{d["driver"]!.GetValue<string>()}>",
            })]);
        var device = qemu.Options.Devices.FirstOrDefault(d => path == $"{Peripheral}/{d["id"]!.GetValue<string>()}")
            ?? throw new QemuErrorException($"Device '{path}' not found", "DeviceNotFound");
        return new JsonArray([.. device.Select(p => (JsonNode)new JsonObject { ["name"] = p.Key, ["type"] = "str" })]);
    }

    private static JsonNode Property(SimQemu qemu, string path, string property)
    {
        if (property == "type") return path == "/machine" ? $"{qemu.Options.MachineType}-machine" : $"{qemu.Options.CpuModel}-x86_64-cpu";
        return qemu.Options.Devices.FirstOrDefault(d => path == $"{Peripheral}/{d["id"]!.GetValue<string>()}")?[property]?.DeepClone()
            ?? throw new QemuErrorException($"Property '{path}.{property}' not found");
    }

    private static IEnumerable<JsonObject> Disks(SimQemu qemu) => qemu.Options.Devices.Where(d => d["drive"] is not null);

    private static JsonObject Node(SimQemu qemu, string node)
    {
        var file = qemu.Options.Disks.FirstOrDefault(d => d.Node == node || d.Node == node + FileNode);
        var bytes = file is null ? 0 : qemu.Host.Storage.Find(file.File)?.Bytes ?? 0;
        return new JsonObject
        {
            ["node-name"] = node, ["drv"] = "qcow2", ["file"] = file?.File ?? "", ["ro"] = file?.ReadOnly ?? false,
            ["image"] = new JsonObject { ["virtual-size"] = bytes, ["filename"] = file?.File ?? "", ["format"] = "qcow2",
                ["snapshots"] = new JsonArray([.. (qemu.Host.Storage.Find(file?.File ?? "")?.Snapshots.Keys ?? Enumerable.Empty<string>())
                    .Select(name => (JsonNode)new JsonObject { ["name"] = name })]) },
        };
    }

    private static JsonArray PciDevices(SimQemu qemu)
    {
        var devices = new JsonArray(Pci(0, 0x8086, 0x29C0, 0x0600, ""), Pci(31, 0x8086, 0x2918, 0x0601, ""));
        foreach (var device in qemu.Options.Devices.Where(d => d["addr"] is not null))
        {
            var slot = int.Parse(device["addr"]!.GetValue<string>().AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            var isDisk = device["drive"] is not null;
            devices.Add(Pci(slot, 0x1AF4, isDisk ? 0x1042 : 0x1041, isDisk ? 0x0100 : 0x0200, device["id"]!.GetValue<string>()));
        }
        return devices;
    }

    private static JsonObject Pci(int slot, int vendor, int device, int kind, string id) => new()
    {
        ["bus"] = 0, ["slot"] = slot, ["function"] = 0, ["qdev_id"] = id, ["irq_pin"] = 0, ["regions"] = new JsonArray(),
        ["class_info"] = new JsonObject { ["class"] = kind },
        ["id"] = new JsonObject
        {
            ["vendor"] = vendor, ["device"] = device, ["subsystem-vendor"] = 0x1AF4, ["subsystem"] = 0x1100,
        },
    };
}
