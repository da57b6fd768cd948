namespace Godwit.Core.Fencing;

/// <summary>
/// When elapsed time proves that a host is off: its agent pets the kernel's watchdog only under a lease of the server, so a
/// host that got no lease for long enough was reset by its own hardware. Pure; the arithmetic is in docs/adr/0024.
/// </summary>
public static class WatchdogRules
{
    /// <summary>What <c>host set --fence</c> calls it; a hook cannot have this name.</summary>
    public const string FenceName = "watchdog";

    public static readonly TimeSpan LeaseDefault = TimeSpan.FromSeconds(60);
    public static readonly TimeSpan LeaseMin = TimeSpan.FromSeconds(20), LeaseMax = TimeSpan.FromHours(1);
    public static readonly TimeSpan TimeoutDefault = TimeSpan.FromSeconds(30);
    public static readonly TimeSpan TimeoutMin = TimeSpan.FromSeconds(5), TimeoutMax = TimeSpan.FromMinutes(5);
    /// <summary>Clocks of two machines run apart by less than a thousandth; what a device rounds is part of this too.</summary>
    public const double DriftMax = 0.05;
    private static readonly TimeSpan MarginMin = TimeSpan.FromSeconds(5);

    /// <summary>
    /// After this time without a grant the host was reset, counted at the server from the sending of its last grant. Twice the
    /// timeout: an agent may look at its lease, stand still for nearly a timeout, and pet once more when it goes on.
    /// </summary>
    public static TimeSpan ProofAfter(TimeSpan lease, TimeSpan timeout)
    {
        var resetWithin = lease + 2 * timeout;
        var margin = resetWithin * DriftMax;
        return resetWithin + (margin > MarginMin ? margin : MarginMin);
    }

    public static TimeSpan ProofAfter(WatchdogNote note) => ProofAfter(note.Lease, note.Timeout);

    /// <summary>Only of a host whose watchdog was seen armed, and has not been let go since.</summary>
    public static bool Proves(WatchdogNote? note, TimeSpan sinceLastGrant) =>
        note is { Confirmed: true } && sinceLastGrant >= ProofAfter(note);

    /// <summary>
    /// The lease counts from the agent's own question that this grant answers, however long the grant was under way: so it ends
    /// at the agent before it ends at the server, which counts from sending it.
    /// </summary>
    public static bool IsFresh(TimeSpan sinceAsked, TimeSpan lease) => sinceAsked < lease;

    /// <summary>Five chances to pet in one timeout.</summary>
    public static TimeSpan PetEvery(TimeSpan timeout) => timeout / 5;

    /// <summary>What the server writes down next, from what the agent says; the same where nothing changed. A wait only grows.</summary>
    /// <param name="note">What is written down; null: nothing.</param>
    /// <param name="said">Null: the agent has no watchdog.</param>
    /// <param name="newArming">The name of an arming that begins now.</param>
    public static WatchdogNote? Next(WatchdogNote? note, WatchdogFacts? said, TimeSpan lease, string newArming)
    {
        // An agent that holds to this arming may still have guests under it; of any other the watchdog proves nothing.
        if (said is null) return note is { Confirmed: true } ? note with { Confirmed = false } : note;
        note ??= new WatchdogNote(newArming, 0, 0, Confirmed: false);
        return note with
        {
            LeaseSeconds = Math.Max(note.LeaseSeconds, (int)lease.TotalSeconds),
            TimeoutSeconds = note.Confirmed ? note.TimeoutSeconds : Math.Max(note.TimeoutSeconds, said.TimeoutSeconds),
            Confirmed = said.Arming == note.Arming && (note.Confirmed || (said.IsArmed && said.TimeoutSeconds <= note.TimeoutSeconds)),
        };
    }
}

/// <summary>The server's durable record that a host is fenced by its own watchdog.</summary>
/// <param name="Arming"><c>wd-</c> and 12 hex digits: what is said of an earlier arming is not about this one.</param>
/// <param name="LeaseSeconds">The longest that was granted under it.</param>
/// <param name="TimeoutSeconds">What the device is told; once it is confirmed, the same until it is let go.</param>
/// <param name="Confirmed">The agent said that it is armed: from then on elapsed time proves something.</param>
public sealed record WatchdogNote(string Arming, int LeaseSeconds, int TimeoutSeconds, bool Confirmed)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public TimeSpan Lease => TimeSpan.FromSeconds(LeaseSeconds);
    [System.Text.Json.Serialization.JsonIgnore]
    public TimeSpan Timeout => TimeSpan.FromSeconds(TimeoutSeconds);
}

/// <summary>How a host's watchdog stands, as its agent says.</summary>
/// <param name="Device">As the agent was started with: <c>/dev/watchdog</c>.</param>
/// <param name="Identity">The driver's own name for it; empty where it is not known.</param>
/// <param name="TimeoutSeconds">After this time without a pet it resets the host.</param>
/// <param name="Arming">The arming the agent holds to, also over a reboot, until it is told to let go; null: none.</param>
/// <param name="ArmedSince">Null: it does not run under a lease now, and no guest begins here while an arming is held to.</param>
/// <param name="NoWayOut">Once it runs nothing stops it; let go, it is petted without a lease.</param>
/// <param name="Problem">Why it could not be armed; null: nothing is known to be wrong.</param>
public sealed record WatchdogFacts(
    string Device, string Identity, int TimeoutSeconds, string? Arming, DateTimeOffset? ArmedSince, bool NoWayOut, string? Problem)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsArmed => Arming is not null && ArmedSince is not null;
}

/// <summary>One grant of the server, for the question that <paramref name="Ticket"/> names; each ticket is good for one.</summary>
public sealed record LeaseGrant(string Ticket, string Arming, int LeaseSeconds, int TimeoutSeconds);

/// <param name="Ticket">Names this moment at the agent: what the server grants with it counts from now.</param>
/// <param name="Watchdog">Null: the agent was started without one.</param>
public sealed record LeaseAnswer(string Ticket, WatchdogFacts? Watchdog);
