using Godwit.Core;
using Godwit.Core.Fencing;

namespace Godwit.Server.Fencing;

/// <summary>
/// When this server last granted each host a lease, by its own monotonic clock. A grant counts as sent the moment it is booked.
/// What an earlier server granted, it granted before this one began: so nothing is proved sooner than a whole wait after that.
/// Whoever is about to prove that a host is off closes it first; then nobody grants it anything.
/// </summary>
/// <param name="time">Of this process.</param>
public sealed class LeaseBook(TimeProvider time)
{
    private readonly Lock _one = new();
    private readonly long _began = time.GetTimestamp();
    private readonly Dictionary<HostId, Page> _pages = [];
    private long _closings;

    /// <summary>The agent's newest question; it replaces an older one that was not answered.</summary>
    public void Asked(HostId host, string ticket)
    {
        lock (_one) Of(host).Ticket = ticket;
    }

    /// <summary>To be sent now; null where the host asked for none, or is closed. Each question is answered once.</summary>
    public LeaseGrant? Grant(HostId host, WatchdogNote note, TimeSpan lease)
    {
        lock (_one)
        {
            var page = Of(host);
            if (page.Ticket is not { } ticket || page.Closed is not null) return null;
            (page.Ticket, page.Granted) = (null, time.GetTimestamp());
            return new LeaseGrant(ticket, note.Arming, (int)lease.TotalSeconds, note.TimeoutSeconds);
        }
    }

    /// <summary>For metrics. Of a host this server never granted anything, its own begin counts as a grant.</summary>
    public LeaseState StateOf(HostId host, WatchdogNote? note)
    {
        lock (_one)
        {
            var page = _pages.GetValueOrDefault(host);
            if (page?.Closed is not null) return LeaseState.Closed;
            if (note is not { Confirmed: true }) return LeaseState.Arming;
            return time.GetElapsedTime(page?.Granted ?? _began) < note.Lease ? LeaseState.Granted : LeaseState.Lapsed;
        }
    }

    /// <summary>How much longer silence has to last before it proves anything; zero: it does.</summary>
    public TimeSpan ProvesIn(HostId host, WatchdogNote note)
    {
        lock (_one)
        {
            var left = WatchdogRules.ProofAfter(note) - Since(host);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>True where elapsed time proves that the host is off, and nothing is granted to it from now on.</summary>
    public bool TryClose(HostId host, WatchdogNote? note)
    {
        lock (_one)
        {
            if (!WatchdogRules.Proves(note, Since(host))) return false;
            Of(host).Closed = new Closing(++_closings, IsDurable: false);
            return true;
        }
    }

    /// <summary>The proof is in the store: there it stands until the host is welcomed.</summary>
    public void Proved(HostId host)
    {
        lock (_one)
            if (Of(host) is { Closed: { } closed } page) page.Closed = closed with { IsDurable = true };
    }

    /// <summary>The proof was not written.</summary>
    public void Reopen(HostId host)
    {
        lock (_one) Of(host).Closed = null;
    }

    /// <summary>Hosts closed by a proof that is in the store: those a later look there finds open may be granted leases again.</summary>
    public IReadOnlyDictionary<HostId, long> ClosedByProof()
    {
        lock (_one)
            return _pages.Where(p => p.Value.Closed is { IsDurable: true }).ToDictionary(p => p.Key, p => p.Value.Closed!.Number);
    }

    public void Reopen(HostId host, long closing)
    {
        lock (_one)
            if (Of(host).Closed?.Number == closing) Of(host).Closed = null;
    }

    private TimeSpan Since(HostId host) => time.GetElapsedTime(Of(host).Granted);

    private Page Of(HostId host)
    {
        if (_pages.TryGetValue(host, out var page)) return page;
        return _pages[host] = new Page { Granted = _began };
    }

    private sealed class Page
    {
        public string? Ticket;
        public required long Granted;
        public Closing? Closed;
    }

    private sealed record Closing(long Number, bool IsDurable);
}

/// <summary>How the lease stands of a host that is fenced by its own watchdog.</summary>
public enum LeaseState
{
    /// <summary>Its watchdog was not seen armed: its silence proves nothing.</summary>
    Arming,
    Granted,
    /// <summary>It is without a lease: its watchdog resets it, or has.</summary>
    Lapsed,
    /// <summary>It was proved to be off, and is granted nothing until it is welcomed.</summary>
    Closed,
}
