using System.Globalization;
using Godwit.Agent.Machines;
using Godwit.Qmp;

namespace Godwit.Agent.Facts;

/// <summary>
/// The machine as the guest sees it, one line a device, sorted: asked of the running QEMU, not of its command line, so
/// that what was plugged in since is in it. Equal on two hosts, and on QEMU 7.2 and 10, for the same machine.
/// QEMU itself does not notice a device that only the target has (reliability 2.3).
/// </summary>
public static class CanonicalDevices
{
    private const string Peripheral = "/machine/peripheral";
    /// <summary>Properties of a device that a guest can tell apart and its PCI identity does not show.</summary>
    private static readonly string[] Telling = ["mac", "serial"];
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    /// <summary>Throws <see cref="QmpException"/>.</summary>
    public static async Task<IReadOnlyList<string>> ListAsync(QemuInstance qemu)
    {
        var lines = new List<string> { Text($"machine {await TypeAsync(qemu, "/machine")}") };
        foreach (var device in await qemu.Qmp.QueryPciAsync(Deadline, CancellationToken.None))
        {
            var (at, function) = (Text($"{device.Bus}:{device.Slot:x2}"), device.Function);
            var subsystem = Text($"{device.SubsystemVendor ?? 0:x4}:{device.Subsystem ?? 0:x4}");
            lines.Add(Text($"pci {at}.{function} {device.Vendor:x4}:{device.Device:x4} {subsystem} {device.QdevId}").TrimEnd());
        }
        foreach (var property in await qemu.Qmp.QomListAsync(Peripheral, Deadline, CancellationToken.None))
        {
            if (property.ChildType is { } type)
                lines.Add($"device {property.Name} {type}{await TellingAsync(qemu, property.Name)}");
        }
        foreach (var memory in await qemu.Qmp.QueryMemdevAsync(Deadline, CancellationToken.None))
            lines.Add(Text($"memory {memory.Id} {memory.SizeBytes}"));
        foreach (var disk in await qemu.Qmp.QueryBlockAsync(Deadline, CancellationToken.None))
            lines.Add(Text($"disk {disk.Qdev} {disk.Inserted?.VirtualBytes ?? 0}"));
        var cpus = await qemu.Qmp.QueryCpusFastAsync(Deadline, CancellationToken.None);
        foreach (var cpu in cpus) lines.Add(Text($"cpu {cpu.Index} {await TypeAsync(qemu, cpu.QomPath)}"));
        lines.Sort(StringComparer.Ordinal);
        return lines;
    }

    private static async Task<string> TellingAsync(QemuInstance qemu, string device)
    {
        var path = $"{Peripheral}/{device}";
        var has = await qemu.Qmp.QomListAsync(path, Deadline, CancellationToken.None);
        var words = "";
        foreach (var name in Telling.Where(t => has.Any(p => p.Name == t && p.ChildType is null)))
            words += $" {name}={await qemu.Qmp.QomGetAsync(path, name, Deadline, CancellationToken.None)}";
        return words;
    }

    private static async Task<string> TypeAsync(QemuInstance qemu, string path) =>
        (await qemu.Qmp.QomGetAsync(path, "type", Deadline, CancellationToken.None)).ToString();

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
