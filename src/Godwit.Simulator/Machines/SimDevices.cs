using System.Text.Json.Nodes;

namespace Godwit.Simulator.Machines;

/// <summary>The network devices of one host, as <c>ip</c> makes them and as /sys/class/net shows them.</summary>
public sealed class SimDevices(SimDisk disk)
{
    private const string Sys = "/sys/class/net";
    private readonly Dictionary<string, Device> _devices = [];

    private sealed class Device
    {
        public bool IsTap { get; init; }
        public bool IsUp { get; set; }
        public string? Master { get; set; }
    }

    public IEnumerable<string> Taps => _devices.Where(d => d.Value.IsTap).Select(d => d.Key).Order(StringComparer.Ordinal);

    public bool IsUp(string device) => _devices.TryGetValue(device, out var found) && found.IsUp;

    /// <summary>What is said on it others hear.</summary>
    public bool IsOnBridge(string device) => _devices.TryGetValue(device, out var found) && found.Master is not null;

    public void AddBridge(string name)
    {
        _devices[name] = new Device { IsUp = true };
        disk.CreateDirectory($"{Sys}/{name}/bridge");
    }

    /// <summary>As <c>ip -j -d addr</c> tells: the bridges, and the port the host itself is reached at.</summary>
    public string Json(string address)
    {
        var uplink = new JsonObject
        {
            ["ifname"] = "eth0", ["mtu"] = 1500,
            ["addr_info"] = new JsonArray(new JsonObject { ["scope"] = "global", ["local"] = address }),
        };
        var others = _devices.Select(d => (JsonNode)new JsonObject
        {
            ["ifname"] = d.Key, ["mtu"] = 1500, ["addr_info"] = new JsonArray(),
            ["linkinfo"] = new JsonObject { ["info_kind"] = d.Value.IsTap ? "tun" : "bridge" },
        });
        return new JsonArray([uplink, .. others]).ToJsonString();
    }

    /// <summary>One line of <c>ip -batch</c>. Null, or what ip would complain.</summary>
    public string? Apply(string line)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        switch (words)
        {
            case []: return null;
            case ["link", "del", "dev", var name]: return Delete(name);
            case ["tuntap", "add", "dev", var name, "mode", "tap", ..]: return AddTap(name);
            case ["link", "set", "dev", var name, .. var changes]: return Set(name, changes);
            default: throw new NotSupportedException($"the simulator does not model: ip {line}");
        }
    }

    /// <summary>Power is gone: taps are no more, bridges come back with the boot.</summary>
    internal void Forget()
    {
        foreach (var tap in Taps.ToList()) Delete(tap);
    }

    private string? AddTap(string name)
    {
        if (name.Length > 15) return $"Error: argument \"{name}\" is wrong: \"dev\" not a valid ifname";
        if (_devices.ContainsKey(name)) return "ioctl(TUNSETIFF): Device or resource busy";
        _devices[name] = new Device { IsTap = true };
        disk.CreateDirectory($"{Sys}/{name}");
        return null;
    }

    private string? Delete(string name)
    {
        if (!_devices.Remove(name)) return $"Cannot find device \"{name}\"";
        disk.DeleteDirectory($"{Sys}/{name}");
        return null;
    }

    private string? Set(string name, string[] changes)
    {
        if (!_devices.TryGetValue(name, out var device)) return $"Cannot find device \"{name}\"";
        for (var i = 0; i < changes.Length; i++)
        {
            switch (changes[i])
            {
                case "up": device.IsUp = true; break;
                case "down": device.IsUp = false; break;
                case "addrgenmode" or "mtu": i++; break;
                case "master" when _devices.ContainsKey(changes[++i]): device.Master = changes[i]; break;
                case "master": return $"Error: argument \"{changes[i]}\" is wrong: Device does not exist";
                default: throw new NotSupportedException($"the simulator does not model: ip link set {changes[i]}");
            }
        }
        return null;
    }
}
