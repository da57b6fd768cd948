using System.Runtime.CompilerServices;
using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Agent.Moves;

/// <summary>
/// What is known of one move on this host now, and a bell for those who watch. The last word wins; watchers see the
/// newest status, not every one.
/// </summary>
internal sealed class MoveBoard(MoveStatus first)
{
    private readonly Lock gate = new();
    private MoveStatus status = first;
    private TaskCompletionSource changed = NewBell();

    public MoveStatus Status { get { lock (gate) return status; } }

    public void Set(Func<MoveStatus, MoveStatus> change)
    {
        TaskCompletionSource bell;
        lock (gate)
        {
            status = change(status);
            (bell, changed) = (changed, NewBell());
        }
        bell.SetResult();
    }

    public void Stand(MoveStanding standing, string? reason = null) =>
        Set(s => s with { Standing = standing, Reason = reason ?? s.Reason });

    /// <summary>Status now and at each change, until nothing more will change here by itself.</summary>
    public async IAsyncEnumerable<MoveStatus> WatchAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        MoveStatus? told = null;
        while (true)
        {
            MoveStatus now;
            Task bell;
            lock (gate) (now, bell) = (status, changed.Task);
            if (now != told) yield return told = now;
            if (IsResting(now.Standing)) yield break;
            await bell.Joinable().WaitAsync(cancel);
        }
    }

    /// <summary>Settled, or in doubt: nothing more happens here without a word from outside.</summary>
    public static bool IsResting(MoveStanding standing) => standing is not
        (MoveStanding.SourceSending or MoveStanding.SourceSwitching or MoveStanding.TargetCandidate or MoveStanding.TargetIntent);

    private static TaskCompletionSource NewBell() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
