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
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public static async Task<IReadOnlyList<string>> ListAsync(QemuInstance qemu)
    {
        var lines = new List<string>();
        foreach (var device in await qemu.Qmp.QueryPciAsync(Deadline, CancellationToken.None))
            lines.Add(string.Create(CultureInfo.InvariantCulture,
                $"pci {device.Bus}:{device.Slot:x2}.{device.Function} {device.Vendor:x4}:{device.Device:x4} {device.QdevId}"));
        foreach (var property in await qemu.Qmp.QomListAsync("/machine/peripheral", Deadline, CancellationToken.None))
            if (property.ChildType is { } type) lines.Add($"device {property.Name} {type}");
        foreach (var memory in await qemu.Qmp.QueryMemdevAsync(Deadline, CancellationToken.None))
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"memory {memory.Id} {memory.SizeBytes} share={memory.Share}"));
        foreach (var disk in await qemu.Qmp.QueryBlockAsync(Deadline, CancellationToken.None))
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"disk {disk.Qdev} {disk.Inserted?.VirtualBytes ?? 0}"));
        var cpus = await qemu.Qmp.QueryCpusFastAsync(Deadline, CancellationToken.None);
        lines.Add(string.Create(CultureInfo.InvariantCulture, $"cpus {cpus.Count}"));
        lines.Sort(StringComparer.Ordinal);
        return lines;
    }
}
