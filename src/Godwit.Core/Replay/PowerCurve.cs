namespace Godwit.Core.Replay;

/// <summary>
/// Watts that a host draws by the share of its processors in use: given at even steps from idle to full, linear between.
/// </summary>
public sealed class PowerCurve
{
    private readonly double[] watts;

    /// <param name="watts">At 0, …, 100 %: two values at least, none below 0.</param>
    public PowerCurve(params double[] watts)
    {
        if (watts.Length < 2 || watts.Any(w => !(w >= 0)))
            throw new RefusedException("power-curve-bad", "a power curve has two values at least, none below 0 W",
                "give the watts at even steps from idle to full load");
        this.watts = [.. watts];
    }

    public double Idle => watts[0];
    public double Full => watts[^1];

    /// <param name="share">Above 1 counts as 1, below 0 as 0.</param>
    public double At(double share)
    {
        var at = Math.Clamp(share, 0, 1) * (watts.Length - 1);
        var below = (int)at;
        return below == watts.Length - 1 ? watts[^1] : watts[below] + (watts[below + 1] - watts[below]) * (at - below);
    }
}
