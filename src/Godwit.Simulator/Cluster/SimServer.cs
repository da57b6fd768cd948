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

    public async Task StartAsync()
    {
        Process = Host.Start("server");
        Process.OnExit = _ => Ended();
        Serving = await Process.Context.CallAsync(async () =>
        {
            _database = new SqliteDatabase(_storePath, Host.Loop.Fail);
            var control = new ControlPlane(
                _database, new SimConnector(_rpc, Process), new SimRandomness(SimRandom.Fork(Host.Loop.Seed, $"server {++_starts}")),
                Host.Clock, new SimLogs(Host.Loop, "server"));
            await control.StartAsync();
            return control;
        });
        Host.Loop.Trace("server", "serves");
    }

    public void Kill() => Process?.Exit(ProcessEnd.Injected);

    /// <summary>What a person's request does; only while it serves.</summary>
    public Task<T> AskAsync<T>(Func<ControlPlane, Task<T>> request)
    {
        var control = Serving ?? throw new InvalidOperationException("the server is down");
        return Process!.Context.CallAsync(() => request(control));
    }

    private void Ended()
    {
        Serving = null;
        _database?.Dispose();
        _database = null;
    }
}
