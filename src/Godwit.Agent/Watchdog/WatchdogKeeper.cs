using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Watchdog;

/// <summary>
/// Pets this host's watchdog while the server's lease is fresh, and lets it reset the host otherwise (ADR 24).
///
///   none       no arming was ever held to, or the last was let go: the server does not count on this watchdog
///   held       an arming is written down, over restarts and reboots: no guest begins here but under a lease, and the device
///              is opened by nothing but a grant, because opening is a pet
///   let go     the server noted first that it counts on it no more; the device is stopped, or petted without a lease
///
/// An agent that ends, hangs or is stopped by a person pets no more, whatever its reason; the next one has the device's
/// timeout to come back and to be granted a lease.
/// </summary>
/// <param name="device">Null: this host has none, and says so.</param>
/// <param name="timeout">What the device is to be set to.</param>
public sealed partial class WatchdogKeeper(
    IWatchdog? device, TimeSpan timeout, WatchdogRecords records, TimeProvider time, IRandomness randomness, ILogger log)
{
    /// <summary>Grants that cross on their way are few; each ticket names a moment of this process.</summary>
    private const int TicketsMax = 8, IdBytes = 8, LetGoTriesMax = 5;
    private readonly SemaphoreSlim one = new(1, 1);
    private readonly LinkedList<(string Ticket, long At)> tickets = new();
    private readonly Lock leaseLock = new();
    private (long Asked, TimeSpan For)? lease;
    /// <summary>Replaced as a whole, so that who asks meanwhile sees one moment.</summary>
    private volatile Standing now = new(null, null, null, null);
    private volatile bool isOpen, isFree;

    internal SafetyRules Rules { get; init; } = SafetyRules.All;

    /// <summary>What a former agent of this host held to. Before any guest begins.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        now = now with { Arming = await records.ReadAsync(cancel) };
        if (now.Arming is null && device is not null && records.WasLetGo) KeepFree(device);
    }

    /// <summary>Null where the agent has no watchdog and holds to no arming.</summary>
    public WatchdogFacts? Facts
    {
        get
        {
            var (arming, since, wait, problem) = now;
            if (device is null && arming is null) return null;
            // What it offers, until the device has it: what a device makes of it instead is in the problem.
            var seconds = (int)(since is not null && wait is not null ? wait.Real : timeout).TotalSeconds;
            return new WatchdogFacts(device?.Device ?? "", device?.Identity ?? "", seconds, arming, since,
                device?.NoWayOut ?? false, device is null ? "the agent was started without --watchdog" : problem);
        }
    }

    /// <summary>Null where a guest may begin here now.</summary>
    public Refusal? WhyNoGuest => now is { Arming: null } || (now.ArmedSince is not null && IsFresh) ? null
        : new Refusal("watchdog-not-armed", "this host is fenced by its own watchdog, which is not armed under a lease now"
            + (Facts?.Problem is { } why ? $": {why}" : ""),
            "wait until the server has renewed its lease; or fence it otherwise: 'godwit host set HOST --fence none'");

    public async Task<LeaseAnswer> RenewAsync(LeaseGrant? grant, CancellationToken cancel)
    {
        if (grant is not null) Check(grant);
        await one.WaitAsync();
        try
        {
            cancel.ThrowIfCancellationRequested();
            if (grant is not null && device is not null && Redeem(grant) is { } asked) await TakeAsync(device, grant, asked);
            var ticket = randomness.NextHex(IdBytes);
            if (tickets.Count >= TicketsMax) tickets.RemoveFirst();
            tickets.AddLast((ticket, time.GetTimestamp()));
            return new LeaseAnswer(ticket, Facts);
        }
        finally { one.Release(); }
    }

    /// <summary>First durably, then the device: a crash between leaves one that runs, which the next agent finds and stops.</summary>
    public async Task ReleaseAsync(string released, CancellationToken cancel)
    {
        await one.WaitAsync();
        try
        {
            cancel.ThrowIfCancellationRequested();
            if (now.Arming is null || now.Arming != released) return;
            await records.WriteAsync(null);
            tickets.Clear(); // A grant that is still under way arms nothing any more.
            now = now with { Arming = null, ArmedSince = null, Problem = null };
            lock (leaseLock) lease = null;
            ReleasedNow(log, released);
            if (device is not null) KeepFree(device);
        }
        finally { one.Release(); }
    }

    private static void Check(LeaseGrant grant)
    {
        if (grant.Arming is { Length: 0 or > 64 } || grant.LeaseSeconds < 1 || grant.LeaseSeconds > WatchdogRules.LeaseMax.TotalSeconds
            || grant.TimeoutSeconds < WatchdogRules.TimeoutMin.TotalSeconds || grant.TimeoutSeconds > WatchdogRules.TimeoutMax.TotalSeconds)
            throw new RefusedException("bad-lease", "the lease or the timeout that was granted is not one an agent takes",
                "run server and agents of the same version");
    }

    /// <summary>When its ticket was answered; null for one that is unknown or used. Older ones are void with it.</summary>
    private long? Redeem(LeaseGrant grant)
    {
        if (tickets.All(t => t.Ticket != grant.Ticket)) return null;
        while (true)
        {
            var oldest = tickets.First!.Value;
            tickets.RemoveFirst();
            if (oldest.Ticket == grant.Ticket) return oldest.At;
        }
    }

    private async Task TakeAsync(IWatchdog armed, LeaseGrant grant, long asked)
    {
        // Left out only by a simulated agent, to see that a checker notices.
        if (!Rules.Keeps(SafetyRule.LeaseFromAsking)) asked = time.GetTimestamp();
        var length = TimeSpan.FromSeconds(grant.LeaseSeconds);
        if (!WatchdogRules.IsFresh(time.GetElapsedTime(asked), length)) return;
        var isNew = now.Arming != grant.Arming;
        if (isNew)
        {
            await records.WriteAsync(grant.Arming); // Before it counts on anything: from here on no guest begins without a lease.
            now = now with { Arming = grant.Arming, ArmedSince = null };
            isFree = false;
            tickets.Clear();
        }
        lock (leaseLock)
            if (lease is not { } before || asked + Ticks(length) > before.Asked + Ticks(before.For)) lease = (asked, length);
        var wish = TimeSpan.FromSeconds(grant.TimeoutSeconds);
        if (now.ArmedSince is not null && now.Wait?.Wish == wish) return;
        try
        {
            if (!IsFresh) return; // Writing took longer than the lease.
            Open(armed, wish);
            now = now with { ArmedSince = time.GetUtcNow(), Problem = null };
            Armed(log, armed.Device, armed.Identity, now.Wait!.Real.TotalSeconds);
        }
        catch (IOException failed)
        {
            now = now with { ArmedSince = null, Problem = $"{armed.Device} cannot be armed: {failed.Message}" };
            CannotArm(log, now.Problem!);
            if (!isNew || isOpen) return; // It may be counted on: no guest begins until it can be armed, or is let go.
            await records.WriteAsync(null);
            now = now with { Arming = null };
        }
    }

    private void Open(IWatchdog armed, TimeSpan wish)
    {
        var real = armed.Arm(wish);
        now = now with { Wait = new Waiting(wish, real) };
        if (!isOpen)
        {
            isOpen = true;
            _ = PetAsync(armed);
        }
        if (real > wish || real < WatchdogRules.TimeoutMin)
            throw new IOException($"it was to wait {wish.TotalSeconds:0} s and waits {real.TotalSeconds:0} s: "
                + $"start the agent with a --watchdog-timeout that it takes");
    }

    /// <summary>Never faults. The check and the pet stand side by side: what lies between them is in the server's wait.</summary>
    private async Task PetAsync(IWatchdog armed)
    {
        var wasFresh = true;
        while (isOpen && now.Wait is { Real: var wait })
        {
            try
            {
                if (isFree || IsFresh) armed.Pet();
                if (!isFree && wasFresh && !IsFresh) Lapsed(log, wait.TotalSeconds);
                wasFresh = isFree || IsFresh;
            }
            catch (IOException failed) { CannotPet(log, armed.Device, failed.Message); }
            await Task.Delay(WatchdogRules.PetEvery(wait), time);
        }
    }

    /// <summary>Nobody counts on it: it is stopped, or, where nothing stops it, petted for as long as this agent lives.</summary>
    private void KeepFree(IWatchdog free)
    {
        isFree = true;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                if (!isOpen)
                {
                    if (!free.Runs) return;
                    Open(free, timeout);
                }
                if (!free.TryStop()) return;
                isOpen = false;
                now = now with { Wait = null };
                return;
            }
            catch (IOException failed) when (attempt < LetGoTriesMax) { CannotPet(log, free.Device, failed.Message); }
            catch (IOException failed)
            {
                now = now with { Problem = $"{free.Device} cannot be let go: {failed.Message}" };
                return;
            }
        }
    }

    private bool IsFresh
    {
        get
        {
            lock (leaseLock) return lease is { } held && WatchdogRules.IsFresh(time.GetElapsedTime(held.Asked), held.For);
        }
    }

    private long Ticks(TimeSpan span) => (long)(span.TotalSeconds * time.TimestampFrequency);

    private sealed record Standing(string? Arming, DateTimeOffset? ArmedSince, Waiting? Wait, string? Problem);

    private sealed record Waiting(TimeSpan Wish, TimeSpan Real);

    [LoggerMessage(LogLevel.Information,
        "{Device} ({Identity}) is armed: without a lease of the server this host is reset within {Seconds} s")]
    private static partial void Armed(ILogger log, string device, string identity, double seconds);
    [LoggerMessage(LogLevel.Error, "The server's lease has run out: without a new one this host is reset within {Seconds} s")]
    private static partial void Lapsed(ILogger log, double seconds);
    [LoggerMessage(LogLevel.Information, "Arming {Arming} of the watchdog is let go")]
    private static partial void ReleasedNow(ILogger log, string arming);
    [LoggerMessage(LogLevel.Error, "{Why}")]
    private static partial void CannotArm(ILogger log, string why);
    [LoggerMessage(LogLevel.Error, "{Device}: {Why}")]
    private static partial void CannotPet(ILogger log, string device, string why);
}
