using System.Buffers;
using System.Text.Json;

namespace Godwit.Wire;

/// <summary>The devices of a VM as the source's VMDESCRIPTION names them, in stream order.</summary>
public sealed record VmDescription(long PageSizeBytes, IReadOnlyList<DescribedDevice> Devices)
{
    private const int DevicesMax = 65_536;

    /// <summary>InvalidData where it is no JSON or not of the known shape; other members are ignored.</summary>
    public static OperationStatus TryRead(ReadOnlySpan<byte> json, out VmDescription? description)
    {
        description = null;
        try
        {
            var root = JsonElement.Parse(json);
            var devices = new List<DescribedDevice>();
            foreach (var device in root.GetProperty("devices").EnumerateArray())
            {
                if (devices.Count >= DevicesMax) return OperationStatus.InvalidData;
                devices.Add(new DescribedDevice(
                    device.GetProperty("name").GetString() ?? "", device.GetProperty("instance_id").GetInt64()));
            }
            description = new VmDescription(root.GetProperty("page_size").GetInt64(), devices);
            return OperationStatus.Done;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return OperationStatus.InvalidData; // The parser throws; this codec does not.
        }
    }
}

public sealed record DescribedDevice(string Name, long InstanceId);
