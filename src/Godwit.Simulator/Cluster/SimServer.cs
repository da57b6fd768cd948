using Godwit.Core;
using Godwit.Core.Rebuild;
using Godwit.Server;
using Godwit.Server.Agents;
using Godwit.Server.Rebuild;
using Godwit.Server.Store;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Store;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// The shipped control plane over its real SQLite store, as a process that can be killed, on a machine that can lose power.
/// The service manager starts it again when it ends by itself, as it does when its disk fails.
/// </summary>
public sealed class SimServer
{
    private static readonly TimeSpan RestartAfter = TimeSpan.FromSeconds(1);
    private readonly StoreDisk _disk;
    private readonly SimRpc _rpc;
    private SimStore? _store;
    private int _starts;

    private readonly SafetyRules _rules;
    private readonly FenceSettings _fencing;

    internal SimServer(SimHost host, StoreDisk disk, SimRpc rpc, SafetyRules rules, FenceSettings fencing) =>
        (Host, _disk, _rpc, _rules, _fencing) = (host, disk, rpc, rules, fencing);

    public SimHost Host { get; }
    public SimProcess? Process { get; private set; }
    /// <summary>Null while it is down.</summary>
    public ControlPlane? Serving { get; private set; }

    /// <summary>Returns once it serves, or ends before it does.</summary>
    public async Task StartAsync()
    {
        if (!Host.IsUp || Process is { HasExited: false }) return;
        var process = Process = Host.Start("server");
        process.OnExit = Ended;
        var starting = process.Context.CallAsync(async () =>
        {
            _store = new SimStore(new SqliteDatabase(_disk.DataSource, why => Failed(process, why)), process);
            var control = new ControlPlane(
                _store, new SimConnector(_rpc, process), new SimRandomness(SimRandom.Fork(Host.Loop.Seed, $"server {++_starts}")),
                Host.Clock, new SimLogs(Host.Loop, "server"), _rules, fencing: _fencing);
            await control.StartAsync();
            return control;
        });
        await Joining.AnyAsync(starting, process.Exited);
        if (process.HasExited) return;
        try { Serving = await starting; }
        catch (StoreFailedException unusable)
        {
            Failed(process, unusable);
            return;
        }
        Host.Loop.Trace("server", "serves");
    }

    public void Kill() => Process?.Exit(ProcessEnd.Injected);

    /// <summary>Dies in the middle of the next transaction: at the so manieth write or sync of it, counted from 1.</summary>
    internal void KillAtDiskCall(int number) => (_disk.DeadlyCall, _disk.Deadly) = (number, Kill);

    /// <summary>Dies between the next commit and what it would do because of it.</summary>
    internal void KillAfterCommit()
    {
        if (_store is { } store) store.DiesAfterCommit = true;
    }

    /// <summary>No fault that was prepared strikes any more.</summary>
    internal void Disarm()
    {
        (_disk.FailingCalls, _disk.DeadlyCall) = (0, 0);
        if (_store is { } store) store.DiesAfterCommit = false;
    }

    /// <summary>The machine goes dark: of the store comes back what was synced, and some of what was not.</summary>
    internal void LosePower()
    {
        Host.PowerOff();
        _disk.LosePower();
    }

    /// <summary>A backup of its store, as it is at this moment.</summary>
    internal IReadOnlyDictionary<string, byte[]> BackUpStore() => _disk.Copy();

    /// <summary>The process ends, and an older store lies where its own was.</summary>
    internal void PutStoreBack(IReadOnlyDictionary<string, byte[]> backup)
    {
        Kill();
        Host.Loop.Trace("server", "an older store is put in its store's place");
        _disk.PutBack(backup);
    }

    /// <summary>The process ends, and nothing of its store is left.</summary>
    internal void LoseStore()
    {
        Kill();
        Host.Loop.Trace("server", "its store is lost");
        _disk.Replace();
    }

    /// <summary>A person runs the shipped rebuilding while the server is down, with these hosts' names and addresses.</summary>
    internal async Task<RebuildPlan> RebuildAsync(RebuildWish wish, bool fromOld = false)
    {
        var process = Host.Start("rebuild");
        var plan = await process.Context.CallAsync(async () =>
        {
            using var store = new SqliteDatabase(_disk.DataSource, why => Host.Loop.Fail(new SimFailedException(why.Message, why)));
            var (stores, randomness) = (new Stores(store, Host.Clock), new SimRandomness(SimRandom.Fork(Host.Loop.Seed,
                $"rebuild {++_starts}")));
            var rebuild = new StoreRebuild(new AgentDirectory(new SimConnector(_rpc, process)), randomness, Host.Clock);
            var planned = await rebuild.PlanAsync(wish, fromOld ? stores : null, CancellationToken.None);
            await rebuild.WriteAsync(planned, stores, null, CancellationToken.None);
            return planned;
        });
        process.Exit(ProcessEnd.Exited);
        return plan;
    }

    internal void FailDiskCalls(int count) => _disk.FailingCalls = count;

    internal void FillDisk(bool full) => _disk.IsFull = full;

    /// <summary>What a person's request does. Throws <see cref="ServerGoneException"/>: then nobody knows whether it did.</summary>
    public async Task<T> AskAsync<T>(Func<ControlPlane, Task<T>> request)
    {
        var (control, process) = (Serving ?? throw new ServerGoneException(), Process!);
        var answer = process.Context.CallAsync(() => request(control));
        await Joining.AnyAsync(answer, process.Exited);
        return answer.IsCompleted ? await answer : throw new ServerGoneException();
    }

    /// <summary>As the shipped composition does: the process ends at once, and the next one recovers what was committed.</summary>
    private void Failed(SimProcess process, Exception why)
    {
        if (process.HasExited) return;
        // Without the number of the disk: that tells worlds of one process apart, and the story told again has another.
        Host.Loop.Trace("server", $"its store failed: {why.Message.Replace(_disk.Root, "/store", StringComparison.Ordinal)}");
        process.Exit(ProcessEnd.Exited);
        Host.Loop.After(RestartAfter, () => _ = StartAsync());
    }

    private void Ended(ProcessEnd end)
    {
        Serving = null;
        _disk.Abandon(); // What it has open is closed by the kernel, not by SQLite: no checkpoint, no last write.
        if (_store is { } left) Host.Loop.After(TimeSpan.Zero, left.Dispose); // Not now: SQLite may be in the middle of a call.
        _store = null;
    }
}

public sealed class ServerGoneException() : Exception("the server ended before it answered");
