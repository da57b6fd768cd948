namespace Godwit.PlanetLab;

/// <summary>
/// Power as CloudSim computes it, to the last bit. Its placement takes the strictly smallest rise, and hosts on the same piece of the
/// curve have the same rise but for rounding: another order of operations chooses other hosts.
/// </summary>
internal static class SpecPower
{
    public static double At(double[] watts, double share)
    {
        if (share >= 1) return watts[10];
        if (share % 0.1 == 0) return watts[(int)(share * 10)];
        var (below, above) = ((int)Math.Floor(share * 10), (int)Math.Ceiling(share * 10));
        var delta = (watts[above] - watts[below]) / 10;
        return watts[below] + delta * (share - (double)below / 10) * 100;
    }
}
