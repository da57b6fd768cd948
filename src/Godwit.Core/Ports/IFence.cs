using Godwit.Core.Fencing;

namespace Godwit.Core.Ports;

/// <summary>
/// Turns a host off, from outside of it, and says whether it is off. Which program that is, only the server's own machine
/// decides; the API names one of those it has.
/// </summary>
public interface IFence
{
    /// <summary>Null where this hook can be run; else why not.</summary>
    Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel);

    /// <summary>
    /// Safe to repeat: a host that is off stays off. Ends within a bounded time. Throws nothing but
    /// <see cref="OperationCanceledException"/>; everything else that goes wrong is an outcome that proves nothing.
    /// </summary>
    Task<FenceOutcome> RunAsync(string hook, HostId host, CancellationToken cancel);
}

/// <summary>Files of this machine that are to be run as root's: are they root's alone?</summary>
public interface IProgramFiles
{
    /// <summary>
    /// Null where <paramref name="path"/> is a regular file that may be run, and it and every directory above it belong to
    /// root or to this process's own user and nobody else may write them; else why not, as half a sentence.
    /// </summary>
    string? WhyNotTrusted(string path);
}
