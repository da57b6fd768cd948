using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>
/// What happens when someone presses migrate.
///
///   checking    ask both hosts; say no with every reason at once, before anything is touched
///   preparing   RAM set aside in the store; target QEMU started, paused, waiting; its link open for this one move
///   disks       they lie on a pool both hosts see: the target's QEMU has opened them already
///   memory      source agent ──pages──► target agent, while the guest runs (live) or waits (quick). A live move that gives
///               up for its limit (hybrid: after a pass) begins once more at checking, lazily, where it may: TurnLazyAsync
///   switching   the agents hand over by token, alone: no server, no store, no third machine in the pause
///   verifying   the target's own QEMU says that the guest runs; only now is the new owner recorded. Of a lazy move memory follows now
///   cleaning    reservation, sockets and the source's leftovers go
///
/// Every phase is journaled before it is entered and every call to an agent is safe to repeat. After a crash of the
/// server the same method runs again from the top: what was done is found done. The journal says what was intended,
/// the hosts say what is, and hosts win. One handler at the bottom deals with everything that goes wrong before the
/// memory phase; from there on <see cref="Recovery"/> decides, by what both hosts can prove, and never by a clock.
/// </summary>
public sealed class MigrateVm(
    Func<HostId, IHostAgent> agents, IMigrationJournal journal, TimeProvider time, Action<Migration> published,
    FailPoints? failPoints = null)
{
    /// <summary>The plan: every reason why this move would be refused now; nothing is changed.</summary>
    public async Task<IReadOnlyList<Refusal>> CheckAsync(Migration wished, CancellationToken cancel)
    {
        var story = new MoveStory(agents, journal, time, _ => { }, wished, cancel);
        return wished.Mode == MoveMode.Cold ? await story.CheckColdAsync(cancel) : await story.CheckAsync(cancel);
    }

    public async Task<Migration> RunAsync(MoveId id, CancellationToken cancelRequested, CancellationToken serverStopping)
    {
        var story = new MoveStory(agents, journal, time, published, await journal.ReadAsync(id), serverStopping)
            { FailPoints = failPoints };
        if (story.Move.End is not null) return story.Move;
        return await RunAsync(story, cancelRequested, serverStopping);
    }

    private async Task<Migration> RunAsync(MoveStory story, CancellationToken cancelRequested, CancellationToken serverStopping)
    {
        if (story.Move.Mode == MoveMode.Cold) return await new MoveCold(agents, journal, story).RunAsync(cancelRequested, serverStopping);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancelRequested, serverStopping);

        if (story.Move.Phase < Phase.Memory)
        {
            try
            {
                await story.EnterAsync(Phase.Checking);
                await story.CleanFirstAsync();
                var reasons = await story.CheckAsync(stop.Token);
                if (reasons.Count > 0) return await story.RefuseAsync(reasons);

                await story.EnterAsync(Phase.Preparing);
                if (await story.ReserveAsync() is { } full) return await story.RefuseAsync([full]);
                var ready = await story.PrepareTargetAsync(stop.Token);

                await story.EnterAsync(Phase.Disks);
                await story.EnterAsync(Phase.Memory); // Journaled first: from here on the source may be sending.
                await story.StartAsync(ready, stop.Token);
            }
            catch (OperationCanceledException) when (serverStopping.IsCancellationRequested)
            {
                throw; // Not an end: the next server goes on from the journal.
            }
            catch (Exception reason) when (reason is not InvariantBrokenException)
            {
                if (story.Move.Phase < Phase.Memory)
                    return await story.UndoAsync(reason, cancelRequested.IsCancellationRequested);
                story.Note(reason); // The order may have arrived although its answer did not: ask the hosts below.
            }
        }

        // Memory and switching belong to the agents. The story watches, relays proof between them, and never guesses.
        var settled = await story.FollowAsync(cancelRequested);
        if (await story.TurnLazyAsync(settled)) return await RunAsync(story, cancelRequested, serverStopping);
        if (settled is not Settlement.AtTarget home) return await story.EndAsync(settled);

        await story.EnterAsync(Phase.Verifying);
        await story.RecordNewHomeAsync(home);
        home = await story.AwaitMemoryAsync(home, cancelRequested); // Of a lazy move: its guest runs there already.

        await story.EnterAsync(Phase.Cleaning);
        await story.CleanAsync();
        return await story.EndAsync(home);
    }
}
