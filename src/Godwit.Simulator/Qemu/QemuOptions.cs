using System.Globalization;
using System.Text.Json.Nodes;
using Godwit.Core.Ports;

namespace Godwit.Simulator.Qemu;

/// <summary>What the simulated QEMU understands of its command line. Throws for what it does not: nothing is guessed.</summary>
public sealed record QemuOptions
{
    public required string Name { get; init; }
    public required string Uuid { get; init; }
    public required string MachineType { get; init; }
    public required string CpuModel { get; init; }
    public required long MemoryBytes { get; init; }
    public required int Cpus { get; init; }
    /// <summary>The file behind guest memory; processes that map the same one share it.</summary>
    public required string MemoryPath { get; init; }
    public required bool StartsStopped { get; init; }
    public required bool Incoming { get; init; }
    public required bool StaysAfterShutdown { get; init; }
    public required bool SuppressDescription { get; init; }
    public required IReadOnlyList<string> MonitorPaths { get; init; }
    public required IReadOnlyList<string> SocketPaths { get; init; }
    /// <summary>Where it shows the guest's display; null: it has none.</summary>
    public string? DisplayPath { get; init; }
    public required IReadOnlyList<DiskNode> Disks { get; init; }
    public required IReadOnlyList<string> Taps { get; init; }
    public required IReadOnlyList<JsonObject> Devices { get; init; }

    public IEnumerable<string> DeviceIds => Devices.Select(d => d["id"]!.GetValue<string>());

    /// <summary>Started only to be asked what it can do: -machine none.</summary>
    public bool IsProbe => MachineType == "none";

    public sealed record DiskNode(string Node, string File, bool ReadOnly);

    public static QemuOptions Parse(Command command)
    {
        var words = new Words(command.Arguments);
        var machine = words.Last("-machine") ?? "";
        var memory = words.Json("-object").FirstOrDefault(o => Text(o, "qom-type") == "memory-backend-file");
        return new QemuOptions
        {
            Name = Part(words.Last("-name") ?? "", "guest") ?? "",
            Uuid = words.Last("-uuid") ?? "",
            MachineType = machine.Split(',')[0],
            CpuModel = (words.Last("-cpu") ?? "qemu64").Split(',')[0],
            MemoryBytes = memory?["size"]?.GetValue<long>() ?? 0,
            Cpus = int.Parse(Part(words.Last("-smp") ?? "cpus=1", "cpus") ?? "1", CultureInfo.InvariantCulture),
            MemoryPath = memory is null ? "" : Text(memory, "mem-path")!,
            StartsStopped = words.Has("-S"),
            Incoming = words.Last("-incoming") switch
            {
                null => false,
                "defer" => true,
                var other => throw new NotSupportedException($"the simulator does not model: -incoming {other}"),
            },
            StaysAfterShutdown = words.Has("-no-shutdown"),
            SuppressDescription = Part(machine, "suppress-vmdesc") == "on",
            MonitorPaths = [.. words.All("-qmp").Select(q => q["unix:".Length..].Split(',')[0])],
            SocketPaths = [.. words.All("-chardev").Select(c => Part(c, "path")).OfType<string>()],
            DisplayPath = words.Last("-vnc") switch
            {
                null => null,
                var at when at.StartsWith("unix:", StringComparison.Ordinal) => at["unix:".Length..].Split(',')[0],
                var other => throw new NotSupportedException($"the simulator does not model: -vnc {other}"),
            },
            Disks = [.. words.Json("-blockdev").Where(b => Text(b, "driver") == "file")
                .Select(b => new DiskNode(Text(b, "node-name")!, Text(b, "filename")!, b["read-only"]?.GetValue<bool>() ?? false))],
            Taps = [.. words.Json("-netdev").Where(n => Text(n, "type") == "tap").Select(n => Text(n, "ifname")!)],
            Devices = words.Json("-device"),
        };
    }

    private static string? Text(JsonObject from, string name) => from[name]?.GetValue<string>();

    /// <summary>The value of <paramref name="key"/> in "a,key=value,…".</summary>
    private static string? Part(string list, string key) =>
        list.Split(',').Select(p => p.Split('=', 2)).FirstOrDefault(p => p.Length == 2 && p[0] == key)?[1];

    private sealed class Words(IReadOnlyList<string> words)
    {
        public bool Has(string option) => words.Contains(option);
        public string? Last(string option) => All(option).LastOrDefault();
        public IEnumerable<string> All(string option) =>
            words.Select((word, i) => (word, i)).Where(w => w.word == option).Select(w => words[w.i + 1]);
        public List<JsonObject> Json(string option) => [.. All(option).Select(v => JsonNode.Parse(v)!.AsObject())];
    }
}
