using Godwit.Agent.Facts;
using Godwit.Agent.Link;
using Godwit.Core.Migration;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>
/// Feels, while memory crosses, whether the guest writes in bursts (<see cref="Lull"/>), and lets go of what the link holds back as soon
/// as one is over. It reads some pages of the guest's memory that were seen to change: nobody is asked, and nothing is stopped. It ends
/// where no bursts with rests between them are felt, and when the guest stops: nothing of it is in the pause.
/// </summary>
internal sealed class BurstWatch(IDisk disk, string memoryPath, IReadOnlyList<long> pages, LinkSender link, TimeProvider time)
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(TickMs);
    private const double TickMs = 20;
    /// <summary>Of fewer nothing is seen in so short a time.</summary>
    private const int PagesMin = 24, PagesMax = 128;
    private const int TicksKept = 500, TicksToTell = (int)(Lull.FeltMs / TickMs);
    /// <summary>Where fewer pages change in a tick of a burst, one without any happens within one, too.</summary>
    private const double PagesToTell = 10;
    private static readonly TimeSpan heldMax = TimeSpan.FromMilliseconds(Lull.HeldMaxMs);

    private readonly Lock gate = new();
    private readonly List<double> ticks = [];
    private long heldSince, feltAt;
    private bool isOver, wroteWhileHeld;
    private int ticksWithout;

    /// <summary>Null where it writes in none; until the next one it is as long as this tells, less what passed since it was felt.</summary>
    public Bursts? Bursts
    {
        get
        {
            lock (gate)
            {
                if (isOver || Lull.Felt(ticks, TickMs) is not { } felt) return null;
                var sinceMs = time.GetElapsedTime(feltAt).TotalMilliseconds;
                return felt.IsWriting ? felt : felt with { RestedMs = felt.RestedMs + sinceMs, LeftMs = felt.LeftMs - sinceMs };
            }
        }
    }

    /// <summary>
    /// All of the pass but its last <see cref="Lull.HeldBackMs"/> crosses; these wait until a burst is over. False: nobody feels the guest
    /// any more, and would let go.
    /// </summary>
    /// <param name="passEndsAt">In bytes of the stream.</param>
    public bool HoldBack(long passEndsAt, long bytesPerSecond)
    {
        lock (gate)
        {
            if (isOver) return false;
            (heldSince, wroteWhileHeld) = (0, false);
            var heldBytes = (long)(bytesPerSecond * Lull.HeldBackMs(bytesPerSecond) / 1000);
            link.HoldAt(passEndsAt - heldBytes);
            return true;
        }
    }

    /// <summary>Until the guest stops or the stream ends. Never faults.</summary>
    public async Task RunAsync(Task stopped, CancellationToken watching)
    {
        try
        {
            if (pages.Count < PagesMin) return;
            using var memory = disk.OpenMemory(memoryPath);
            var every = (pages.Count + PagesMax - 1) / PagesMax;
            var drawn = pages.Where((_, n) => n % every == 0).ToArray();
            var hashes = new ulong[drawn.Length];
            PageSamples.Look(memory, drawn, step: 1, (i, hash) => hashes[i] = hash);
            for (var at = time.GetTimestamp(); !stopped.IsCompleted;)
            {
                await Task.Delay(Tick, time, watching);
                if (stopped.IsCompleted) return;
                var (before, changed) = (at, 0);
                at = time.GetTimestamp();
                PageSamples.Look(memory, drawn, step: 1, (i, hash) =>
                {
                    if (hashes[i] == hash) return;
                    hashes[i] = hash;
                    changed++;
                });
                if (!KeepsFeeling(changed, time.GetElapsedTime(before, at))) return;
            }
        }
        catch (OperationCanceledException) { } // The stream ended.
        catch (Exception failed) when (PageSamples.IsNoMemory(failed)) { } // Nothing is known, then.
        finally
        {
            lock (gate) isOver = true;
            link.GoOn();
        }
    }

    private bool KeepsFeeling(int changed, TimeSpan passed)
    {
        lock (gate)
        {
            feltAt = time.GetTimestamp();
            // Felt late, it is as if it had been felt each time, and had changed as much.
            var missed = Math.Clamp((int)Math.Round(passed / Tick), 1, TicksKept);
            for (var n = 0; n < missed; n++) ticks.Add((double)changed / missed);
            if (ticks.Count > TicksKept) ticks.RemoveRange(0, ticks.Count - TicksKept);
            var felt = Lull.Felt(ticks, TickMs);
            ticksWithout = felt is null ? ticksWithout + missed : 0;
            if (!link.IsHolding) return ticksWithout < TicksToTell;
            if (heldSince == 0) heldSince = time.GetTimestamp();
            wroteWhileHeld |= felt is { IsWriting: true };
            if (IsLull(felt) || time.GetElapsedTime(heldSince) > heldMax) link.GoOn();
            return true;
        }
    }

    /// <summary>A burst is over, or none comes any more.</summary>
    private bool IsLull(Bursts? felt)
    {
        if (felt is null) return true;
        var quietMs = Lull.Level(ticks) < PagesToTell ? 1.5 * TickMs : 0;
        return !felt.IsWriting && felt.RestedMs > quietMs
            && (wroteWhileHeld || felt.RestedMs <= quietMs + 2 * TickMs || felt.LeftMs < -felt.RestMs);
    }
}
