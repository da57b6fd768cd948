using Godwit.Simulator.Cluster;

namespace Godwit.Simulator.Checkers;

/// <summary>One promise, watched from above. Throws <see cref="BrokenPromiseException"/>.</summary>
public interface IChecker
{
    /// <summary>After each step of the loop: look only at what is new.</summary>
    void AfterStep(World world);
    /// <summary>After everything was healed and had time to end.</summary>
    Task AtEndAsync(World world);
}

public sealed class BrokenPromiseException(string promise, string how) : Exception($"{promise} is broken: {how}");
