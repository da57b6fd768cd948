using Godwit.Core.Power;

namespace Godwit.Core.Ports;

/// <summary>
/// Turns hosts off and on from outside of them, on purpose. Apart from <see cref="IFence"/>: none of these programs can come to be
/// named as a fence, whose exit code is proof. Which they are, only the server's own machine decides.
/// </summary>
public interface IPowerHooks
{
    /// <summary>Null where this hook can be run; else why not.</summary>
    Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel);

    /// <summary>
    /// Safe to repeat. Ends within a bounded time. Throws nothing but <see cref="OperationCanceledException"/>; everything else
    /// that goes wrong is an outcome that is not done.
    /// </summary>
    Task<PowerOutcome> RunAsync(string hook, HostId host, CancellationToken cancel);
}
