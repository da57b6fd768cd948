using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Godwit.Roadef;

/// <summary>
/// Rows of amounts, four judged at a time: whole numbers, so that the answer is exact and the same everywhere. Two such rows are all
/// that most prices are made of, millions a second: budget 5 ns for twelve amounts.
/// </summary>
internal static class Lanes
{
    private const int Width = 4;

    /// <summary>How long a row is that holds so many amounts: whole fours, the rest zeros.</summary>
    public static int Row(int amounts) => (amounts + Width - 1) / Width * Width;

    /// <summary>Sum of what is above zero once one row is added and another taken away.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long SumAboveZero(long[] now, int at, long[] rows, int more, int less, int row)
    {
        ref var here = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(now), at);
        ref var first = ref MemoryMarshal.GetArrayDataReference(rows);
        var sum = Vector256<long>.Zero;
        for (var i = 0; i < row; i += Width)
        {
            var after = Vector256.LoadUnsafe(ref here, (nuint)i) + Vector256.LoadUnsafe(ref first, (nuint)(more + i))
                - Vector256.LoadUnsafe(ref first, (nuint)(less + i));
            sum += Vector256.AndNot(after, Vector256.LessThan(after, Vector256<long>.Zero));
        }
        return Vector256.Sum(sum);
    }

    /// <summary>True if nothing falls below zero when one row is taken away and another added, each through its mask.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool StayAboveZero(
        long[] now, int at, long[] rows, int taken, long[] takenMask, int given, long[] givenMask, int row)
    {
        ref var here = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(now), at);
        ref var first = ref MemoryMarshal.GetArrayDataReference(rows);
        ref var takenOf = ref MemoryMarshal.GetArrayDataReference(takenMask);
        ref var givenOf = ref MemoryMarshal.GetArrayDataReference(givenMask);
        var below = Vector256<long>.Zero;
        for (var i = 0; i < row; i += Width)
            below |= Vector256.LoadUnsafe(ref here, (nuint)i)
                - (Vector256.LoadUnsafe(ref first, (nuint)(taken + i)) & Vector256.LoadUnsafe(ref takenOf, (nuint)i))
                + (Vector256.LoadUnsafe(ref first, (nuint)(given + i)) & Vector256.LoadUnsafe(ref givenOf, (nuint)i));
        return !Vector256.LessThanAny(below, Vector256<long>.Zero);
    }
}
