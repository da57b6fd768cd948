using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>
/// How the source's half can end, once: the guest went (released), stayed (kept), powered itself off (stopped) or is
/// lost. Each writes the journal before it tells anyone. Used by the move itself and by a restarted agent alike, and
/// the gate lets only the first ending through.
/// </summary>
internal sealed class SourceEnding(MoveRecord begun, Machine? vm, QemuInstance? qemu, MoveTools tools, MoveBoard board)
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(10);
    private const int AsksMax = 1000;

    private readonly SemaphoreSlim gate = new(1, 1);
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private MemoryGiving? giving;
    private bool given;

    public MoveRecord Record { get; private set; } = begun;
    public MoveBoard Board => board;
    /// <summary>As <see cref="MoveStatus.MemoryGivenBytes"/>.</summary>
    public long GivenBytes => giving?.GivenBytes ?? 0;
    /// <summary>Nobody has said yet that none of the memory kept here is wanted any more.</summary>
    public bool IsGiving => !given && Record is { Lazily: true, Mark: MoveMark.Released };
    /// <summary>The target has said that it wants none of it: before the token leaves, that none is to leave.</summary>
    public bool IsGivenUp => giving is not { Completion.IsCompleted: false };

    /// <summary>Durable before the first byte leaves.</summary>
    public Task JournalAsync() => tools.Journal.WriteAsync(Record);

    /// <summary>What the target proved, told by the server. No effect unless in doubt; safe to repeat.</summary>
    public Task SettleAsync(TargetProof proof) => board.Status.Standing != MoveStanding.SourceDoubt ? Task.CompletedTask
        : proof switch
        {
            TargetProof.Runs => BeginReleaseAsync(),
            TargetProof.Aborted => KeepAsync("the target proved that it never ran there"),
            _ => LoseAsync("the target took the token and its QEMU died: the guest may have run there, so this copy must not"),
        };

    /// <summary>Whoever brings the proof need not wait until all memory of a lazy move is given.</summary>
    private async Task BeginReleaseAsync()
    {
        var releasing = ReleaseAsync(null);
        if (await Joining.AnyAsync(releasing, released.Task) == releasing) await releasing;
    }

    /// <summary>The target runs: this copy ends, and only on that proof.</summary>
    public Task ReleaseAsync(Receipt? receipt) => OnceAsync(async () =>
    {
        await WriteAsync(Record with { Mark = MoveMark.Released, Receipt = receipt });
        // Told first: the guest runs at the target, and nobody need wait for this copy's burial.
        board.Set(s => s with
        {
            Standing = MoveStanding.SourceReleased, Reason = null, Receipt = receipt, MemoryArriving = Record.Lazily,
        });
        if (Record.Lazily) released.TrySetResult();
        await tools.FailPoints.HitAsync("outgoing.before-burial");
        await GiveMemoryAsync();
        await BuryAsync();
    });

    /// <summary>
    /// Lazy moves, before the guest stops, or as a restarted agent finds it in doubt: the target may need its memory to get as far as
    /// running. Throws <see cref="IOException"/>.
    /// </summary>
    public MemoryGiving BeginGiving(string memoryPath) => giving ??= new MemoryGiving(Record, memoryPath, tools);

    /// <summary>The server has it from the target that nothing more is wanted.</summary>
    public async Task StopGivingAsync()
    {
        if (giving is { } now) await now.DisposeAsync();
    }

    /// <summary>Released by an agent before this one, which died as it gave: it goes on. Not awaited by who adopts.</summary>
    public Task GoOnGivingAsync() => TryGatedAsync(async () =>
    {
        await GiveMemoryAsync();
        await BuryAsync();
    });

    /// <summary>This copy is nobody's any more, and is kept for its memory until the target has all of it.</summary>
    private async Task GiveMemoryAsync()
    {
        if (!Record.Lazily || vm is null) return;
        await tools.StubbornlyAsync(DisownAsync);
        var from = vm.Record.Instances.FirstOrDefault(i => i.Incarnation == Record.Incarnation);
        if (giving is null && (from is null || tools.Machines.Disk.SizeOf(vm.Home.Ram(from.RamOf)) is null))
            await MemoryGiving.TellLostAsync(Record, "its host was off meanwhile, or its QEMU has been ended", tools);
        else
        {
            await tools.StubbornlyAsync(() =>
            {
                BeginGiving(vm.Home.Ram(from!.RamOf)).Allow();
                return Task.CompletedTask;
            });
            await giving!.Completion;
            await giving.DisposeAsync();
        }
        given = true;
    }

    private async Task DisownAsync()
    {
        using (await vm!.EnterAsync())
            if (vm.Epoch.Value < Record.NewEpoch)
                await tools.Machines.DisownAsync(vm, new Epoch(Record.NewEpoch), $"moved to {Record.Peer}");
    }

    /// <summary>No token left, or the target proved ABORTED: the guest goes on here as it was.</summary>
    /// <param name="rehearsed">What a rehearsal found that came to its end.</param>
    public Task KeepAsync(string reason, Receipt? rehearsed = null) => OnceAsync(async () =>
    {
        await StopGivingAsync(); // Its memory changes from now on.
        var silent = qemu is null ? Living() : null;
        if (silent is not null) qemu = await MachineAdoption.ReconnectAsync(tools.Machines, vm!, silent);
        if (qemu is { Qmp.Closed.IsCompleted: true })
        {
            await LoseNowAsync($"its QEMU ended during the move: {reason}");
            return;
        }
        var said = reason;
        try
        {
            if (!Record.Paused && qemu is not null) await qemu.Qmp.EnsureRunningAsync(tools.Time);
        }
        catch (QmpException) when (qemu!.Qmp.Closed.IsCompleted) // It died as it was told to go on.
        {
            await LoseNowAsync($"its QEMU ended during the move: {reason}");
            return;
        }
        catch (QmpException trouble) { said = $"{reason}; and the guest does not go on: {trouble.Message}"; } // The move ends all the same.
        if (qemu is null && silent is not null) said = $"{reason}; its QEMU lives and does not answer";
        await EndAsync(MoveMark.Kept, MoveStanding.SourceKept, said, rehearsed);
        if (qemu is null && silent is not null) _ = GoOnLaterAsync(silent);
        if (!Record.Paused && qemu is not null) await qemu.Qmp.TryAnnounceSelfAsync();
    });

    private InstanceRecord? Living() => vm?.Record.CurrentInstance is { } current && tools.Machines.Processes.IsAlive(current.Process)
        ? current : null;

    /// <summary>It was hung as the move was taken back: as soon as it answers the guest goes on. Nothing else will tell it to.</summary>
    private async Task GoOnLaterAsync(InstanceRecord silent)
    {
        for (var ask = 1; ask <= AsksMax && tools.Machines.Processes.IsAlive(silent.Process); ask++)
        {
            await Task.Delay(AskAgain, tools.Time);
            if (await MachineAdoption.ReconnectAsync(tools.Machines, vm!, silent) is not { } back) continue;
            using (await vm!.EnterAsync())
            {
                var ours = vm.HeldBy is null && vm.Record.IsOwner && vm.Record.Current == silent.Incarnation;
                if (!ours || vm.Record.Wanted != VmState.Running) return;
                try
                {
                    await back.Qmp.EnsureRunningAsync(tools.Time);
                    return;
                }
                catch (QmpException) { } // Silent again.
            }
        }
    }

    public Task StopAsync() => OnceAsync(() =>
        EndAsync(MoveMark.Stopped, MoveStanding.SourceStopped, "the guest powered itself off"));

    /// <summary>This copy must not run any more, and no other proves to: the VM is as after a power cut.</summary>
    public Task LoseAsync(string reason) => OnceAsync(() => LoseNowAsync(reason));

    /// <summary>The released copy ends. A restarted agent does it, where the last one died before.</summary>
    public Task BuryAsync() => vm is null ? Task.CompletedTask : tools.StubbornlyAsync(async () =>
    {
        using (await vm.EnterAsync())
        {
            if (vm.Record.IsOwner && vm.Epoch.Value >= Record.NewEpoch) return; // It came back since.
            if (vm.Epoch.Value < Record.NewEpoch)
                await tools.Machines.DisownAsync(vm, new Epoch(Record.NewEpoch), $"moved to {Record.Peer}");
            if (vm.Record.Instances.FirstOrDefault(i => i.Incarnation == Record.Incarnation) is not { } left) return;
            await QemuInstance.KillAsync(tools.Machines.Processes, vm.Home, left);
            await tools.Machines.BuryAsync(vm, left, r => r);
        }
    });

    /// <summary>Returns when an ending that has begun is through, burial included.</summary>
    public async Task BuriedAsync()
    {
        await gate.WaitAsync();
        gate.Release();
    }

    private async Task LoseNowAsync(string reason)
    {
        await StopGivingAsync();
        if (vm is not null) await tools.StubbornlyAsync(async () =>
        {
            using (await vm.EnterAsync()) await tools.Machines.EndAsCrashedAsync(vm, qemu, reason);
        });
        if (Record.Lazily) _ = MemoryGiving.TellLostAsync(Record, reason, tools); // Where a token had left, the target waits for it.
        await EndAsync(MoveMark.SourceLost, MoveStanding.SourceLost, reason);
    }

    private async Task EndAsync(MoveMark mark, MoveStanding standing, string reason, Receipt? rehearsed = null)
    {
        await WriteAsync(Record with { Mark = mark, Reason = reason, Receipt = rehearsed });
        board.Set(s => s with { Standing = standing, Reason = reason, Receipt = rehearsed });
    }

    /// <summary>In memory only once it is durable: what is settled here is never begun again.</summary>
    private async Task WriteAsync(MoveRecord settled)
    {
        await tools.StubbornlyAsync(() => tools.Journal.WriteAsync(settled));
        Record = settled;
    }

    private Task OnceAsync(Func<Task> ending) => TryGatedAsync(() => Record.IsSettled ? Task.CompletedTask : ending());

    private async Task TryGatedAsync(Func<Task> ending)
    {
        await gate.WaitAsync();
        try
        {
            try { await ending(); }
            finally
            {
                // What happened meanwhile is dealt with now.
                if (vm is not null) await tools.Machines.ReleaseAsync(vm, new MoveId(Record.Move));
            }
        }
        finally { gate.Release(); }
    }
}
