using System.Text.Json;
using System.Text.Json.Serialization;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Machines;

/// <summary>Owner records on disk, one file a VM.</summary>
public sealed class OwnerRecords(IDisk disk, HostLayout layout)
{
    private const int BytesMax = 256 << 10;

    /// <summary>Null where this host knows nothing of the VM. Throws <see cref="IOException"/> for a file that is not a record.</summary>
    public async Task<OwnerRecord?> ReadAsync(VmId vm, CancellationToken cancel)
    {
        var path = VmHome.On(layout, vm).OwnerRecordFile;
        var bytes = await disk.ReadAsync(path, BytesMax, cancel);
        if (bytes is null) return null;
        try
        {
            var record = JsonSerializer.Deserialize(bytes, OwnerRecordJson.Default.OwnerRecord);
            if (record is not { Format: OwnerRecord.FormatNow } || record.Spec.Id != vm)
                throw new IOException($"{path} is of another VM or another version of Godwit; nothing was changed");
            return record;
        }
        catch (JsonException broken)
        {
            throw new IOException($"{path} is not an owner record: {broken.Message}", broken);
        }
    }

    /// <summary>Durable on return.</summary>
    public async Task WriteAsync(OwnerRecord record, CancellationToken cancel)
    {
        var home = VmHome.On(layout, record.Spec.Id);
        var bytes = JsonSerializer.SerializeToUtf8Bytes(record, OwnerRecordJson.Default.OwnerRecord);
        Invariant.Holds(bytes.Length <= BytesMax);
        await disk.CreateDirectoryAsync(home.State);
        await disk.WriteDurablyAsync(home.OwnerRecordFile, bytes, cancel);
    }

    /// <summary>The VMs that have a directory here; whether there is a record in it, reading tells.</summary>
    public IReadOnlyList<VmId> List() =>
        [.. disk.List(VmHome.VmsIn(layout.StateDirectory)).Where(n => n.StartsWith("vm-", StringComparison.Ordinal))
            .Select(n => new VmId(n))];

    /// <summary>The record goes first: a crash after that leaves only files nobody reads.</summary>
    public void Forget(VmId vm)
    {
        var home = VmHome.On(layout, vm);
        disk.DeleteFile(home.OwnerRecordFile);
        disk.DeleteDirectory(home.State);
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(OwnerRecord))]
internal sealed partial class OwnerRecordJson : JsonSerializerContext;
