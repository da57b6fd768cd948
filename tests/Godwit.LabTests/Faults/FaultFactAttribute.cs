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
        ?? (IsOn("GODWIT_FAULTS") ? null : "runs by ./test --faults");

    internal static bool IsOn(string kind) => Environment.GetEnvironmentVariable(kind) == "1";
}

/// <summary>The same for theories.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class FaultTheoryAttribute : TheoryAttribute
{
    public FaultTheoryAttribute() => Skip = FaultFactAttribute.WhyNot;
}

/// <summary>Of the strikes those that are too important to be left to who asks for them: every process killed in every phase.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class KillTheoryAttribute : TheoryAttribute
{
    public KillTheoryAttribute() => Skip = WhyNot;

    /// <summary>Null: there is something to strike, and so a cluster is needed.</summary>
    internal static string? WhyNot =>
        FaultFactAttribute.IsOn("GODWIT_KILLS") ? RealQemuFactAttribute.WhyNot : FaultFactAttribute.WhyNot;
}
