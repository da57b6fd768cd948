using System.Net;
using Godwit.Agent.Facts;
using Godwit.Agent.Host;
using Godwit.Agent.Identity;
using Godwit.Agent.Machines;
using Godwit.Agent.Rpc;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent;

/// <summary>How one agent is started: all of it from its command line.</summary>
/// <param name="Listen"><c>address:port</c> for the server's gRPC.</param>
/// <param name="LinkListen"><c>address:port</c> for other agents' migration streams; on the migration network.</param>
public sealed record AgentOptions(string Listen, string LinkListen, string IdentityFile, HostLayout Layout)
{
    /// <summary>The device that resets this host, offered to the server; null: none.</summary>
    public string? Watchdog { get; init; }
    public TimeSpan WatchdogTimeout { get; init; } = WatchdogRules.TimeoutDefault;
    /// <summary>Logs as a JSON document a line, with each value under its name, instead of sentences.</summary>
    public bool JsonLogs { get; init; }
    /// <summary>Logs with priorities and without the time, as the journal wants them.</summary>
    public bool LogsToJournal { get; init; }
    /// <summary>Called once, when the agent answers.</summary>
    public Action? Serving { get; init; }
}

/// <summary>The agent process, put together: real ports, the host's agent, gRPC over mutual TLS in front.</summary>
public static class AgentApp
{
    public static async Task RunAsync(AgentOptions options, CancellationToken stopping)
    {
        await using var alone = Alone(options.Layout.RunDirectory);
        var identity = await HostIdentity.OpenAsync(
            options.IdentityFile, options.Layout.StateDirectory, new RealDisk(), TimeProvider.System, stopping);
        var builder = WebApplication.CreateSlimBuilder();
        (options.JsonLogs
            ? builder.Logging.ClearProviders().AddJsonConsole(json => (json.TimestampFormat, json.UseUtcTimestamp) = ("O", true))
            : options.LogsToJournal ? builder.Logging.ClearProviders().AddSystemdConsole()
            : builder.Logging.ClearProviders().AddSimpleConsole(o =>
                { o.SingleLine = true; o.TimestampFormat = "HH:mm:ss.fff "; o.UseUtcTimestamp = true; }))
            .AddFilter("Microsoft", LogLevel.Warning).AddFilter("Grpc", LogLevel.Warning);
        builder.Services.AddGrpc(grpc =>
        {
            grpc.Interceptors.Add<TraceInterceptor>();
            grpc.Interceptors.Add<RefusalInterceptor>();
        });
        builder.WebHost.ConfigureKestrel(kestrel =>
            AgentListener.Listen(kestrel, IPEndPoint.Parse(options.Listen), () => identity.Current, TimeProvider.System,
                kestrel.ApplicationServices.GetRequiredService<ILogger<HostIdentity>>()));

        builder.Services.AddSingleton<HostAgent>(services => Compose(options, identity, services.GetRequiredService<ILoggerFactory>()));
        builder.Services.AddSingleton<IHostAgent>(services => services.GetRequiredService<HostAgent>());
        await using var app = builder.Build();
        if (identity.Current.Life.Problem(DateTimeOffset.UtcNow) is { } problem)
            app.Logger.LogError("This host's certificate lets nobody in: {Problem}", problem);
        app.MapGrpcService<HostAgentService>();

        var ports = (Disk: new RealDisk(), Processes: new RealProcesses());
        var notes = await new HostPreparation(ports.Processes, ports.Disk, options.Layout).PrepareAsync(stopping);
        var agent = app.Services.GetRequiredService<HostAgent>();
        await agent.StartAsync(notes, stopping);
        _ = KeepConsoleLogsShortAsync(agent, app.Logger, stopping);
        _ = KeepMemoryKnownAsync(agent, stopping);
        _ = KeepMemoryFeltAsync(agent, stopping);
        _ = KeepAskingDiskAsync(agent, stopping);
        if (options.Serving is { } serving) app.Lifetime.ApplicationStarted.Register(serving);
        await app.RunAsync(stopping);
        if (agent.Watchdog is { IsArmed: true } armed)
            app.Logger.LogWarning("{Device} stays armed: an agent must be back within {Seconds} s, or this host is reset. To stop one for "
                + "longer, first: godwit host set HOST --fence none", armed.Device, armed.TimeoutSeconds);
    }

    private static async Task KeepConsoleLogsShortAsync(HostAgent agent, ILogger log, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(15));
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
            {
                try { await agent.TrimConsoleLogsAsync(stopping); }
                catch (IOException failed) { log.LogWarning("console logs could not be trimmed: {Why}", failed.Message); }
            }
        }
        catch (OperationCanceledException) { } // The agent stops.
    }

    private static async Task KeepMemoryKnownAsync(HostAgent agent, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            while (await timer.WaitForNextTickAsync(stopping)) await agent.LookAtNextMemoryAsync(stopping);
        }
        catch (OperationCanceledException) { } // The agent stops.
    }

    private static async Task KeepMemoryFeltAsync(HostAgent agent, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(MemoryPulse.Tick);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping)) agent.FeelMemory();
        }
        catch (OperationCanceledException) { } // The agent stops.
    }

    private static async Task KeepAskingDiskAsync(HostAgent agent, CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(15));
        try
        {
            while (await timer.WaitForNextTickAsync(stopping)) await agent.AskDiskAsync();
        }
        catch (OperationCanceledException) { } // The agent stops.
    }

    /// <summary>
    /// A former agent that hangs in the kernel, killed and not gone, may write once more when its disk answers: this one must not
    /// have begun by then. Held in memory, which no disk keeps waiting.
    /// </summary>
    internal static FileStream Alone(string runDirectory)
    {
        Directory.CreateDirectory(runDirectory);
        var path = Path.Combine(runDirectory, "agent.lock");
        try { return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None); }
        catch (IOException reason)
        {
            throw new RefusedException("agent-runs-already", $"{path} is held: {reason.Message}",
                "another agent uses this run directory; one that was killed and does not end waits for a disk that hangs (see dmesg)");
        }
    }

    private static HostAgent Compose(AgentOptions options, HostIdentity identity, ILoggerFactory logs)
    {
        var network = new RealNetwork(() => identity.Current, logs.CreateLogger<RealNetwork>());
        var ports = new AgentPorts(new RealDisk(), new RealProcesses(), network, TimeProvider.System, new RealRandomness(),
            new DirectorySpaces().Of)
        {
            Identity = identity, Watchdog = options.Watchdog is { } device ? new RealWatchdog(device) : null,
            WatchdogTimeout = options.WatchdogTimeout,
        };
        return new HostAgent(ports, options.Layout, options.LinkListen, Environment.GetEnvironmentVariable("GODWIT_FAILPOINTS"), logs);
    }
}
