using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>
/// Snapshots inside the disks' own files. QEMU's main loop, and with it the monitor and the guest's disks, stands still while the
/// tables of a disk are written: milliseconds for a small one. Errors as <see cref="QmpClient.ExecuteAsync"/>.
/// </summary>
public static class QmpSnapshotCommands
{
    /// <summary>All nodes at one moment, or none.</summary>
    /// <param name="nodes">Node names of the disks.</param>
    public static Task MakeDiskSnapshotsAsync(
        this QmpClient qmp, IEnumerable<string> nodes, string name, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("transaction", new JsonObject
        {
            ["actions"] = new JsonArray([.. nodes.Select(node => (JsonNode)new JsonObject
            {
                ["type"] = "blockdev-snapshot-internal-sync",
                ["data"] = new JsonObject { ["device"] = node, ["name"] = name },
            })]),
        }, deadline, cancel);

    public static Task DeleteDiskSnapshotAsync(
        this QmpClient qmp, string node, string name, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("blockdev-snapshot-delete-internal-sync", new JsonObject { ["device"] = node, ["name"] = name }, deadline, cancel);
}
