namespace Godwit.Core.Balance.Search;

/// <summary>
/// Who may be where and with whom, by numbers. A cost is in units of the score; <see cref="float.PositiveInfinity"/> forbids.
/// Read only.
/// </summary>
public sealed class UnitRules
{
    /// <summary>What staying costs while a hard rule is broken: more than all levelling together, so that it is mended first.</summary>
    public const float Broken = 1e6f;

    public static UnitRules None { get; } = new();

    /// <summary>Row of <see cref="HostCost"/> for each unit, −1 for none; empty where no unit has one.</summary>
    public int[] CostRow { get; init; } = [];
    /// <summary>[row][host].</summary>
    public float[][] HostCost { get; init; } = [];
    /// <summary>Groups of unit <c>u</c>: <c>Groups[GroupStart[u]..GroupStart[u + 1]]</c>; empty where there is no group.</summary>
    public int[] GroupStart { get; init; } = [];
    public int[] Groups { get; init; } = [];
    public int[] MemberStart { get; init; } = [];
    public int[] Members { get; init; } = [];
    /// <summary>For each group, what every other member on the same host costs; below 0 draws them together.</summary>
    public float[] CompanyCost { get; init; } = [];

    public bool Has(int unit) =>
        (CostRow.Length > 0 && CostRow[unit] >= 0) || (GroupStart.Length > 0 && GroupStart[unit + 1] > GroupStart[unit]);

    /// <summary>What the rules say of this unit on that host, while all others stay; infinite where forbidden.</summary>
    /// <param name="without">A unit that is thought away: the one it changes places with; −1 for none.</param>
    public float Cost(int unit, int host, int[] hostOf, int without = -1)
    {
        var cost = CostRow.Length > 0 && CostRow[unit] >= 0 ? HostCost[CostRow[unit]][host] : 0;
        if (GroupStart.Length == 0) return cost;
        for (var g = GroupStart[unit]; g < GroupStart[unit + 1]; g++)
        {
            var group = Groups[g];
            for (var m = MemberStart[group]; m < MemberStart[group + 1]; m++)
                if (Members[m] != unit && Members[m] != without && hostOf[Members[m]] == host) cost += CompanyCost[group];
        }
        return cost;
    }

    /// <summary>As <see cref="Cost"/>, for where it is: a broken rule is dear there, not infinite.</summary>
    public float StayingCost(int unit, int host, int[] hostOf) => Finite(Cost(unit, host, hostOf));

    public static float Finite(float cost) => float.IsPositiveInfinity(cost) ? Broken : cost;
}
