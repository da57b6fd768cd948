using System.Globalization;
using System.Text.Json.Nodes;
using Godwit.Core.Ports;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Machines;

/// <summary>The programs that are installed on every simulated host. What is asked of them beyond that ends the run.</summary>
public sealed class SimPrograms(GuestLedger ledger)
{
    private static readonly CommandResult Fine = new(0, "", "");

    public static CommandResult Run(SimHost host, Command command)
    {
        string[] words = [Path.GetFileName(command.Program), .. command.Arguments];
        while (words is ["prlimit", ..]) words = [.. words.Skip(1).SkipWhile(w => w.StartsWith("--", StringComparison.Ordinal))];
        return words switch
        {
            ["ip", "-batch", "-"] => Batch(host, command.Input ?? ""),
            ["ip", "-j", "-d", "addr"] => new CommandResult(0, host.Devices.Json(host.Address), ""),
            ["qemu-img", "create", .., var path, var bytes] => CreateImage(host, path, bytes),
            ["qemu-img", "info", "--output=json", var source] => Info(host, source),
            ["qemu-img", "snapshot", "-q", var act, var name, var source] => Snapshot(host, act, name, source),
            _ => Unknown(host, command),
        };
    }

    public SimProcess Start(SimHost host, Command command, string logPath)
    {
        var program = Path.GetFileName(command.Program);
        if (!program.StartsWith("qemu-system", StringComparison.Ordinal)) Unknown(host, command);
        var process = host.Start("qemu", [command.Program, .. command.Arguments]);
        host.Loop.Trace(host.Name, $"qemu {process.Pid} starts");
        try { SimQemu.Start(process, command, ledger, logPath); }
        catch (Exception unclear) { host.Loop.Fail(unclear); }
        return process;
    }

    private static CommandResult Batch(SimHost host, string script)
    {
        var number = 0;
        foreach (var line in script.Split('\n'))
        {
            number++;
            if (host.Devices.Apply(line) is { } complaint)
                return new CommandResult(1, "", $"{complaint}\nCommand failed -:{number}\n");
        }
        return Fine;
    }

    private static CommandResult CreateImage(SimHost host, string path, string bytes)
    {
        host.Storage.Create(path, long.Parse(bytes, CultureInfo.InvariantCulture));
        return Fine;
    }

    private static CommandResult Info(SimHost host, string source)
    {
        if (Opened(host, source, out var image) is { } refused) return refused;
        var snapshots = new JsonArray([.. image!.Snapshots.Keys.Select(name => (JsonNode)new JsonObject { ["name"] = name })]);
        return new CommandResult(0, new JsonObject { ["format"] = "qcow2", ["snapshots"] = snapshots }.ToJsonString(), "");
    }

    private static CommandResult Snapshot(SimHost host, string act, string name, string source)
    {
        if (Opened(host, source, out var image) is { } refused) return refused;
        var isThere = image!.Snapshots.TryGetValue(name, out var counter);
        if (act != "-c" && !isThere) return new CommandResult(1, "", $"qemu-img: Could not find snapshot '{name}'");
        if (act == "-c") image.Snapshots[name] = image.LastWrite;
        else if (act == "-d") image.Snapshots.Remove(name);
        else (image.LastWrite, image.IsReverted) = (counter, true);
        return Fine;
    }

    private static CommandResult? Opened(SimHost host, string source, out SimImage? image)
    {
        var file = JsonNode.Parse(source["json:".Length..])!["file"]!["filename"]!.GetValue<string>();
        image = host.Storage.Find(file);
        return image is null ? new CommandResult(1, "", $"qemu-img: Could not open '{file}': No such file or directory")
            : image.IsHeld && host.Storage.LocksWork ? new CommandResult(1, "", "qemu-img: Failed to get \"write\" lock") : null;
    }

    private static CommandResult Unknown(SimHost host, Command command)
    {
        var asked = $"the simulator does not model: {command.Program} {string.Join(' ', command.Arguments)}";
        host.Loop.Fail(new NotSupportedException(asked));
        return new CommandResult(127, "", asked);
    }
}
