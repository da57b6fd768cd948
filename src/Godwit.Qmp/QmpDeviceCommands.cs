using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>Questions about what the guest is built of. Errors as <see cref="QmpClient.ExecuteAsync"/>.</summary>
public static class QmpDeviceCommands
{
    /// <summary>
    /// PCI functions, bridges before what is behind them. Bus numbers are the guest firmware's doing: before it ran,
    /// nothing behind a bridge is listed.
    /// </summary>
    public static async Task<IReadOnlyList<QmpPciDevice>> QueryPciAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-pci", null, deadline, cancel);
        var found = new List<QmpPciDevice>();
        foreach (var bus in answer.Items(b => b)) QmpPciDevice.ReadAll(bus, found);
        return found;
    }

    /// <summary>Whether this QEMU was built with VNC: asked for its servers, one without does not know the command.</summary>
    public static async Task<bool> HasVncAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        try
        {
            await qmp.ExecuteAsync("query-vnc-servers", null, deadline, cancel);
            return true;
        }
        catch (QmpException without) when (without.ErrorClass == "CommandNotFound")
        {
            return false;
        }
    }

    public static async Task<IReadOnlyList<QmpBlockDevice>> QueryBlockAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-block", null, deadline, cancel);
        return answer.Items(b => new QmpBlockDevice(
            b.Text("device"), b.TextOrNull("qdev") ?? "", b.Flag("removable"), b.TextOrNull("io-status"),
            b.ObjectOrNull("inserted") is { } node ? QmpBlockNode.Read(node) : null));
    }

    public static async Task<IReadOnlyList<QmpBlockNode>> QueryNamedBlockNodesAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        (await qmp.ExecuteAsync("query-named-block-nodes", null, deadline, cancel)).Items(QmpBlockNode.Read);

    public static async Task<IReadOnlyList<QmpMemoryBackend>> QueryMemdevAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-memdev", null, deadline, cancel);
        return answer.Items(m => new QmpMemoryBackend(
            m.TextOrNull("id") ?? "", m.Number("size"), m.FlagOrNull("share") ?? false, m.FlagOrNull("prealloc") ?? false));
    }

    public static async Task<IReadOnlyList<QmpQomProperty>> QomListAsync(
        this QmpClient qmp, string path, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("qom-list", new JsonObject { ["path"] = path }, deadline, cancel);
        return answer.Items(p => new QmpQomProperty(p.Text("name"), p.Text("type")));
    }

    /// <summary>A property's value, of any JSON kind.</summary>
    public static Task<JsonElement> QomGetAsync(
        this QmpClient qmp, string path, string property, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("qom-get", new JsonObject { ["path"] = path, ["property"] = property }, deadline, cancel);

    public static async Task<QmpSchema> QuerySchemaAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        QmpSchema.Read(await qmp.ExecuteAsync("query-qmp-schema", null, deadline, cancel));
}

/// <param name="Type">"string", "bool", "link&lt;…&gt;", "child&lt;virtio-net-pci&gt;", …</param>
public sealed record QmpQomProperty(string Name, string Type)
{
    private const string ChildPrefix = "child<";

    /// <summary>The type of the object below, null where the property is a plain value.</summary>
    public string? ChildType =>
        Type.StartsWith(ChildPrefix, StringComparison.Ordinal) && Type.EndsWith('>') ? Type[ChildPrefix.Length..^1] : null;
}

/// <param name="Id">Empty for backends made without an id.</param>
public sealed record QmpMemoryBackend(string Id, long SizeBytes, bool Share, bool Prealloc);

/// <param name="Device">Name of an old-style drive; empty with -blockdev.</param>
/// <param name="Qdev">Path or id of the guest-visible device.</param>
/// <param name="IoStatus">"ok", "failed", "nospace"; null where the device does not tell.</param>
/// <param name="Inserted">Null for an empty drive.</param>
public sealed record QmpBlockDevice(string Device, string Qdev, bool Removable, string? IoStatus, QmpBlockNode? Inserted);

/// <param name="File">File name, or a json: description of a node without one.</param>
/// <param name="Active">Null before QEMU 10.0.</param>
public sealed record QmpBlockNode(
    string NodeName, string Driver, string File, bool ReadOnly, long VirtualBytes, bool? Active)
{
    /// <summary>Names of the snapshots inside the file.</summary>
    public IReadOnlyList<string> Snapshots { get; init; } = [];

    internal static QmpBlockNode Read(JsonElement node) => new(
        node.TextOrNull("node-name") ?? "", node.Text("drv"), node.Text("file"), node.Flag("ro"),
        node.Object("image").Number("virtual-size"), node.FlagOrNull("active"))
    { Snapshots = node.Object("image").Items("snapshots", s => s.Text("name")) };
}

public sealed record QmpPciDevice
{
    public required long Bus { get; init; }
    public required long Slot { get; init; }
    public required long Function { get; init; }
    public required long Vendor { get; init; }
    public required long Device { get; init; }
    public required long? SubsystemVendor { get; init; }
    public required long? Subsystem { get; init; }
    public required long Class { get; init; }
    /// <summary>The id given on the command line; empty for what the machine brings.</summary>
    public required string QdevId { get; init; }

    internal static void ReadAll(JsonElement bus, List<QmpPciDevice> found)
    {
        foreach (var device in bus.Items("devices", d => d))
        {
            found.Add(Read(device));
            if (device.ObjectOrNull("pci_bridge") is { } bridge) ReadAll(bridge, found); // Depth: the parser's limit.
        }
    }

    private static QmpPciDevice Read(JsonElement device)
    {
        var id = device.Object("id");
        return new QmpPciDevice
        {
            Bus = device.Number("bus"),
            Slot = device.Number("slot"),
            Function = device.Number("function"),
            Vendor = id.Number("vendor"),
            Device = id.Number("device"),
            SubsystemVendor = id.NumberOrNull("subsystem-vendor"),
            Subsystem = id.NumberOrNull("subsystem"),
            Class = device.Object("class_info").Number("class"),
            QdevId = device.Text("qdev_id"),
        };
    }
}
