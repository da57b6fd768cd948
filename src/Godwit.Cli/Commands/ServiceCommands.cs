using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Cli.Api;
using Godwit.Cli.Services;
using Godwit.Core.Balance.Automatic;
using Godwit.Server;

namespace Godwit.Cli.Commands;

/// <summary>`godwit server` and `godwit up`: the processes themselves, in the foreground.</summary>
internal static class ServiceCommands
{
    private const string Nowhere = "none";

    public static Command Server(Verbs verbs)
    {
        var state = Directory("--state", "Store, certificate authority and keys.", ServiceDefaults.ServerState);
        var socket = Directory("--socket", "Where the API listens.", ServerAddress.UpSocket);
        var listen = ApiEndpoint();
        var names = new Option<string[]>("--dns-name")
        { Description = "A name under which clients elsewhere find the server, for its certificate; again for more.", HelpName = "NAME" };
        var logs = LogFormat();
        var (oidc, fencing) = (new OidcOptions(), new FencingOptions());
        var minute = new Option<double>("--balancer-minute")
        {
            Description = "How many seconds a minute of the balancer takes; less than 60 is for trying it out.", Hidden = true,
            DefaultValueFactory = _ => 60,
        };
        minute.Validators.Add(result =>
        {
            if (!(result.GetValueOrDefault<double>() is >= 0.5 and <= 600)) result.AddError("--balancer-minute takes 0.5 to 600 seconds.");
        });
        var server = verbs.Verb("server", "Run the control plane: API, store, the moves it drives.", async (session, parsed, cancel) =>
        {
            FileModes.AsAsked();
            CoreDumps.Refuse();
            var unit = new SystemdUnit();
            var options = new ServerOptions(parsed.GetValue(state)!, parsed.GetValue(socket), EndPoint(parsed.GetValue(listen)))
            {
                Names = parsed.GetValue(names) ?? [], Oidc = oidc.Of(parsed), JsonLogs = parsed.GetValue(logs) == "json",
                LogsToJournal = SystemdUnit.HasJournal,
                FenceHooks = fencing.Hooks(parsed), PowerHooks = fencing.PowerHooks(parsed),
                HaAfter = fencing.HaAfter(parsed), WatchdogLease = fencing.Lease(parsed),
                BalancerPace = new BalancerPace(TimeSpan.FromSeconds(parsed.GetValue(minute))),
            };
            MachineUp.MakePrivate(Path.GetDirectoryName(options.Socket)!);
            using var tracing = Tracing.Start("godwit-server");
            await ServerApp.RunAsync(options, MachineUp.Ports(), unit.TellReady, cancel);
            return ExitCode.All;
        }, [state, socket, listen, names, logs, minute, .. oidc.All, .. fencing.All]);
        server.Subcommands.Add(RebuildCommands.Rebuild(verbs));
        server.Subcommands.Add(RebuildCommands.BackUpIdentity(verbs));
        return server;
    }

    public static Command Up(Verbs verbs)
    {
        var name = new Option<string>("--name")
        { Description = "This machine's name as a host.", DefaultValueFactory = _ => MachineUp.HostNameOfMachine() };
        var address = new Option<IPAddress>("--address")
        {
            Description = "Where other hosts reach this one; needed when there are any.", HelpName = "ADDRESS",
            CustomParser = result => IPAddress.TryParse(result.Tokens[0].Value, out var ip) ? ip : Wrong(result),
            DefaultValueFactory = _ => IPAddress.Loopback,
        };
        var pools = Pools();
        var listen = ApiEndpoint($"{IPAddress.Loopback}:{ServerAddress.Port}");
        var logs = LogFormat();
        var oidc = new OidcOptions();
        return verbs.Verb("up", "Run server and agent on this machine: a cluster of one host.", (session, parsed, cancel) =>
            new MachineUp(session, parsed.GetValue(name)!, parsed.GetValue(address)!.ToString(), new HostLayout
            {
                StateDirectory = ServiceDefaults.AgentState, RunDirectory = ServiceDefaults.AgentRun,
                Pools = Places(parsed.GetValue(pools)), QemuPaths = Qemus(null),
            }, EndPoint(parsed.GetValue(listen)), oidc.Of(parsed), parsed.GetValue(logs) == "json").RunAsync(cancel),
            [name, address, pools, listen, logs, .. oidc.All]);

        static IPAddress? Wrong(ArgumentResult result)
        {
            result.AddError($"'{result.Tokens[0].Value}' is not an IP address.");
            return null;
        }
    }

