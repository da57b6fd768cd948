using System.Text.Json.Nodes;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The monitor commands the agent uses, with 7.2's answers and refusals. A command 7.2 has and the simulator does not
/// ends the run: silence would look like a fault of the product.
/// </summary>
internal sealed class QemuCommands(SimQemu qemu)
{
    private static readonly string[] Capabilities =
    [
        "xbzrle", "rdma-pin-all", "auto-converge", "zero-blocks", "compress", "events", "postcopy-ram", "x-colo",
        "release-ram", "block", "return-path", "pause-before-switchover", "multifd", "dirty-bitmaps",
        "postcopy-blocktime", "late-block-activate", "x-ignore-shared", "validate-uuid", "background-snapshot",
        "zero-copy-send", "postcopy-preempt",
    ];

    /// <summary>Commands newer QEMUs have and 7.2 does not: the honest answer is CommandNotFound.</summary>
    private static readonly HashSet<string> Newer = ["blockdev-set-active", "query-stats-filters", "block-job-change"];

    public JsonNode Execute(string command, JsonObject arguments) => command switch
    {
        "qmp_capabilities" => new JsonObject(),
        "query-status" => new JsonObject
        {
            ["running"] = qemu.IsRunning, ["singlestep"] = false, ["status"] = qemu.RunState,
        },
        "query-version" => new JsonObject
        {
            ["qemu"] = new JsonObject { ["major"] = 7, ["minor"] = 2, ["micro"] = 22 }, ["package"] = "simulated",
        },
        "query-uuid" => new JsonObject { ["UUID"] = qemu.Options.Uuid },
        "query-kvm" => new JsonObject { ["enabled"] = false, ["present"] = false },
        "stop" => Stop(),
        "cont" => Cont(),
        "quit" => Did(qemu.Quit),
        "system_powerdown" => Did(() => _ = qemu.PowerButtonAsync()),
        "announce-self" => Did(() => qemu.HasAnnounced = true),
        "set_link" => new JsonObject(),
        "migrate" => Did(() => qemu.Outgoing.Start(Text(arguments, "uri"))),
        "migrate_cancel" => Did(qemu.Outgoing.Cancel),
        "migrate-continue" => Did(() => qemu.Outgoing.Continue(Text(arguments, "state"))),
        "migrate-incoming" => Did(() => qemu.Incoming.Start(Text(arguments, "uri"))),
        "migrate-recover" => Did(() => qemu.Incoming.Recover(Text(arguments, "uri"))),
        "query-migrate" => qemu.Outgoing.Status != "none" ? qemu.Outgoing.Query() : qemu.Incoming.Query(),
        "migrate-set-capabilities" => SetCapabilities(arguments),
        "query-migrate-capabilities" => new JsonArray([.. Capabilities.Select(c => new JsonObject
        {
            ["capability"] = c, ["state"] = qemu.Capabilities.GetValueOrDefault(c),
        })]),
        "migrate-set-parameters" => SetParameters(arguments),
        "query-migrate-parameters" => new JsonObject
        {
            ["max-bandwidth"] = qemu.Parameters.MaxBandwidthBytesPerSecond,
            ["downtime-limit"] = qemu.Parameters.DowntimeLimitMs,
        },
        "transaction" => Did(() => qemu.MakeSnapshots([.. arguments["actions"]!.AsArray().Select(a => SnapshotOf(a!.AsObject()))])),
        "blockdev-snapshot-delete-internal-sync" => Did(() => qemu.DropSnapshot(Text(arguments, "device"), Text(arguments, "name"))),
        _ => QemuInventory.Answer(qemu, command, arguments) ?? throw Unknown(command),
    };

    private (string Node, string Name) SnapshotOf(JsonObject action) => Text(action, "type") == "blockdev-snapshot-internal-sync"
        ? (Text(action["data"]!.AsObject(), "device"), Text(action["data"]!.AsObject(), "name")) : throw Unknown(Text(action, "type"));

    private QemuErrorException Unknown(string command)
    {
        if (!Newer.Contains(command))
            qemu.Host.Loop.Fail(new NotSupportedException($"the simulator does not model the QMP command {command}"));
        return new QemuErrorException($"The command {command} has not been found", "CommandNotFound");
    }

    private JsonObject Stop()
    {
        if (qemu.RunState == "inmigrate") qemu.AutoStart = false;
        else if (qemu.IsRunning) qemu.StopVcpus("paused");
        return [];
    }

    private JsonObject Cont()
    {
        if (qemu.RunState is "shutdown" or "internal-error")
            throw new QemuErrorException("Resetting the Virtual Machine is required");
        if (qemu.RunState == "finish-migrate") throw new QemuErrorException("Migration is not finalized yet");
        if (qemu.ActivateDisks() is { } refused) throw new QemuErrorException(refused);
        if (qemu.RunState == "inmigrate") qemu.AutoStart = true;
        else qemu.StartVcpus();
        return [];
    }

    private JsonObject SetCapabilities(JsonObject arguments)
    {
        foreach (var wish in arguments["capabilities"]!.AsArray())
        {
            var name = wish!["capability"]!.GetValue<string>();
            if (!Capabilities.Contains(name)) throw new QemuErrorException($"Parameter 'capability' does not accept value '{name}'");
            qemu.Capabilities[name] = wish["state"]!.GetValue<bool>();
        }
        return [];
    }

    private JsonObject SetParameters(JsonObject arguments)
    {
        foreach (var (name, value) in arguments)
        {
            switch (name)
            {
                case "max-bandwidth": qemu.Parameters.MaxBandwidthBytesPerSecond = value!.GetValue<long>(); break;
                case "downtime-limit": qemu.Parameters.DowntimeLimitMs = value!.GetValue<long>(); break;
                case "avail-switchover-bandwidth": throw new QemuErrorException($"Parameter '{name}' is unexpected");
                default: break; // Announce rhythm, throttling: no effect here.
            }
        }
        return [];
    }

    private static string Text(JsonObject arguments, string name) =>
        arguments[name]?.GetValue<string>() ?? throw new QemuErrorException($"Parameter '{name}' is missing");

    private static JsonObject Did(Action action)
    {
        action();
        return [];
    }
}
