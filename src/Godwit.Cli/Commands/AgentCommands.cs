using System.CommandLine;
using System.Net;
using Godwit.Agent;
using Godwit.Agent.Host;
using Godwit.Agent.Identity;
using Godwit.Agent.Machines;
using Godwit.Cli.Api;
using Godwit.Cli.Services;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Identity;

namespace Godwit.Cli.Commands;

/// <summary>`godwit agent`, and how a machine comes to run one: `godwit agent join`.</summary>
internal sealed class AgentCommands(Verbs verbs)
{
    private readonly Option<FileInfo?> identity = new("--identity")
    { Description = $"Its certificate, key and CA; {HostIdentity.FileName} in the state directory if not given.", HelpName = "FILE" };
    private readonly Option<string> listen =
        ServiceCommands.Endpoint("--listen", "Where the server reaches it.", $"0.0.0.0:{ServiceDefaults.AgentPort}");
    private readonly Option<string> link =
        ServiceCommands.Endpoint("--link", "Where other agents send guests' memory; an address they can reach.", null);
    private readonly Option<string> state =
        ServiceCommands.Directory("--state", "What must survive a power cut.", ServiceDefaults.AgentState);
    private readonly Option<string> run =
        ServiceCommands.Directory("--run", "Guests' RAM and sockets: on tmpfs.", ServiceDefaults.AgentRun);
    private readonly Option<(string Name, string Directory)[]> pools = ServiceCommands.Pools();
    private readonly Option<string[]> qemus = new("--qemu")
    { Description = "A QEMU binary; again for more. The first is used by default.", HelpName = "PATH" };
    private readonly Option<string?> watchdog = new("--watchdog")
    {
        Description = "A device that may reset this host when the server is lost; armed by: godwit host set HOST --fence watchdog.",
        HelpName = "DEVICE",
    };
    private readonly Option<int> watchdogTimeout = WatchdogSeconds();
    private readonly Option<string> logs = ServiceCommands.LogFormat();

    private readonly Option<bool> shared = new("--shares-machine")
    { Description = "Other hosts of the cluster run on this machine: a lab.", Hidden = true };

    public static Command Build(Verbs verbs) => new AgentCommands(verbs).Agent();

    private Command Agent()
    {
        var agent = verbs.Verb("agent", "Run this machine as a host.", async (_, parsed, cancel) =>
        {
            FileModes.AsAsked();
            CoreDumps.Refuse();
            var unit = new SystemdUnit();
            using var tracing = Tracing.Start("godwit-agent");
            await AgentApp.RunAsync(Options(parsed) with { Serving = unit.TellReady }, cancel);
            return ExitCode.All;
        }, identity, listen, link, state, run, pools, qemus, shared, watchdog, watchdogTimeout, logs);
        agent.Subcommands.Add(Join());
        return agent;
    }

    private Command Join()
    {
        var token = new Argument<string>("TOKEN")
        { Description = "What 'godwit host token' showed; - reads it from standard input, out of sight of other users." };
        var server = new Option<string?>("--server")
        { Description = "Where the server listens; GODWIT_SERVER if not given.", HelpName = "https://HOST[:PORT]" };
        var name = new Option<string>("--name")
        { Description = "This machine's name as a host.", DefaultValueFactory = _ => MachineUp.HostNameOfMachine() };
        var address = new Option<string?>("--address")
        { Description = "Where the server reaches the agent, if not where it listens.", HelpName = "ADDRESS:PORT" };
        var service = new Option<bool>("--service")
        { Description = "systemd runs the agent from now on, with the options given here (the package's godwit-agent.service)." };
        Option[] kept = [identity, listen, link, state, run, pools, qemus, shared, watchdog, watchdogTimeout, logs];
        return verbs.Verb("join", "Become a host of a cluster, then run as such; from then on: godwit agent.",
            async (session, parsed, cancel) =>
            {
                FileModes.AsAsked();
                CoreDumps.Refuse();
                var options = Options(parsed);
                var place = parsed.GetValue(server) is { } chosen ? ServerAddress.Find(chosen, File.Exists) : session.Server;
                var (unit, words) = (new AgentService(new RealProcesses(), new RealDisk()), AgentService.Words(parsed, kept));
                if (parsed.GetValue(service)) unit.Demand(words);
                await JoinAsync(session, options, parsed.GetValue(token)!, place, parsed.GetValue(name)!, parsed.GetValue(address), cancel);
                if (parsed.GetValue(service))
                {
                    await unit.StartAsync(words, cancel);
                    session.Screen.Line($"{AgentService.Unit} runs it, now and after every start of this machine.");
                    return ExitCode.All;
                }
                using var tracing = Tracing.Start("godwit-agent");
                await AgentApp.RunAsync(options, cancel);
                return ExitCode.All;
            }, [token, server, name, address, service, .. kept]);
    }

