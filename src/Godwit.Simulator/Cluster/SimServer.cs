using Godwit.Core;
using Godwit.Server;
using Godwit.Server.Store;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>The shipped control plane over its real SQLite file, as a process that can be killed.</summary>
public sealed class SimServer
{
    private readonly string _storePath;
    private readonly SimRpc _rpc;
    private SqliteDatabase? _database;
    private int _starts;

    internal SimServer(SimHost host, string storePath, SimRpc rpc) => (Host, _storePath, _rpc) = (host, storePath, rpc);

    public SimHost Host { get; }
    public SimProcess? Process { get; private set; }
    /// <summary>Null while it is down.</summary>
    public ControlPlane? Serving { get; private set; }

    /// <summary>Returns once it serves, or is killed before it does.</summary>
    public async Task StartAsync()
    {
        if (Process is { HasExited: false }) return;
        var process = Process = Host.Start("server");
        process.OnExit = _ => Ended();
        var starting = process.Context.CallAsync(async () =>
        {
            _database = new SqliteDatabase(_storePath, Host.Loop.Fail);
            var control = new ControlPlane(
                _database, new SimConnector(_rpc, process), new SimRandomness(SimRandom.Fork(Host.Loop.Seed, $"server {++_starts}")),
                Host.Clock, new SimLogs(Host.Loop, "server"));
            await control.StartAsync();
            return control;
        });
        await Joining.AnyAsync(starting, process.Exited);
        if (process.HasExited) return;
        Serving = await starting;
        Host.Loop.Trace("server", "serves");
    }

    public void Kill() => Process?.Exit(ProcessEnd.Injected);

    /// <summary>What a person's request does. Throws <see cref="ServerGoneException"/>: then nobody knows whether it did.</summary>
    public async Task<T> AskAsync<T>(Func<ControlPlane, Task<T>> request)
    {
        var (control, process) = (Serving ?? throw new ServerGoneException(), Process!);
        var answer = process.Context.CallAsync(() => request(control));
        await Joining.AnyAsync(answer, process.Exited);
        return answer.IsCompleted ? await answer : throw new ServerGoneException();
    }

    private void Ended()
    {
        Serving = null;
        _database?.Dispose();
        _database = null;
    }
}

public sealed class ServerGoneException() : Exception("the server ended before it answered");