    internal static Dictionary<string, PoolPlace> Places((string Name, string Directory)[]? pools) =>
        (pools is { Length: > 0 } ? pools : [(ServiceDefaults.PoolName, ServiceDefaults.Pool)])
            .ToDictionary(pool => pool.Name, pool => PoolOption.Open(pool.Directory));

    internal static IReadOnlyList<string> Qemus(string[]? named)
    {
        var qemus = named is { Length: > 0 } ? named.Select(Path.GetFullPath).ToArray() : ServiceDefaults.Qemus();
        return qemus.Count > 0 ? qemus : throw new ApiException(new ApiError("qemu-missing",
            "there is no qemu-system-x86_64 on this machine")
        { Next = "install it (apt-get install qemu-system-x86), or name it: --qemu PATH" });
    }

    internal static Option<string> Directory(string name, string description, string standard) =>
        new(name) { Description = description, HelpName = "PATH", DefaultValueFactory = _ => standard };

    internal static Option<string> Endpoint(string name, string description, string? standard)
    {
        var option = new Option<string>(name) { Description = description, HelpName = "ADDRESS:PORT", Required = standard is null };
        if (standard is not null) option.DefaultValueFactory = _ => standard;
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !IPEndPoint.TryParse(result.Tokens[0].Value, out _))
                result.AddError($"'{result.Tokens[0].Value}' is not an ADDRESS:PORT such as 10.0.0.5:{ServiceDefaults.AgentPort}.");
        });
        return option;
    }

    internal static Option<string> LogFormat()
    {
        var option = new Option<string>("--log-format")
        { Description = "How logs are written: a sentence or a JSON document a line.", DefaultValueFactory = _ => "text" };
        option.AcceptOnlyFromAmong("text", "json");
        return option;
    }

    /// <param name="standard">Null: off unless asked for; then everybody with a token may come from elsewhere.</param>
    private static Option<string?> ApiEndpoint(string? standard = null)
    {
        var option = new Option<string?>("--listen")
        {
            Description = "Offer API and web console to people elsewhere too, over TLS; they log in, or have a token: godwit token create."
                + (standard is null ? "" : $" By default on this machine only ({standard}); {Nowhere}: not at all."),
            HelpName = "ADDRESS:PORT",
        };
        if (standard is not null) option.DefaultValueFactory = _ => standard;
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count != 1 || (standard is not null && result.Tokens[0].Value == Nowhere)) return;
            if (EndPoint(result.Tokens[0].Value) is null)
                result.AddError($"'{result.Tokens[0].Value}' is not an ADDRESS:PORT such as 0.0.0.0:{ServerAddress.Port}.");
        });
        return option;
    }

    private static IPEndPoint? EndPoint(string? text) =>
        IPEndPoint.TryParse(text ?? "", out var parsed) && parsed.Port != 0 ? parsed : null;

    internal static Option<(string Name, string Directory)[]> Pools() => new("--pool")
    {
        Description = "A directory for disks under a name; again for more. "
            + $"By default {ServiceDefaults.PoolName}={ServiceDefaults.Pool}.",
        HelpName = "NAME=DIRECTORY", CustomParser = ParsePools,
    };

    private static (string, string)[] ParsePools(ArgumentResult result)
    {
        var pools = result.Tokens.Select(token => PoolOption.Parse(token.Value)).ToArray();
        if (pools.Any(pool => pool is null)) result.AddError("--pool takes NAME=DIRECTORY, with the directory from the root on.");
        if (pools.Select(pool => pool?.Name).Distinct().Count() < pools.Length) result.AddError("Two pools have the same name.");
        return [.. pools.OfType<(string, string)>()];
    }
}
