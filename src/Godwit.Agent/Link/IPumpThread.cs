namespace Godwit.Agent.Link;

/// <summary>
/// A connection that is quickest when a thread of its own is given up to it: blocking calls instead of a thread switch for
/// every record (measured: half the CPU time of a busy link). The framing code is the same either way; connections
/// without this, as the simulator's, stay on the caller's loop.
/// </summary>
public interface IPumpThread
{
    /// <summary>Runs the pump and all its continuations on one thread, which ends with it.</summary>
    Task<T> RunAsync<T>(string name, Func<Task<T>> pump);
}

/// <summary>A stream that blocks on a pump's thread, where a read that waits cannot be seen from its task.</summary>
public interface IBlockingSource
{
    /// <summary>True where a read would find bytes (or the end) at once; waits at most <paramref name="max"/> for that.</summary>
    bool WaitReadable(TimeSpan max);

    /// <summary>
    /// What has arrived is still read, then comes the end, whether or not the other side closes. From any thread.
    /// (shutdown(2) with SHUT_RD: a unix socket's queue outlives it, and a reader that waits is woken.)
    /// </summary>
    void EndReading();
}
