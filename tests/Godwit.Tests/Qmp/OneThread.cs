using System.Collections.Concurrent;
using Xunit;

namespace Godwit.Tests.Qmp;

/// <summary>A loop on the calling thread, as the simulator has one: work posted by any other thread is an error.</summary>
internal sealed class OneThread : SynchronizationContext
{
    private readonly Queue<(SendOrPostCallback Work, object? State)> queue = new();
    private readonly ConcurrentBag<string> strays = [];
    private readonly int home = Environment.CurrentManagedThreadId;

    public static void Run(Func<Task> story)
    {
        var previous = Current;
        var loop = new OneThread();
        SetSynchronizationContext(loop);
        try
        {
            var ending = story();
            while (loop.queue.TryDequeue(out var next)) next.Work(next.State);
            Assert.Empty(loop.strays);
            Assert.True(ending.IsCompleted, "the loop ran dry: something waits for another thread or for ever");
            ending.GetAwaiter().GetResult();
        }
        finally
        {
            SetSynchronizationContext(previous);
        }
    }

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (Environment.CurrentManagedThreadId == home) queue.Enqueue((d, state));
        else strays.Add(Environment.StackTrace);
    }
}
