using Godwit.Core;
using Godwit.Core.Loads;

namespace Godwit.Server.Observing;

/// <summary>
/// What all agents counted, added up, so that no metric bears a host's name. What an agent counted before this server heard of it
/// is left out; what it does in a silence is in the first answer after it.
/// </summary>
public sealed class AgentTotals
{
    private readonly Lock _one = new();
    private readonly Dictionary<HostId, (AgentCounts Said, bool Answers)> _agents = [];
    private long _looks, _writes;
    private double _lookSeconds;

    public void Take(HostId host, AgentCounts said)
    {
        lock (_one)
        {
            var before = _agents.TryGetValue(host, out var known) ? known.Said : said;
            if (said.IsAnewAfter(before)) before = new AgentCounts();
            _looks += said.MemoryLooks - before.MemoryLooks;
            _lookSeconds += said.MemoryLookSeconds - before.MemoryLookSeconds;
            _writes += said.JournalWrites - before.JournalWrites;
            _agents[host] = (said, true);
        }
    }

    /// <summary>What it runs now nobody knows; what it counted stands.</summary>
    public void Silent(HostId host)
    {
        lock (_one)
            if (_agents.TryGetValue(host, out var known)) _agents[host] = known with { Answers = false };
    }

    /// <summary>Of hosts that left the cluster nothing is remembered; what they counted stays counted.</summary>
    public void KeepOnly(IReadOnlySet<HostId> hosts)
    {
        lock (_one)
            foreach (var gone in _agents.Keys.Where(host => !hosts.Contains(host)).ToList()) _agents.Remove(gone);
    }

    /// <summary>How many agents answer, and all that they said together.</summary>
    public (int Agents, AgentCounts Sum) Now()
    {
        lock (_one)
        {
            var answering = _agents.Values.Where(agent => agent.Answers).Select(agent => agent.Said).ToList();
            return (answering.Count, new AgentCounts
            {
                Qemus = answering.Sum(said => said.Qemus), MovesOpen = answering.Sum(said => said.MovesOpen),
                MemoryLooks = _looks, MemoryLookSeconds = _lookSeconds, JournalWrites = _writes,
            });
        }
    }
}
