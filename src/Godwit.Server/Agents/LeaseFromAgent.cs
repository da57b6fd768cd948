using Godwit.Core.Fencing;

namespace Godwit.Server.Agents;

/// <summary>Leases and watchdogs, as an agent understands them and as it tells them.</summary>
public static class LeaseFromAgent
{
    public static Contracts.RenewLeaseRequest Message(LeaseGrant? grant) => grant is null ? new() : new()
    {
        Grant = new Contracts.LeaseGrant
        {
            Ticket = grant.Ticket, Arming = grant.Arming, LeaseSeconds = grant.LeaseSeconds, TimeoutSeconds = grant.TimeoutSeconds,
        },
    };

    public static LeaseAnswer Record(Contracts.LeaseAnswer answer) => new(answer.Ticket, Record(answer.Watchdog));

    /// <summary>Null where the agent has none. What it may say is bounded: it is written down and shown.</summary>
    public static WatchdogFacts? Record(Contracts.WatchdogFacts? facts)
    {
        if (facts is null) return null;
        if (facts.TimeoutSeconds < 1 || facts.TimeoutSeconds > WatchdogRules.TimeoutMax.TotalSeconds)
            throw new InvalidDataException($"a watchdog of {facts.TimeoutSeconds} s is none that this server knows");
        return new WatchdogFacts(
            facts.Device, facts.Identity, facts.TimeoutSeconds, facts.HasArming ? facts.Arming : null,
            facts.ArmedSince?.ToDateTimeOffset(), facts.NoWayOut, facts.HasProblem ? facts.Problem : null);
    }
}
