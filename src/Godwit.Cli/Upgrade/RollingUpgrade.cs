using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core.Hosts;
using Godwit.Server.Api;
using Godwit.Server.Draining;

namespace Godwit.Cli.Upgrade;

/// <summary>
/// One host after the other: wake it where it is on standby, drain, the person's command, wait until it is back, the person's check,
/// restore. It runs here, with the person's own rights on the hosts; drains and restores are jobs of the server, so a window that is
/// closed leaves none half done.
/// The first host that does not go well ends it: that one stays empty, and the others were not touched.
/// </summary>
internal sealed class RollingUpgrade(Session session, UpgradeWish wish, Func<string, string, CancellationToken, Task<int>> run)
{
    private static readonly TimeSpan lookEvery = TimeSpan.FromSeconds(1);
    private readonly SleepingHosts sleepers = new(session);

    /// <summary>
    /// The hosts in their order: as named, else those with least on them first, whose failure would cost least. Before all those on
    /// standby: nothing is on them, and once awake they are room for the others' VMs.
    /// </summary>
    public static IReadOnlyList<HostView> InOrder(IReadOnlyList<HostView> hosts, IReadOnlyList<VmView> vms, IReadOnlyList<string> named)
    {
        if (named.Count > 0)
            return [.. named.Distinct().Select(name => hosts.FirstOrDefault(h => h.Id.Value == name) ?? throw Unknown(name))];
        var memory = vms.ToLookup(vm => vm.Owner, vm => vm.Spec.MemoryBytes);
        return
        [
            .. hosts.OrderBy(h => h.State != HostState.Standby).ThenBy(h => memory[h.Id].Sum())
                .ThenBy(h => h.Id.Value, StringComparer.Ordinal),
        ];
    }

    /// <summary>
    /// Null, or why the cluster is not fit for it now: with one host away already the next would be one too many. One on standby is
    /// none that is away: it can be spared, and is woken where it is needed.
    /// </summary>
    public static ApiError? WhyNot(IReadOnlyList<HostView> all, IReadOnlyList<HostView> chosen)
    {
        if (all.Select(h => SleepingHosts.WhyNot(h, chosen.Contains(h))).FirstOrDefault(why => why is not null) is { } why) return why;
        var amiss = all.FirstOrDefault(
            h => h.State is not (HostState.Ready or HostState.Standby) && !(chosen.Contains(h) && IsEmpty(h)));
        return amiss is null ? null : new ApiError("cluster-not-whole", $"{amiss.Id} is {DrainText.StateOf(amiss)}")
        {
            Next = $"bring it back first: 'godwit host restore {amiss.Id}', or look at 'godwit host show {amiss.Id}'",
        };
    }

    /// <summary>False where a host did not go well; what to do was told.</summary>
    public async Task<bool> RunAsync(IReadOnlyList<HostView> hosts, CancellationToken cancel)
    {
        try
        {
            for (var n = 0; n < hosts.Count; n++)
            {
                var host = hosts[n].Id.Value;
                session.Screen.Line($"{host} ({n + 1} of {hosts.Count})", Tone.Strong);
                if (await OneAsync(host, cancel) is not { } amiss) continue;
                session.Screen.Line($"{host}: {amiss.Why}", Tone.Bad);
                session.Screen.Line($"Nothing else was touched. Put it right, then go on with: {Again(hosts.Skip(n))}; "
                    + (amiss.IsOff ? n + 1 < hosts.Count ? $"or without it: {Again(hosts.Skip(n + 1))}" : "or leave it as it is"
                        : $"or give it its VMs back: godwit host restore {host}"));
                return false;
            }
            await sleepers.PutBackAsync(cancel);
            return true;
        }
        finally { sleepers.TellLeftOn(); }
    }

    private static string Again(IEnumerable<HostView> left) =>
        $"godwit cluster upgrade {string.Join(" ", left.Select(h => $"--host {h.Id}"))} --command …";

    private async Task<Amiss?> OneAsync(string host, CancellationToken cancel)
    {
        var before = await session.Api.HostAsync(host, cancel);
        if (await sleepers.WakeAsync(before, cancel) is { } asleep) return new(asleep, IsOff: true);
        if (await WorkAsync(host, cancel) is { } why) return new(why);
        // Restored it takes VMs; a person did not want that before it went to standby.
        if (before.Power.WasCordoned) await session.Api.ActOnHostAsync(host, "cordon", cancel);
        return null;
    }

    private async Task<string?> WorkAsync(string host, CancellationToken cancel)
    {
        if (!IsEmpty(await session.Api.HostAsync(host, cancel)))
        {
            await session.Api.BeginDrainAsync(host, wish.Drain, cancel);
            var drain = await FollowAsync(host, cancel);
            if (drain.End != DrainEnd.Drained) return $"not emptied: {drain.Reason}";
        }
        session.Screen.Note($"{host}: running the command");
        if (await run(wish.Command, host, cancel) is not 0 and var code) return $"the command ended with {code}";
        if (!await IsBackAsync(host, cancel)) return $"it did not answer for {wish.BackMax.TotalMinutes:0} min after the command";
        if (wish.Verify is { } verify && await run(verify, host, cancel) is not 0 and var verdict) return $"the check ended with {verdict}";
        await session.Api.RestoreHostAsync(host, new RestoreHostRequest(wish.Return), cancel);
        var back = await FollowAsync(host, cancel);
        if (back.End != DrainEnd.Returned) return $"not restored: {back.Reason}";
        session.Screen.Line($"{host}: done; {back.Reason}", Tone.Good);
        return null;
    }

    private async Task<Drain> FollowAsync(string host, CancellationToken cancel)
    {
        for (var told = ""; ; await Task.Delay(lookEvery, session.Time, cancel))
        {
            var drain = await session.Api.DrainAsync(host, cancel);
            var now = DrainText.StateOf(drain);
            if (now != told) session.Screen.Note($"{host}: {told = now}");
            if (drain.HasEnded) return drain;
        }
    }

    /// <summary>Answers without a break for a while: a command may only have asked for a reboot that is still to come.</summary>
    private async Task<bool> IsBackAsync(string host, CancellationToken cancel)
    {
        var begun = session.Time.GetTimestamp();
        var since = begun;
        while (session.Time.GetElapsedTime(begun) < wish.BackMax)
        {
            if ((await session.Api.HostAsync(host, cancel)).State is HostState.Unreachable or HostState.Fenced)
                since = session.Time.GetTimestamp();
            else if (session.Time.GetElapsedTime(since) >= wish.Settle) return true;
            await Task.Delay(lookEvery, session.Time, cancel);
        }
        return false;
    }

    private static bool IsEmpty(HostView host) =>
        host is { State: HostState.Cordoned, Drain: { Kind: DrainKind.Away, End: DrainEnd.Drained } };

    private static ApiException Unknown(string name) =>
        new(new ApiError("host-unknown", $"there is no host {name}") { Next = "see 'godwit host list'" });
}

/// <param name="IsOff">It is on standby still: nothing was done on it, and no VM was moved off it.</param>
internal sealed record Amiss(string Why, bool IsOff = false);

/// <param name="Command">A line for /bin/sh; <c>{host}</c> in it, and GODWIT_HOST in its environment, is the host's name.</param>
/// <param name="Verify">As that; it must end with 0 before the host gets its VMs back.</param>
/// <param name="Settle">How long a host must answer without a break to count as back.</param>
/// <param name="BackMax">How long it is waited for.</param>
internal sealed record UpgradeWish(string Command, string? Verify, DrainRequest Drain, bool Return, TimeSpan Settle, TimeSpan BackMax);
