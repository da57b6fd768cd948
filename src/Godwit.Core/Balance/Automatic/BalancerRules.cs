namespace Godwit.Core.Balance.Automatic;

public enum Act
{
    /// <summary>Not yet, for the reason told.</summary>
    Wait,
    /// <summary>A person is asked.</summary>
    Ask,
    Begin,
}

/// <summary>What becomes of one move of a plan, and why.</summary>
public sealed record Advice(PlannedMove Move, Act Act, string Because);

/// <summary>From a plan to what is done about it now, by mode, persistence and caps. Pure.</summary>
public static class BalancerRules
{
    /// <summary>Five minutes of samples: before, a VM's load is not known well enough to move it unasked in partial mode.</summary>
    public const int SamplesMin = 30;

    /// <param name="samples">Of each VM, how many were taken in the last half hour.</param>
    /// <param name="underWay">Moves that this balancer began and that go on.</param>
    /// <param name="dismissed">What a person did not want, within the cool-down.</param>
    public static IReadOnlyList<Advice> Decide(
        BalancerSettings settings, BalancePlan plan, LookHistory history, Func<VmId, int> samples, int underWay,
        IReadOnlySet<(VmId Vm, HostId To)> dismissed)
    {
        var room = settings.MovesAtOnceMax - underWay;
        var advices = new List<Advice>();
        foreach (var move in plan.Moves)
        {
            var (act, because) = Judge(settings, move, history, samples, dismissed);
            if (act == Act.Begin && move.Wave > 1) (act, because) = (Act.Wait, "it waits for the moves before it");
            if (act == Act.Begin && room-- <= 0)
                (act, because) = (Act.Wait, $"{settings.MovesAtOnceMax} moves at the same time are enough");
            advices.Add(new Advice(move, act, because));
        }
        return advices;
    }

    private static (Act, string) Judge(
        BalancerSettings settings, PlannedMove move, LookHistory history, Func<VmId, int> samples,
        IReadOnlySet<(VmId, HostId)> dismissed)
    {
        if (dismissed.Contains((move.Vm, move.To))) return (Act.Wait, "a person dismissed it");
        if (!history.Lasts(move))
            return (Act.Wait, $"seen in {history.Times(move)} of the last {LookHistory.Kept} looks, {LookHistory.Needed} are needed");
        switch (settings.ModeOf(move.Vm))
        {
            case BalanceMode.Off: return (Act.Wait, "its mode is off");
            case BalanceMode.Manual: return (Act.Ask, "its mode is manual");
        }
        if (settings.PausedBecause is { } paused) return (Act.Ask, $"the balancer has paused itself: {paused}");
        if (settings.ModeOf(move.Vm) == BalanceMode.Automatic) return (Act.Begin, "its mode is automatic");
        return move.Goal is not (MoveGoal.Repair or MoveGoal.Relieve) ? (Act.Ask, "partial mode only levels by consent")
            : move.CopySeconds > settings.MaxCopySeconds
                ? (Act.Ask, $"its copy takes {move.CopySeconds:0} s, partial mode may take {settings.MaxCopySeconds:0}")
            : samples(move.Vm) < SamplesMin ? (Act.Ask, $"measured {samples(move.Vm)} times, partial mode wants {SamplesMin}")
            : (Act.Begin, "its mode is partial: short, and measured well");
    }
}
