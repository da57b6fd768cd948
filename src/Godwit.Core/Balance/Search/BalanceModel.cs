namespace Godwit.Core.Balance.Search;

/// <summary>
/// A cluster as the search sees it: flat arrays, hosts and units by number. A unit is what moves as one: a VM, or VMs that a
/// hard rule keeps together. Resource <c>k</c> of host <c>h</c> stands at <c>[h * Resources + k]</c>, units alike. Read only.
/// </summary>
public sealed class BalanceModel
{
    public const int ResourcesMax = 8;

    public required int Hosts { get; init; }
    public required int Units { get; init; }
    public required int Resources { get; init; }
    /// <summary>What a load is divided by, in the resource's own unit (bytes, cores, bytes a second); above 0.</summary>
    public required double[] Capacity { get; init; }
    /// <summary>What the host bears beside its units: itself, and VMs that may not move.</summary>
    public required double[] Standing { get; init; }
    /// <summary>A load may not be raised above this; <see cref="double.PositiveInfinity"/> is no limit.</summary>
    public required double[] Limit { get; init; }
    public required double[] Demand { get; init; }
    /// <summary>Where each unit runs now.</summary>
    public required int[] Home { get; init; }
    /// <summary>How dear a unit's move is, as a multiple of <see cref="SearchSettings.Price"/>.</summary>
    public required float[] Price { get; init; }
    /// <summary>Hosts that take nothing new: cordoned, drained, silent.</summary>
    public required bool[] Closed { get; init; }
    /// <summary>Hosts that every unit shall leave.</summary>
    public required bool[] Emptied { get; init; }
    public required UnitRules Rules { get; init; }

    /// <summary>Fills <paramref name="loads"/>, [host * Resources + k], for that placement.</summary>
    public void LoadsOf(int[] hostOf, double[] loads)
    {
        Standing.CopyTo(loads, 0);
        for (var unit = 0; unit < Units; unit++)
        {
            var (at, from) = (hostOf[unit] * Resources, unit * Resources);
            for (var k = 0; k < Resources; k++) loads[at + k] += Demand[from + k];
        }
    }

    /// <summary>The same cluster with other limits, prices or homes.</summary>
    public BalanceModel With(double[]? limit = null, float[]? price = null, int[]? home = null) => new()
    {
        Hosts = Hosts, Units = Units, Resources = Resources, Capacity = Capacity, Standing = Standing, Limit = limit ?? Limit,
        Demand = Demand, Home = home ?? Home, Price = price ?? Price, Closed = Closed, Emptied = Emptied, Rules = Rules,
    };
}
