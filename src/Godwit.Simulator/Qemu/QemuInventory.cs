using System.Globalization;
using System.Text.Json.Nodes;

namespace Godwit.Simulator.Qemu;

/// <summary>Answers about what the machine is made of, from its command line.</summary>
internal static class QemuInventory
{
    /// <summary>Null where it is no question of this kind.</summary>
    public static JsonNode? Answer(SimQemu qemu, string command) => command switch
    {
        "query-pci" => new JsonArray(new JsonObject { ["bus"] = 0, ["devices"] = PciDevices(qemu) }),
        "query-block" => new JsonArray([.. Disks(qemu).Select(d => (JsonNode)new JsonObject
        {
            ["device"] = "", ["qdev"] = d["id"]!.DeepClone(), ["locked"] = false, ["removable"] = false, ["type"] = "unknown",
            ["io-status"] = "ok", ["inserted"] = Node(qemu, d["drive"]!.GetValue<string>()),
        })]),
        "query-named-block-nodes" => new JsonArray([.. qemu.Options.Disks.Select(d => (JsonNode)Node(qemu, d.Node))]),
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
        _ => null,
    };

    private static IEnumerable<JsonObject> Disks(SimQemu qemu) => qemu.Options.Devices.Where(d => d["drive"] is not null);

    private static JsonObject Node(SimQemu qemu, string node)
    {
        var file = qemu.Options.Disks.FirstOrDefault(d => d.Node == node || d.Node == node + "-file");
        var bytes = file is null ? 0 : qemu.Host.Storage.Find(file.File)?.Bytes ?? 0;
        return new JsonObject
        {
            ["node-name"] = node, ["drv"] = "qcow2", ["file"] = file?.File ?? "", ["ro"] = file?.ReadOnly ?? false,
            ["image"] = new JsonObject { ["virtual-size"] = bytes, ["filename"] = file?.File ?? "", ["format"] = "qcow2" },
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
