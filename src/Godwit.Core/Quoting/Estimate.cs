namespace Godwit.Core.Quoting;

/// <summary>A figure with what it lies between in four of five moves.</summary>
public sealed record Estimate(double Low, double Expected, double High)
{
    public bool Holds(double actual) => actual >= Low && actual <= High;
}
