using System.Net;
using Godwit.Agent;
using Godwit.Agent.Host;
using Godwit.Agent.Identity;
using Godwit.Agent.Machines;
using Godwit.Cli.Api;
using Godwit.WebConsole;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server;
using Godwit.Server.Access;
using Godwit.Server.Api;

namespace Godwit.Cli.Services;

/// <summary>
/// `godwit up`: server and agent in one process, for a single machine or the first of several. VMs are processes of
/// their own: they live on when this one ends, and the next `up` finds them.
/// </summary>
/// <param name="listen">Where the API listens for people elsewhere; null: nowhere.</param>
/// <param name="oidc">Whose people may log in; null: only users made here.</param>
internal sealed class MachineUp(Session session, string name, string address, HostLayout layout, IPEndPoint? listen = null,
    OidcSettings? oidc = null, bool jsonLogs = false)
{
    private static readonly TimeSpan agentStartMax = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan between = TimeSpan.FromMilliseconds(200);

    public async Task<int> RunAsync(CancellationToken cancel)
    {
        FileModes.AsAsked();
        CoreDumps.Refuse();
        using var tracing = Tracing.Start("godwit");
        var server = new ServerOptions(ServiceDefaults.ServerState, ServerAddress.UpSocket, listen) { Oidc = oidc, JsonLogs = jsonLogs };
        MakePrivate(Path.GetDirectoryName(server.Socket)!);
        Directory.CreateDirectory(layout.StateDirectory);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        await using var control = await ServerApp.StartAsync(server, Ports(), cancel);
        using var here = session.At(new ServerAddress(server.Socket, IsChosen: true));

        // Joins anew at each start, so that it also comes back after a year; it joins as every other host does.
        var identity = Path.Combine(layout.StateDirectory, HostIdentity.FileName);
        var token = await here.Api.CreateJoinTokenAsync(new CreateJoinTokenRequest(name), cancel);
        await JoinRun.RunAsync(here.Client, JoinToken.Parse(token.Text), name, $"{address}:{ServiceDefaults.AgentPort}", identity,
            session.Time, cancel);
        var agent = AgentApp.RunAsync(new AgentOptions($"{address}:{ServiceDefaults.AgentPort}",
            $"{address}:{ServiceDefaults.LinkPort}", identity, layout) { JsonLogs = jsonLogs }, stop.Token);
        try
        {
            await AddSelfAsync(here.Api, agent, cancel);
            session.Screen.Line($"{name} is up. In another window: godwit host list. Ctrl-C ends server and agent; VMs go on.");
            if (control.Listening is { } at)
                session.Screen.Line($"Console: https://{at}/ (a user to log in with: godwit user add NAME --role admin).");
            await Task.WhenAny(agent, Task.Delay(Timeout.Infinite, cancel));
        }
        finally
        {
            stop.Cancel();
            await agent;
        }
        return cancel.IsCancellationRequested ? ExitCode.All : ExitCode.Failed;
    }

    public static ServerPorts Ports() => new(new RealDisk(), new RealRandomness(), TimeProvider.System)
    {
        Programs = (new RealProcesses(), new ProgramFiles()),
        Console = new WebConsoleApp(),
    };

    /// <summary>What lies in it is for its owner, what passes through it for the VMs' uids.</summary>
    public static void MakePrivate(string directory) => Directory.CreateDirectory(directory,
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);

    /// <summary>The machine's own name where it may be a host's name, else host1.</summary>
    public static string HostNameOfMachine()
    {
        var own = Environment.MachineName.Split('.')[0].ToLowerInvariant();
        return Names.IsValid(own) ? own : "host1";
    }

    private async Task AddSelfAsync(GodwitApi api, Task agent, CancellationToken cancel)
    {
        for (var began = session.Time.GetTimestamp(); ;)
        {
            try
            {
                if ((await api.HostsAsync(cancel)).Any(host => host.Id.Value == name)) return;
                await api.AddHostAsync(new AddHostRequest(name, $"{address}:{ServiceDefaults.AgentPort}"), cancel);
                return;
            }
            catch (ApiException) when (!agent.IsCompleted && session.Time.GetElapsedTime(began) < agentStartMax)
            {
                await Task.Delay(between, session.Time, cancel); // The agent does not listen yet.
            }
        }
    }
}
