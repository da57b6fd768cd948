using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Qmp;
using Godwit.Server.Agents;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Network;
using Grpc.Core;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// The wires that calls from the server to agents take: delayed, lost, doubled, cut off, as calls over TCP are. An order
/// that the server has given up may still arrive after a cut heals. What crosses are the bytes of the shipped messages.
/// </summary>
internal sealed class SimRpc(SimLoop loop, SimNet net, WorldKnobs knobs, Func<string, SimAgent> agents)
{
    /// <summary>HTTP/2 frames and headers around a message.</summary>
    private const int FramingBytes = 300;
    private static readonly TimeSpan PingEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LateMax = TimeSpan.FromSeconds(20);
    private readonly SimRandom _random = SimRandom.Fork(loop.Seed, "rpc");

    public SimLoop Loop => loop;
    /// <summary>While set, nothing is lost or doubled by chance.</summary>
    public bool IsCalm => Calm > 0;
    internal int Calm { get; set; }

    /// <summary>Sends one order; <paramref name="heard"/> is called as the world for each frame that comes back.</summary>
    /// <param name="limit">As the header grpc-timeout; null for a call without a deadline.</param>
    /// <returns>What the server calls when it no longer waits.</returns>
    public Action Send(SimProcess server, HostId host, SimRequest request, TimeSpan? limit, Action<SimFrame> heard)
    {
        var (there, back) = (net.Link(server.Host.Name, host.Value), net.Link(host.Value, server.Host.Name));
        var (orders, answers) = (there.NewFlow(), back.NewFlow());
        var bytes = request.Message.Length + FramingBytes;

        var call = new SimAgentCall(this, agents(host.Value), request, limit, frame =>
        {
            if (frame.IsEnd && !IsCalm && _random.Chance(knobs.LostAnswers))
                frame = SimFrame.Failed(StatusCode.Unavailable, "the connection was reset");
            answers.Send((frame.Message?.Length ?? 0) + FramingBytes, () => heard(frame));
        });
        if (!IsCalm && _random.Chance(request.IsRenewal ? Math.Max(knobs.LateOrders, knobs.LateRenewals) : knobs.LateOrders))
        {
            loop.Trace("network", $"an order to {host} is held up");
            loop.After(_random.NextTime(TimeSpan.Zero, LateMax), () => orders.Send(bytes, call.Arrive));
        }
        else orders.Send(bytes, call.Arrive);
        if (!IsCalm && _random.Chance(knobs.DuplicateOrders))
        {
            loop.Trace("network", $"an order to {host} is doubled");
            var twin = new SimAgentCall(this, agents(host.Value), request, limit, _ => { });
            loop.After(_random.NextTime(TimeSpan.Zero, LateMax), () => orders.Send(bytes, twin.Arrive));
        }
        return () =>
        {
            orders.Send(FramingBytes, call.HangUp);
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
    public IDisposable? KeepAlive(SimProcess server, HostId host, TimeSpan? limit, Action gone)
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
            or SocketException or AuthenticationException or AgentUnreachableException or InvalidDataException) return;
        loop.Fail(new SimFailedException($"the agent met a bug: {reason}", reason));
    }
}

/// <param name="Method">gRPC's full name: <c>/godwit.agent.v1.HostAgentRpc/StartVm</c>.</param>
internal sealed record SimRequest(string Method, byte[] Message)
{
    public bool IsRenewal => Method.EndsWith("/RenewLease", StringComparison.Ordinal);
}

/// <summary>One piece of an answer: a message, or the end with its status; of a call with one answer both at once.</summary>
internal sealed record SimFrame(byte[]? Message, RpcException? Failure, bool IsEnd)
{
    public static SimFrame Failed(StatusCode code, string detail) => new(null, new RpcException(new Status(code, detail)), IsEnd: true);
}

/// <summary>Where the server gets its agents from: the shipped client, over the simulated wires.</summary>
internal sealed class SimConnector(SimRpc rpc, SimProcess server) : IAgentConnector
{
    public IHostAgent Connect(HostId host, string endpoint) => new GrpcHostAgent(
        host, new Contracts.HostAgentRpc.HostAgentRpcClient(new SimCallInvoker(host, rpc, server)), server.Host.Clock,
        new AgentDeadlines());
    public void Disconnect(HostId host) { }
}
