using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Qmp;
using Godwit.Server.Agents;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Network;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// Orders from the server to agents, and answers: delayed, lost, doubled, cut off, as calls over TCP are. An order that
/// the server has given up may still arrive after a cut heals.
/// </summary>
internal sealed class SimRpc(SimLoop loop, SimNet net, WorldKnobs knobs, Func<string, SimAgent> agents)
{
    private const int MessageBytes = 400;
    private static readonly TimeSpan PingEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LateMax = TimeSpan.FromSeconds(20);
    private readonly SimRandom _random = SimRandom.Fork(loop.Seed, "rpc");

    public SimLoop Loop => loop;
    /// <summary>While set, nothing is lost or doubled by chance.</summary>
    public bool IsCalm => Calm > 0;
    internal int Calm { get; set; }

    /// <summary>Sends one order; <paramref name="answered"/> is called as the world, at most once, when the server would hear.</summary>
    /// <returns>What the server calls when it no longer waits.</returns>
    public Action Send<T>(
        SimProcess server, HostId host, TimeSpan limit, Func<IHostAgent, CancellationToken, Task<T>> order, Action<Answer<T>> answered)
    {
        var (there, back) = (net.Link(server.Host.Name, host.Value), net.Link(host.Value, server.Host.Name));
        var (orders, answers) = (there.NewFlow(), back.NewFlow());
        var over = false;
        void Answered(Answer<T> answer)
        {
            if (over) return;
            over = true;
            answered(answer);
        }

        var call = new AgentCall<T>(this, agents(host.Value), limit, order, (bytes, answer) =>
        {
            if (!IsCalm && _random.Chance(knobs.LostAnswers)) answer = new Answer<T>(default, "the connection was reset");
            answers.Send(bytes, () => Answered(answer));
        });
        if (!IsCalm && _random.Chance(knobs.LateOrders))
        {
            loop.Trace("network", $"an order to {host} is held up");
            loop.After(_random.NextTime(TimeSpan.Zero, LateMax), () => orders.Send(MessageBytes, call.Arrive));
        }
        else orders.Send(MessageBytes, call.Arrive);
        if (!IsCalm && _random.Chance(knobs.DuplicateOrders))
        {
            loop.Trace("network", $"an order to {host} is doubled");
            var twin = new AgentCall<T>(this, agents(host.Value), limit, order, (_, _) => { });
            loop.After(_random.NextTime(TimeSpan.Zero, LateMax), () => orders.Send(MessageBytes, twin.Arrive));
        }
        return () =>
        {
            over = true;
            orders.Send(MessageBytes, call.HangUp);
            loop.After(TimeSpan.FromMinutes(5), () =>
            {
                there.Forget(orders);
                back.Forget(answers);
            });
        };
    }

    /// <summary>
    /// As HTTP/2 pings do (every 10 s, 10 s for the answer; the real client's settings): a connection whose other end is
    /// cut off, or lost power since, is given up long before a long deadline.
    /// </summary>
    public IDisposable? KeepAlive(SimProcess server, HostId host, TimeSpan limit, Action gone)
    {
        if (limit <= 2 * PingEvery) return null;
        var (there, back) = (net.Link(server.Host.Name, host.Value), net.Link(host.Value, server.Host.Name));
        var machine = agents(host.Value).Host;
        var (boots, misses) = (machine.Boots, 0);
        return server.Host.Clock.CreateTimer(_ =>
        {
            misses = there.IsCut || back.IsCut || !machine.IsUp || machine.Boots != boots ? misses + 1 : 0;
            if (misses >= 2) gone();
        }, null, PingEvery, PingEvery);
    }

    /// <summary>The kinds of failure an agent may answer with. Anything else is a bug of the product, and ends the run.</summary>
    public static void FailIfBug(SimLoop loop, Exception reason)
    {
        if (reason is RefusedException or IOException or QmpException or OperationCanceledException or TimeoutException
            or SocketException or AuthenticationException or AgentUnreachableException) return;
        loop.Fail(new SimFailedException($"the agent met a bug: {reason}", reason));
    }
}

/// <param name="Failure">A <see cref="RefusedException"/>, or a sentence why nobody knows; null for a result.</param>
internal readonly record struct Answer<T>(T? Result, object? Failure);

/// <summary>One order at the agent's side.</summary>
internal sealed class AgentCall<T>(
    SimRpc rpc, SimAgent agent, TimeSpan limit, Func<IHostAgent, CancellationToken, Task<T>> order, Action<int, Answer<T>> reply)
{
    private const int ReplyBytes = 2000;
    private readonly CancellationTokenSource _cancel = new();
    private SimProcess? _process;

    public void Arrive()
    {
        if (!agent.Host.IsUp) return;
        if (agent.Serving is not { } serving)
        {
            reply(0, new Answer<T>(default, $"Connection refused ({agent.Host.Address}:7443)"));
            return;
        }
        _process = agent.Process!;
        _ = RunAsync(serving, _process);
    }

    /// <summary>The caller left: the order is told so, as gRPC tells it.</summary>
    public void HangUp()
    {
        if (_process is { HasExited: false }) _process.Context.Post(_ => _cancel.Cancel(), null);
    }

    private async Task RunAsync(IHostAgent serving, SimProcess process)
    {
        rpc.Loop.After(limit, HangUp);
        var work = process.Context.CallAsync(() => order(serving, _cancel.Token));
        await Joining.AnyAsync(work, process.Exited);
        _process = null; // Nothing of it is left to be told.
        if (!work.IsCompleted)
        {
            if (agent.Host.IsUp) reply(0, new Answer<T>(default, "the agent ended during the call"));
            return;
        }
        try { reply(ReplyBytes, new Answer<T>(await work, null)); }
        catch (RefusedException refused) { reply(ReplyBytes, new Answer<T>(default, refused)); }
        catch (Exception failed)
        {
            SimRpc.FailIfBug(rpc.Loop, failed);
            reply(ReplyBytes, new Answer<T>(default, $"it failed: {failed.Message}"));
        }
    }
}

/// <summary>Where the server gets its agents from.</summary>
internal sealed class SimConnector(SimRpc rpc, SimProcess server) : IAgentConnector
{
    public IHostAgent Connect(HostId host, string endpoint) => new SimAgentClient(host, rpc, server);
    public void Disconnect(HostId host) { }
}
