namespace Godwit.Core.Power;

public enum PowerDeed
{
    /// <summary>Not yet, for the reason told.</summary>
    Wait,
    /// <summary>A person is asked.</summary>
    Ask,
    Begin,
}

/// <summary>What becomes of one advice, and why.</summary>
public sealed record PowerDecision(PowerAdvice Advice, PowerDeed Deed, string Because);

/// <summary>Somebody works on hosts one after the other: until then none is turned off but by a person's word.</summary>
public sealed record PowerHold(DateTimeOffset Until, string Because);

/// <summary>From a plan to what is done about it now. Pure.</summary>
public static class PowerRules
{
    /// <summary>What a person dismissed is not said again so long.</summary>
    public static readonly TimeSpan DismissedFor = TimeSpan.FromHours(1);
    /// <summary>How often a hook is run before the host is given up for now.</summary>
    public const int TriesMax = 3;
    /// <summary>A host whose hook ended with 0 is silent by then, or it did not go off.</summary>
    public static readonly TimeSpan SilentBy = TimeSpan.FromMinutes(3);

    /// <summary>Since when a host could have been spared in every look; null: it cannot now.</summary>
    public static DateTimeOffset? LowSince(DateTimeOffset? before, PowerPlan plan, DateTimeOffset now) =>
        plan.Advices.Any(advice => advice.Act == PowerAct.Standby) ? before ?? now : null;

    /// <param name="powers">Of all hosts, as of now.</param>
    public static IReadOnlyList<PowerDecision> Decide(
        PowerSettings settings, PowerPlan plan, IReadOnlyDictionary<HostId, HostPower> powers, DateTimeOffset? lowSince,
        DateTimeOffset now, PowerHold? hold = null) =>
        [.. plan.Advices.Select(advice => Judge(settings, advice, powers, lowSince, now, hold))];

    private static PowerDecision Judge(
        PowerSettings settings, PowerAdvice advice, IReadOnlyDictionary<HostId, HostPower> powers, DateTimeOffset? lowSince,
        DateTimeOffset now, PowerHold? hold)
    {
        if (powers.GetValueOrDefault(advice.Host)?.DismissedAt is { } dismissed && now - dismissed < DismissedFor)
            return new(advice, PowerDeed.Wait, "a person dismissed it");
        if (advice.Act == PowerAct.Standby && WhyNotOffYet(settings, powers, lowSince, now, hold) is { } why)
            return new(advice, PowerDeed.Wait, why);
        return settings.Mode switch
        {
            PowerMode.Off => new(advice, PowerDeed.Wait, "its mode is off"),
            PowerMode.Manual => new(advice, PowerDeed.Ask, "its mode is manual"),
            _ => new(advice, PowerDeed.Begin, "its mode is automatic"),
        };
    }

    private static string? WhyNotOffYet(
        PowerSettings settings, IReadOnlyDictionary<HostId, HostPower> powers, DateTimeOffset? lowSince, DateTimeOffset now,
        PowerHold? hold)
    {
        if (hold is not null && now < hold.Until) return $"{hold.Because} goes on: no host is turned off meanwhile";
        if (!settings.MayTurnOff(now)) return $"hosts are turned off in {string.Join(", ", settings.Windows)} (UTC) only";
        var changing = powers.Where(p => p.Value.Phase is not (PowerPhase.On or PowerPhase.Standby))
            .OrderBy(p => p.Key.Value, StringComparer.Ordinal).Select(p => (HostId?)p.Key).FirstOrDefault();
        if (changing is { } host) return $"{host} is being turned off or on: one after the other";
        // What the last one that went off saved is seen first: the time counts anew from there.
        var last = powers.Values.Where(p => p.Phase == PowerPhase.Standby).Max(p => p.Since);
        var from = lowSince > last || last is null ? lowSince : last;
        var low = from is { } since ? now - since : TimeSpan.Zero;
        return low >= TimeSpan.FromMinutes(settings.LowMinutes) ? null
            : $"a host could be spared for {low.TotalMinutes:0} min, {settings.LowMinutes} are wanted";
    }
}
