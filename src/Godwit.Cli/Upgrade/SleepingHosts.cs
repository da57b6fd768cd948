using Godwit.Cli.Screens;
using Godwit.Client;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Server.Api;

namespace Godwit.Cli.Upgrade;

/// <summary>
/// Hosts that are on standby when their turn comes: each is woken for it, and all go back once every host went well. Not sooner: while
/// they are on, they are room for the VMs of the others. Where the upgrade ends before, they stay on, because a host is amiss.
/// </summary>
internal sealed class SleepingHosts(Session session)
{
    private static readonly TimeSpan lookEvery = TimeSpan.FromSeconds(1);
    private readonly List<string> woken = [];

    /// <summary>Null, or why this host keeps the upgrade from beginning: it is on its way off, or could not be woken.</summary>
    public static ApiError? WhyNot(HostView host, bool isChosen) => host.Power.Phase switch
    {
        PowerPhase.Emptying or PowerPhase.GoingOff => new ApiError("cluster-not-whole", $"{host.Id} is on its way to standby")
        {
            Next = $"wait until it is there ('godwit host show {host.Id}'), then the same again",
        },
        PowerPhase.Standby when isChosen && host.Power.OnHook is null => new ApiError(
            "power-hook-missing", $"{host.Id} is on standby, and has no hook that turns it on")
        {
            Next = $"turn it on by hand: it is taken back as it answers; or 'godwit host set {host.Id} --power-on NAME'; "
                + "or leave it out: name the others with --host",
        },
        _ => null,
    };

    /// <summary>What the plan says of a host; null where it is on.</summary>
    public static string? Note(HostView host) => host.Power.Phase switch
    {
        PowerPhase.Standby when host.Power.OnHook is not null => "on standby: it is woken, and goes back in the end"
            + (host.Power.Problem is { } problem ? $" (last time: {problem})" : ""),
        PowerPhase.Waking => "it is being woken",
        _ => null,
    };

    /// <summary>Its turn has come: on once this returns. Null, or why it is not.</summary>
    public async Task<string?> WakeAsync(HostView host, CancellationToken cancel)
    {
        if (WhyNot(host, isChosen: true) is { } not) return $"{not.Cause}; {not.Next}";
        if (host.Power.Phase == PowerPhase.On) return null;
        var name = host.Id.Value;
        if (host.Power.Phase == PowerPhase.Standby)
        {
            session.Screen.Note($"{name}: waking it");
            try { host = await session.Api.ActOnHostAsync(name, "wake", cancel); }
            catch (ApiException refused) { return $"not woken: {refused.Error.Cause}; {refused.Error.Next}"; }
            woken.Add(name);
        }
        for (; host.Power.Phase == PowerPhase.Waking; host = await session.Api.HostAsync(name, cancel))
            await Task.Delay(lookEvery, session.Time, cancel);
        if (host.Power.Phase == PowerPhase.On) return null;
        woken.Remove(name);
        return $"not woken: {host.Power.Problem ?? "it is on standby still"}; "
            + $"look at the machine, then 'godwit host wake {name}' tells whether it comes";
    }

    /// <summary>All went well: off again, one after the other; one that cannot be spared any more stays on, and why is told.</summary>
    public async Task PutBackAsync(CancellationToken cancel)
    {
        foreach (var name in woken.ToList())
        {
            try
            {
                var host = await session.Api.ActOnHostAsync(name, "standby", cancel);
                for (; host.Power.Phase is PowerPhase.Emptying or PowerPhase.GoingOff; host = await session.Api.HostAsync(name, cancel))
                    await Task.Delay(lookEvery, session.Time, cancel);
                if (host.Power.Phase == PowerPhase.Standby) session.Screen.Line($"{name}: on standby again", Tone.Good);
                else session.Screen.Line($"{name}: stays on: {host.Power.Problem ?? "it was woken"}", Tone.Warn);
            }
            catch (ApiException refused) { session.Screen.Line($"{name}: stays on: {refused.Error.Cause}", Tone.Warn); }
            woken.Remove(name);
        }
    }

    /// <summary>It ended before all went well.</summary>
    public void TellLeftOn()
    {
        foreach (var name in woken)
            session.Screen.Note($"{name} was on standby and stays on now; off again once all is well: godwit host standby {name}");
    }
}
