using Godwit.Core.Fencing;
using Google.Protobuf.WellKnownTypes;

namespace Godwit.Agent.Rpc;

/// <summary>Leases and watchdogs as messages, both ways.</summary>
public static class LeaseToServer
{
    public static Contracts.LeaseAnswer Message(LeaseAnswer answer)
    {
        var message = new Contracts.LeaseAnswer { Ticket = answer.Ticket };
        if (answer.Watchdog is { } watchdog) message.Watchdog = Message(watchdog);
        return message;
    }

    public static Contracts.WatchdogFacts Message(WatchdogFacts facts)
    {
        var message = new Contracts.WatchdogFacts
        {
            Device = facts.Device, Identity = facts.Identity, TimeoutSeconds = facts.TimeoutSeconds, NoWayOut = facts.NoWayOut,
        };
        if (facts.Arming is { } arming) message.Arming = arming;
        if (facts.ArmedSince is { } since) message.ArmedSince = Timestamp.FromDateTimeOffset(since);
        if (facts.Problem is { } problem) message.Problem = problem;
        return message;
    }

    public static LeaseGrant? Record(Contracts.LeaseGrant? grant) => grant is null ? null
        : new LeaseGrant(grant.Ticket, grant.Arming, grant.LeaseSeconds, grant.TimeoutSeconds);
}
