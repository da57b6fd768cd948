using System.Collections.Concurrent;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;

namespace Godwit.Server.Agents;

/// <summary>Makes connections to agents: gRPC in life, a simulated network in simulation.</summary>
public interface IAgentConnector
{
    /// <summary>Lazy: nothing is dialled before the first question. The peer must prove to be <paramref name="host"/>.</summary>
    IHostAgent Connect(HostId host, string endpoint);
    void Disconnect(HostId host);
}

/// <summary>The agent of each host of the cluster, and what each said last of the epochs it knows.</summary>
public sealed class AgentDirectory
{
    private readonly IAgentConnector connector;
    private readonly SafetyRules _rules;
    private readonly ConcurrentDictionary<HostId, (string Endpoint, IHostAgent Agent)> _agents = new();

    public AgentDirectory(IAgentConnector connector) : this(connector, SafetyRules.All) { }

    internal AgentDirectory(IAgentConnector connector, SafetyRules rules) => (this.connector, _rules) = (connector, rules);

    public KnownEpochs Epochs { get; } = new();

    /// <summary>An unknown host is as silent as an unreachable one.</summary>
    public IHostAgent Of(HostId host) => _agents.TryGetValue(host, out var known) ? known.Agent
        : throw new AgentUnreachableException(host, "it is not in the cluster any more");

    public IHostAgent Put(HostId host, string endpoint)
    {
        if (_agents.TryGetValue(host, out var known) && known.Endpoint == endpoint) return known.Agent;
        connector.Disconnect(host);
        var agent = Dial(host, endpoint);
        _agents[host] = (endpoint, agent);
        return agent;
    }

    /// <summary>Orders that are under way to it, or wait for a connection, are not delivered any more.</summary>
    public void CutOff(HostId host)
    {
        if (!_agents.TryGetValue(host, out var known)) return;
        connector.Disconnect(host);
        _agents[host] = (known.Endpoint, Dial(host, known.Endpoint));
    }

    private IHostAgent Dial(HostId host, string endpoint)
    {
        var agent = connector.Connect(host, endpoint);
        return _rules.Keeps(SafetyRule.FrozenWhenBehind) ? new GuardedAgent(host, agent, Epochs) : agent;
    }

    public void Remove(HostId host)
    {
        _agents.TryRemove(host, out _);
        Epochs.Forget(host);
        connector.Disconnect(host);
    }

    public void PutAll(IEnumerable<Host> hosts)
    {
        foreach (var host in hosts) Put(host.Id, host.Endpoint);
    }
}
