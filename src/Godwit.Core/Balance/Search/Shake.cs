using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Godwit.Core.Balance.Search;

/// <summary>
/// Random amounts, added to what each candidate changes the score by: of amounts with Gumbel's distribution, the least sum is a draw from
/// all candidates by Boltzmann's weights at that heat. So a scan for the best one draws, at the price of one addition.
/// </summary>
/// <param name="Heat">0 is none: the best is found.</param>
/// <param name="From">Where in the table of amounts to begin: a random number.</param>
internal readonly record struct Shake(float Heat, int From)
{
    /// <summary>Fits a core's nearest cache beside the cell; a power of two.</summary>
    public const int Amounts = 4096;

    /// <summary>A share of 1 would be an amount without end, and be drawn always.</summary>
    private const float Least = 1f / (1 << 24);

    private static readonly float[] amounts = Make();

    /// <summary>For eight candidates, the first of them by number.</summary>
    public Vector256<float> Of(int first) => Vector256.Create(Heat)
        * Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(amounts), (nuint)((From + first) & (Amounts - 1)));

    /// <summary>For leaving all as it is, by a random share.</summary>
    public static float OfStaying(float heat, float share) => heat * MathF.Log(-MathF.Log(share));

    /// <summary>The first ones stand again behind the last: eight are read at once.</summary>
    private static float[] Make()
    {
        var numbers = new SeededNumbers(1);
        var made = new float[Amounts + Cell.Lanes];
        for (var i = 0; i < Amounts; i++) made[i] = OfStaying(1, Math.Min(numbers.Share(), 1 - Least));
        made.AsSpan(0, Cell.Lanes).CopyTo(made.AsSpan(Amounts));
        return made;
    }
}
