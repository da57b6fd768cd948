using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Faults;

/// <summary>
/// Strikes a real cluster: a quarter of an hour in all, so they run by <c>./test --faults</c> and not with the others.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class FaultFactAttribute : FactAttribute
{
    public FaultFactAttribute() => Skip = WhyNot;

    internal static string? WhyNot => RealQemuFactAttribute.WhyNot
        ?? (Environment.GetEnvironmentVariable("GODWIT_FAULTS") == "1" ? null : "runs by ./test --faults");
}

/// <summary>The same for theories.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class FaultTheoryAttribute : TheoryAttribute
{
    public FaultTheoryAttribute() => Skip = FaultFactAttribute.WhyNot;
}
