using Godwit.Server.Store;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Store;

/// <summary>
/// The shipped store of one server process. When that process dies in the middle of a transaction, or between a commit
/// and what its caller would do next, nobody hears of it: the task never completes.
/// </summary>
internal sealed class SimStore(SqliteDatabase real, SimProcess process) : Database
{
    /// <summary>The process dies right after the next commit: it is durable, and nothing was done about it yet.</summary>
    public bool DiesAfterCommit { get; set; }

    public override Task<T> RunAsync<T>(Func<Work, T> body)
    {
        Work? done = null;
        Task<T> result;
        try
        {
            result = real.RunAsync(work =>
            {
                done = work;
                return body(work);
            });
        }
        catch (StoreFailedException) when (process.HasExited) { return new TaskCompletionSource<T>().Task; }
        if (DiesAfterCommit) process.Exit(ProcessEnd.Injected);
        if (process.HasExited) return new TaskCompletionSource<T>().Task;
        Announce(done!);
        return result;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) real.Dispose();
    }
}
