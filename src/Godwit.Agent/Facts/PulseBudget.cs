using System.Numerics;

namespace Godwit.Agent.Facts;

/// <summary>
/// What feeling all guests may take of a processor, and how many pages of each are read for it. Where reading is slow, fewer pages are
/// read rather than all of them more rarely: work begins and ends somewhere between two looks, and of few pages it is seen as well.
/// </summary>
/// <param name="ofProcessorMax">Of one, 0 to 1.</param>
/// <param name="pagesPerTick">Of all guests together, at most.</param>
/// <param name="pagesMin">Of each guest.</param>
internal sealed class PulseBudget(double ofProcessorMax, int pagesPerTick, int pagesMin)
{
    /// <summary>As saved up in so long, at most: an agent's first reads are compiled, and slower.</summary>
    private static readonly TimeSpan saved = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan judgedEach = TimeSpan.FromSeconds(10);
    /// <summary>One slow moment is no slow host.</summary>
    private const int LeftOutMin = 3;
    /// <summary>Twice the pages would stay well within what may be taken.</summary>
    private const double LittleSpent = 1 / 3.0;

    private TimeSpan mayTake = saved * ofProcessorMax, judgedFor, spent;
    private int halvings, leftOut;

    /// <summary>At each tick.</summary>
    /// <returns>How many pages of each guest are read in it.</returns>
    public int Begin(TimeSpan sinceLast, int guests)
    {
        mayTake += sinceLast * ofProcessorMax;
        if (mayTake > saved * ofProcessorMax) mayTake = saved * ofProcessorMax;
        // By halves, so that a guest that comes or goes seldom changes how many pages of the others are felt.
        var most = pagesPerTick / (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, guests));
        judgedFor += sinceLast;
        if (judgedFor >= judgedEach)
        {
            if (leftOut >= LeftOutMin && most >> halvings > pagesMin) halvings++;
            else if (leftOut == 0 && spent < judgedFor * ofProcessorMax * LittleSpent) halvings = Math.Max(0, halvings - 1);
            (judgedFor, spent, leftOut) = (TimeSpan.Zero, TimeSpan.Zero, 0);
        }
        return Math.Max(pagesMin, most >> halvings);
    }

    /// <summary>Before each guest: false where it is left out for now.</summary>
    public bool MayGoOn()
    {
        if (mayTake > TimeSpan.Zero) return true;
        leftOut++;
        return false;
    }

    public void Spend(TimeSpan took) => (mayTake, spent) = (mayTake - took, spent + took);
}
