using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using Godwit.Agent.Machines;
using Godwit.Cli.Api;
using Godwit.Cli.Services;

namespace Godwit.Cli.Commands;

/// <summary>`godwit server` and `godwit agent`: the processes themselves, in the foreground.</summary>
internal static class ServiceCommands
{
    public static Command Server(Verbs verbs)
    {
        var state = Directory("--state", "Store, certificate authority and keys.", ServiceDefaults.ServerState);
        var socket = Directory("--socket", "Where the API listens.", ServerAddress.UpSocket);
        return verbs.Verb("server", "Run the control plane: API, store, the moves it drives.", (session, parsed, cancel) =>
            throw new ApiException(new ApiError("not-built", "the server is not part of this build yet")), state, socket);
    }

    public static Command Agent(Verbs verbs)
    {
        var bundle = new Option<FileInfo>("--bundle")
        { Description = "Its certificate, key and CA: godwit host bundle NAME.", HelpName = "FILE", Required = true };
        var listen = Endpoint("--listen", "Where the server reaches it.", $"0.0.0.0:{ServiceDefaults.AgentPort}");
        var link = Endpoint("--link", "Where other agents send guests' memory; an address they can reach.", null);
        var state = Directory("--state", "What must survive a power cut.", ServiceDefaults.AgentState);
        var run = Directory("--run", "Guests' RAM and sockets: on tmpfs.", ServiceDefaults.AgentRun);
        var pools = Pools();
        var qemus = new Option<string[]>("--qemu")
        { Description = "A QEMU binary; again for more. The first is used by default.", HelpName = "PATH" };
        return verbs.Verb("agent", "Run this machine as a host.", (session, parsed, cancel) =>
            throw new ApiException(new ApiError("not-built", "the agent is not part of this build yet")),
            bundle, listen, link, state, run, pools, qemus);
    }

    private static Option<string> Directory(string name, string description, string standard) =>
        new(name) { Description = description, HelpName = "PATH", DefaultValueFactory = _ => standard };

    private static Option<string> Endpoint(string name, string description, string? standard)
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

    private static Option<(string Name, string Directory)[]> Pools() => new("--pool")
    {
        Description = "A directory for disks under a name; again for more. The same name means the same on every host.",
        HelpName = "NAME=DIRECTORY", CustomParser = ParsePools,
        DefaultValueFactory = _ => [(ServiceDefaults.PoolName, ServiceDefaults.Pool)],
    };

    private static (string, string)[] ParsePools(ArgumentResult result)
    {
        var pools = result.Tokens.Select(token => PoolOption.Parse(token.Value)).ToArray();
        if (pools.Any(pool => pool is null)) result.AddError("--pool takes NAME=DIRECTORY, with the directory from the root on.");
        return [.. pools.OfType<(string, string)>()];
    }
}
