using Godwit.Core.Migration;
using Godwit.Core.Quoting;

namespace Godwit.Agent.Moves;

/// <summary>
/// What hand-overs that began here took after QEMU had sent all: bytes still on the way, loading, starting. That much of a limit must be
/// left by then, or it is broken by a few ms; on a slow host it is several times <see cref="Convergence.DevicePartMs"/>.
/// </summary>
internal sealed class HandOvers
{
    /// <summary>Newest ones counted, and what part of them took no longer than is taken for the next.</summary>
    private const int Counted = 8;
    private const double Part = 0.75;
    /// <summary>Of a limit no more is put aside: an agent's first hand-over may take as long as a short limit allows.</summary>
    private const double PutAsideMax = 0.25;

    private readonly Lock gate = new();
    private readonly Queue<double> tookMs = new();

    public void Note(PauseParts parts)
    {
        lock (gate)
        {
            tookMs.Enqueue(parts.DrainMs + parts.LoadMs + parts.StartMs);
            if (tookMs.Count > Counted) tookMs.Dequeue();
        }
    }

    /// <summary>What is asked for, with a limit of the pause that is less by what hand-overs take here beyond what is assumed.</summary>
    public MoveLimits Within(MoveLimits asked)
    {
        lock (gate)
        {
            if (tookMs.Count == 0) return asked;
            var beyondMs = Math.Min(LearnedFromMoves.Quantile(tookMs, Part) - Convergence.DevicePartMs, asked.MaxPauseMs * PutAsideMax);
            return beyondMs <= 0 ? asked : asked with { MaxPauseMs = Math.Max(1, asked.MaxPauseMs - (int)Math.Ceiling(beyondMs)) };
        }
    }
}
