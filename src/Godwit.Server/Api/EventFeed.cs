using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using Godwit.Server.Store;

namespace Godwit.Server.Api;

/// <summary>Events as they are committed. Read from the store, so a slow reader misses none and nothing queues up for it.</summary>
public sealed class EventFeed
{
    private const int BatchMax = 100;
    private readonly EventStore _events;
    private readonly Lock _one = new();
    private TaskCompletionSource _appended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public EventFeed(Stores stores)
    {
        _events = stores.Events;
        stores.Database.EventsAppended += _ => Wake();
    }

    /// <summary>All after <paramref name="seq"/>, then each new one, until the reader leaves.</summary>
    public async IAsyncEnumerable<SseItem<EventView>> AfterAsync(long seq, [EnumeratorCancellation] CancellationToken leave)
    {
        while (!leave.IsCancellationRequested)
        {
            var appended = Appended(); // Before reading: what is appended meanwhile wakes us at once.
            var batch = await _events.AfterAsync(seq, BatchMax);
            foreach (var happened in batch)
            {
                yield return new SseItem<EventView>(happened, happened.Kind)
                {
                    EventId = happened.Seq.ToString(System.Globalization.CultureInfo.InvariantCulture),
                };
                seq = happened.Seq;
            }
            if (batch.Count == 0) await appended.WaitAsync(leave);
        }
    }

    private Task Appended()
    {
        lock (_one) return _appended.Task;
    }

    private void Wake()
    {
        TaskCompletionSource waited;
        lock (_one) (waited, _appended) = (_appended, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        waited.SetResult();
    }
}
