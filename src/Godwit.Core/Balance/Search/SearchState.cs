namespace Godwit.Core.Balance.Search;

/// <summary>Where every unit is while the search goes on. Cells share it: each touches only its own hosts and their units.</summary>
internal sealed class SearchState
{
    private readonly BalanceModel model;
    public readonly int[] HostOf;
    public readonly double[] Loads;
    /// <summary>The units of a host, as a list: first of each host, next of each unit, −1 at the end.</summary>
    public readonly int[] FirstOn, NextOn, PreviousOn;
    public readonly int[] PlaceInCell, PlaceOf;
    public readonly int[] CellOf;
    public readonly bool[] IsLimited;
    public double Price;

    public SearchState(BalanceModel model, int[] hostOf)
    {
        this.model = model;
        HostOf = (int[])hostOf.Clone();
        Loads = new double[model.Hosts * model.Resources];
        (FirstOn, PlaceInCell, CellOf) = (new int[model.Hosts], new int[model.Hosts], new int[model.Hosts]);
        (NextOn, PreviousOn, PlaceOf) = (new int[model.Units], new int[model.Units], new int[model.Units]);
        IsLimited = new bool[model.Resources];
        for (var i = 0; i < model.Limit.Length; i++)
            if (double.IsFinite(model.Limit[i])) IsLimited[i % model.Resources] = true;
        // A closed host is one that no amount of any resource fits on: one resource is enough to say so.
        if (model.Closed.AsSpan().Contains(true)) IsLimited[0] = true;
        Rebuild();
    }

    /// <summary>Loads and lists again from the placement: exact, in one order, whatever way led there.</summary>
    public void Rebuild()
    {
        model.LoadsOf(HostOf, Loads);
        Array.Fill(FirstOn, -1);
        for (var unit = model.Units - 1; unit >= 0; unit--)
            Link(unit, HostOf[unit]);
    }

    public void Move(int unit, int source, int target)
    {
        Unlink(unit, source);
        Link(unit, target);
        HostOf[unit] = target;
        for (var k = 0; k < model.Resources; k++)
        {
            var amount = model.Demand[unit * model.Resources + k];
            Loads[source * model.Resources + k] -= amount;
            Loads[target * model.Resources + k] += amount;
        }
    }

    /// <summary>True if the host takes new ones and has room, counted exactly.</summary>
    public bool Fits(int unit, int host) => FitsInstead(unit, -1, host);

    /// <summary>As <see cref="Fits"/>, where another leaves at the same time: nothing may rise above a limit, or further.</summary>
    public bool FitsInstead(int comes, int goes, int host)
    {
        if (model.Closed[host]) return false;
        for (var k = 0; k < model.Resources; k++)
        {
            var more = model.Demand[comes * model.Resources + k] - (goes < 0 ? 0 : model.Demand[goes * model.Resources + k]);
            if (more > 0 && Loads[host * model.Resources + k] + more > model.Limit[host * model.Resources + k]) return false;
        }
        return true;
    }

    /// <summary>How many units are away from home.</summary>
    public int Moved()
    {
        var moved = 0;
        for (var unit = 0; unit < model.Units; unit++)
            if (HostOf[unit] != model.Home[unit]) moved++;
        return moved;
    }

    private void Link(int unit, int host)
    {
        var next = FirstOn[host];
        (NextOn[unit], PreviousOn[unit], FirstOn[host]) = (next, -1, unit);
        if (next >= 0) PreviousOn[next] = unit;
    }

    private void Unlink(int unit, int host)
    {
        var (before, after) = (PreviousOn[unit], NextOn[unit]);
        if (before >= 0) NextOn[before] = after;
        else FirstOn[host] = after;
        if (after >= 0) PreviousOn[after] = before;
    }
}
