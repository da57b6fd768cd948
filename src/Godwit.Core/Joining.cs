namespace Godwit.Core;

/// <summary>
/// Task.WhenAny and WaitAsync, when given a <see cref="TaskCompletionSource"/> that runs its continuations
/// asynchronously (ours all do: completing one must not run strangers' code under a lock) or a Task.Delay that is
/// cancelled, go on through the thread pool, whatever loop the waiting code lives on. Through an async method they stay
/// on it. A plain await needs nothing.
/// Forgotten, the simulator says "work left the loop".
/// </summary>
public static class Joining
{
    /// <summary>As Task.WhenAny: the task that completed first, of those given, or the first in order of several.</summary>
    public static async Task<Task> AnyAsync(params Task[] tasks)
    {
        var joinable = Array.ConvertAll(tasks, Joinable);
        return tasks[Array.IndexOf(joinable, await Task.WhenAny(joinable))];
    }

    /// <summary>For WaitAsync and WhenAll.</summary>
    public static async Task Joinable(this Task task) => await task;

    public static async Task<T> Joinable<T>(this Task<T> task) => await task;

    /// <summary>The same for sources that are not tasks: a channel's WaitToReadAsync.</summary>
    public static async Task<T> Joinable<T>(this ValueTask<T> task) => await task;
}