    private static async Task JoinAsync(Session session, AgentOptions options, string text, ServerAddress place, string name,
        string? address, CancellationToken cancel)
    {
        var token = JoinToken.Parse(text == "-" ? SessionCommands.Secret(session, "Join token: ") : text);
        if (File.Exists(options.IdentityFile))
            throw new RefusedException("identity-there", $"{options.IdentityFile} is there: this machine has joined already",
                "start it: godwit agent; or, to join anew, remove that file first");
        // The token's CA and no other: nothing of this machine's own settings goes to that server.
        using var client = ServerWay.Client(place, new RemoteSettings(null, "", token.CaFingerprint), session.Time);
        var joined = await JoinRun.RunAsync(
            client, token, name, address ?? Reachable(options.Listen), options.IdentityFile, session.Time, cancel);
        session.Screen.Line($"Joined cluster {joined.Cluster} as {joined.Host}; the identity is in {options.IdentityFile}. "
            + "The agent starts, and the server dials it: see godwit events there.");
    }

    private AgentOptions Options(ParseResult parsed)
    {
        var layout = new HostLayout
        {
            StateDirectory = parsed.GetValue(state)!, RunDirectory = parsed.GetValue(run)!,
            Pools = ServiceCommands.Places(parsed.GetValue(pools)), QemuPaths = ServiceCommands.Qemus(parsed.GetValue(qemus)),
            SharesMachine = parsed.GetValue(shared),
        };
        return new AgentOptions(parsed.GetValue(listen)!, parsed.GetValue(link)!,
            parsed.GetValue(identity)?.FullName ?? Path.Combine(layout.StateDirectory, HostIdentity.FileName), layout)
        {
            JsonLogs = parsed.GetValue(logs) == "json",
            LogsToJournal = SystemdUnit.HasJournal,
            Watchdog = parsed.GetValue(watchdog) is { } device ? Path.GetFullPath(device) : null,
            WatchdogTimeout = TimeSpan.FromSeconds(parsed.GetValue(watchdogTimeout)),
        };
    }

    private static Option<int> WatchdogSeconds()
    {
        var (least, most) = ((int)WatchdogRules.TimeoutMin.TotalSeconds, (int)WatchdogRules.TimeoutMax.TotalSeconds);
        var option = new Option<int>("--watchdog-timeout")
        {
            Description = "After so many seconds without a pet the device resets this host; an agent must be back within them.",
            HelpName = "SECONDS", DefaultValueFactory = _ => (int)WatchdogRules.TimeoutDefault.TotalSeconds,
        };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < least || result.GetValueOrDefault<int>() > most)
                result.AddError($"--watchdog-timeout takes {least} to {most} seconds.");
        });
        return option;
    }

    /// <summary>Of an agent on every address the server knows better: it is where the agent calls from.</summary>
    private static string Reachable(string listen)
    {
        var endpoint = IPEndPoint.Parse(listen);
        return endpoint.Address.Equals(IPAddress.Any) || endpoint.Address.Equals(IPAddress.IPv6Any)
            ? FormattableString.Invariant($":{endpoint.Port}") : listen;
    }
}
