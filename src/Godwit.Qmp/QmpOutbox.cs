namespace Godwit.Qmp;

/// <summary>
/// Commands without a reply, and the order they are written in. Not thread-safe: the client's lock guards it.
/// QEMU stops reading a monitor that has 8 commands queued, and with it the out-of-band ones that are there to free a
/// stuck QEMU. So at most 7 ordinary commands are written ahead of their replies, and out-of-band ones go first.
/// </summary>
internal sealed class QmpOutbox
{
    public const int OutstandingMax = 64;
    private const int OrdinaryInFlightMax = 7;

    private readonly Dictionary<long, QmpCall> unanswered = [];
    private readonly Queue<QmpCall> urgent = new();
    private readonly Queue<QmpCall> ordinary = new();
    private int ordinaryInFlight;

    public bool IsFull => unanswered.Count >= OutstandingMax;

    public void Add(QmpCall call)
    {
        unanswered.Add(call.Id, call);
        (call.Oob ? urgent : ordinary).Enqueue(call);
    }

    /// <summary>The next call to write, already marked as sent; null while there is none that may go.</summary>
    public QmpCall? TakeNext()
    {
        while (urgent.TryDequeue(out var call))
            if (!call.Withdrawn) return Send(call);
        while (ordinaryInFlight < OrdinaryInFlightMax && ordinary.TryDequeue(out var call))
        {
            if (call.Withdrawn) continue;
            ordinaryInFlight++;
            return Send(call);
        }
        return null;
    }

    /// <summary>The call a reply belongs to; null when nothing with that id was sent or it has its reply already.</summary>
    public QmpCall? Answer(long id)
    {
        if (!unanswered.TryGetValue(id, out var call) || !call.Sent) return null;
        unanswered.Remove(id);
        if (!call.Oob) ordinaryInFlight--;
        return call;
    }

    /// <summary>
    /// The caller no longer waits. A call already sent keeps its slot until QEMU replies: ids that may still come
    /// back are bounded too.
    /// </summary>
    public void GiveUp(QmpCall call)
    {
        if (call.Sent) return;
        call.Withdrawn = true;
        unanswered.Remove(call.Id);
        if (IsMostlyWithdrawn(ordinary)) Compact(ordinary);
    }

    public IReadOnlyList<QmpCall> TakeAll()
    {
        QmpCall[] all = [.. unanswered.Values];
        unanswered.Clear();
        urgent.Clear();
        ordinary.Clear();
        return all;
    }

    private static QmpCall Send(QmpCall call)
    {
        call.Sent = true;
        return call;
    }

    /// <summary>While QEMU answers nothing, callers may come, wait and give up for ever: the queue must not grow by them.</summary>
    private static bool IsMostlyWithdrawn(Queue<QmpCall> queue) => queue.Count > OutstandingMax;

    private static void Compact(Queue<QmpCall> queue)
    {
        for (var left = queue.Count; left > 0; left--)
            if (queue.Dequeue() is { Withdrawn: false } call) queue.Enqueue(call);
    }
}
