using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Godwit.Core.Balance.Search;

/// <summary>The best a unit can do in its cell: by how much the score changes (below 0 is better), and where.</summary>
internal readonly record struct Candidate(float Change, int Target, int Partner)
{
    public static readonly Candidate None = new(float.PositiveInfinity, -1, -1);
}

/// <summary>
/// Judges one unit against every host of its cell, or against every unit of other hosts. Budget: 128 hosts with 6 resources in 150 ns.
/// The arithmetic is plain adds and multiplies in a fixed order, so the answer is the same on every machine.
/// </summary>
internal static class CellScan
{
    private const int Lanes = Cell.Lanes;

    /// <summary>The best host for the unit at <paramref name="place"/> of host <paramref name="s"/>.</summary>
    /// <param name="extra">True where <see cref="Cell.Extra"/> holds the rules' costs of this unit.</param>
    /// <param name="shake">What is added to each change, the one told included.</param>
    public static Candidate BestMove(Cell cell, int place, int s, bool extra, Shake shake)
    {
        var (row, places, resources) = (cell.Row, cell.Places, cell.Resources);
        Span<float> demand = stackalloc float[BalanceModel.ResourcesMax];
        for (var k = 0; k < resources; k++) demand[k] = cell.Demand[k * places + place];
        ref var d = ref MemoryMarshal.GetReference(demand);
        ref var square = ref MemoryMarshal.GetArrayDataReference(cell.Square);
        ref var slope = ref MemoryMarshal.GetArrayDataReference(cell.Slope);
        ref var extras = ref MemoryMarshal.GetArrayDataReference(cell.Extra);

        var leaving = Leaving(cell, demand, s);
        var home = cell.HomeAt[place];
        var (stay, price) = (cell.Saved[place], cell.Price[place]);
        var staying = (extra ? UnitRules.Finite(cell.Extra[s]) : 0) + cell.StayingCost(s);
        var (hereBefore, homeBefore) = (cell.Extra[s], home >= 0 ? cell.Extra[home] : 0);
        if (home >= 0) cell.Extra[home] -= price;
        cell.Extra[s] = float.PositiveInfinity;

        var (uniform, contended) = (cell.Uniform, cell.Contended.Length > 0);
        if (uniform)
            for (var k = 0; k < resources; k++) leaving += demand[k] * demand[k] * cell.Square[k * row];
        var best = Vector256.Create(float.PositiveInfinity);
        var bestAt = Vector256.Create(-1);
        var at = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
        var eight = Vector256.Create(Lanes);
        for (var t = 0; t < row; t += Lanes)
        {
            var sum = Vector256.LoadUnsafe(ref extras, (nuint)t);
            var index = t;
            if (uniform)
            {
                for (var k = 0; k < resources; k++, index += row)
                    sum += Vector256.Create(Unsafe.Add(ref d, k)) * Vector256.LoadUnsafe(ref slope, (nuint)index);
            }
            else
            {
                for (var k = 0; k < resources; k++, index += row)
                {
                    var amount = Vector256.Create(Unsafe.Add(ref d, k));
                    sum += amount * (amount * Vector256.LoadUnsafe(ref square, (nuint)index)
                        + Vector256.LoadUnsafe(ref slope, (nuint)index));
                }
            }
            if (contended) sum += Contention(cell, demand, t);
            if (shake.Heat > 0) sum += shake.Of(t);
            var better = Vector256.LessThan(sum, best);
            if (better == Vector256<float>.Zero) { at += eight; continue; }
            better &= Room(cell, demand, t);
            best = Vector256.ConditionalSelect(better, sum, best);
            bestAt = Vector256.ConditionalSelect(better.AsInt32(), at, bestAt);
            at += eight;
        }
        if (home >= 0) cell.Extra[home] = homeBefore;
        cell.Extra[s] = hereBefore;

        var (least, target) = Least(best, bestAt);
        return target < 0 ? Candidate.None : new(least + leaving - staying + price - stay, target, -1);
    }

    /// <summary>What the score changes by when this leaves host <paramref name="s"/>, rules and price aside.</summary>
    private static float Leaving(Cell cell, ReadOnlySpan<float> demand, int s)
    {
        float sum = 0;
        for (var k = 0; k < cell.Resources; k++)
            sum += demand[k] * (demand[k] * cell.Square[k * cell.Row + s] - cell.Slope[k * cell.Row + s]);
        if (cell.Contended.Length == 0) return sum;
        foreach (var k in cell.Contended)
        {
            var at = k * cell.Row + s;
            var over = Math.Max(0, cell.Share[at] - demand[k] * cell.Inverse[at] - cell.Knee[k]);
            sum += cell.Steepness[k] * over * over;
        }
        return sum - cell.Contention[s];
    }

    private static Vector256<float> Contention(Cell cell, ReadOnlySpan<float> demand, int t)
    {
        var sum = -Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Contention), (nuint)t);
        foreach (var k in cell.Contended)
        {
            var over = After(cell, demand[k], k, t) - Vector256.Create(cell.Knee[k]);
            over = Vector256.Max(over, Vector256<float>.Zero);
            sum += Vector256.Create(cell.Steepness[k]) * over * over;
        }
        return sum;
    }

    private static Vector256<float> Room(Cell cell, ReadOnlySpan<float> demand, int t)
    {
        var room = Vector256<float>.AllBitsSet;
        foreach (var k in cell.Limited)
            room &= Vector256.LessThanOrEqual(After(cell, demand[k], k, t),
                Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Limit), (nuint)(k * cell.Row + t)));
        return room;
    }

    private static Vector256<float> After(Cell cell, float demand, int k, int t)
    {
        var at = (nuint)(k * cell.Row + t);
        return Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Share), at)
            + Vector256.Create(demand) * Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Inverse), at);
    }

    /// <summary>
    /// The best unit of host <paramref name="t"/> to change places with the one at <paramref name="place"/> of host <paramref name="s"/>.
    /// </summary>
    /// <param name="shake">What is added to each change, the one told included.</param>
    /// <returns>Partner is a place.</returns>
    public static Candidate BestExchange(Cell cell, int place, int s, int t, Shake shake)
    {
        var (row, places, resources) = (cell.Row, cell.Places, cell.Resources);
        ref var demand = ref MemoryMarshal.GetArrayDataReference(cell.Demand);
        Span<float> own = stackalloc float[BalanceModel.ResourcesMax];
        Span<float> squares = stackalloc float[BalanceModel.ResourcesMax];
        Span<float> slopes = stackalloc float[BalanceModel.ResourcesMax];
        for (var k = 0; k < resources; k++)
        {
            own[k] = cell.Demand[k * places + place];
            squares[k] = cell.Square[k * row + s] + cell.Square[k * row + t];
            slopes[k] = cell.Slope[k * row + t] - cell.Slope[k * row + s];
        }
        var constant = (cell.HomeAt[place] == t ? 0 : cell.Price[place]) - cell.Saved[place];
        if (cell.Contended.Length > 0) constant -= cell.Contention[s] + cell.Contention[t];

        var best = Vector256.Create(float.PositiveInfinity);
        var bestAt = Vector256.Create(-1);
        var (source, lanes) = (Vector256.Create(s), Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7));
        var end = cell.FirstPlace[t] + cell.Count[t];
        for (var from = cell.FirstPlace[t]; from < end; from += Lanes)
        {
            var goesHome = Vector256.Equals(
                Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.HomeAt), (nuint)from), source);
            var sum = Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Price), (nuint)from);
            sum = Vector256.ConditionalSelect(goesHome.AsSingle(), Vector256<float>.Zero, sum);
            sum -= Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(cell.Saved), (nuint)from);
            var index = from;
            for (var k = 0; k < resources; k++, index += places)
            {
                var more = Vector256.Create(own[k]) - Vector256.LoadUnsafe(ref demand, (nuint)index);
                sum += more * (more * Vector256.Create(squares[k]) + Vector256.Create(slopes[k]));
            }
            foreach (var k in cell.Contended) sum += ContentionExchanged(cell, own[k], k, from, s, t);
            if (shake.Heat > 0) sum += shake.Of(from);
            var better = Vector256.LessThan(sum, best);
            foreach (var k in cell.Limited) better &= RoomExchanged(cell, own[k], k, from, s, t);
            best = Vector256.ConditionalSelect(better, sum, best);
            bestAt = Vector256.ConditionalSelect(better.AsInt32(), Vector256.Create(from) + lanes, bestAt);
        }
        var (least, partner) = Least(best, bestAt);
        return partner < 0 ? Candidate.None : new(least + constant, t, partner);
    }

    private static Vector256<float> ContentionExchanged(Cell cell, float own, int k, int from, int s, int t)
    {
        var more = Vector256.Create(own) - Vector256.LoadUnsafe(
            ref MemoryMarshal.GetArrayDataReference(cell.Demand), (nuint)(k * cell.Places + from));
        var (here, there) = (k * cell.Row + s, k * cell.Row + t);
        var knee = Vector256.Create(cell.Knee[k]);
        var overHere = Vector256.Create(cell.Share[here]) - more * Vector256.Create(cell.Inverse[here]) - knee;
        var overThere = Vector256.Create(cell.Share[there]) + more * Vector256.Create(cell.Inverse[there]) - knee;
        (overHere, overThere) = (Vector256.Max(overHere, Vector256<float>.Zero), Vector256.Max(overThere, Vector256<float>.Zero));
        return Vector256.Create(cell.Steepness[k]) * (overHere * overHere + overThere * overThere);
    }

    private static Vector256<float> RoomExchanged(Cell cell, float own, int k, int from, int s, int t)
    {
        var more = Vector256.Create(own) - Vector256.LoadUnsafe(
            ref MemoryMarshal.GetArrayDataReference(cell.Demand), (nuint)(k * cell.Places + from));
        var (here, there) = (k * cell.Row + s, k * cell.Row + t);
        var fitsHere = Vector256.LessThanOrEqual(
            Vector256.Create(cell.Share[here]) - more * Vector256.Create(cell.Inverse[here]), Vector256.Create(cell.Limit[here]));
        var fitsThere = Vector256.LessThanOrEqual(
            Vector256.Create(cell.Share[there]) + more * Vector256.Create(cell.Inverse[there]), Vector256.Create(cell.Limit[there]));
        return (fitsHere | Vector256.GreaterThanOrEqual(more, Vector256<float>.Zero))
            & (fitsThere | Vector256.LessThanOrEqual(more, Vector256<float>.Zero));
    }

    /// <summary>The smallest of eight; of equal ones the first by index. An index of −1 is none, and as large as any.</summary>
    private static (float Least, int At) Least(Vector256<float> values, Vector256<int> indices)
    {
        var four = Vector128.Min(values.GetLower(), values.GetUpper());
        four = Vector128.Min(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        var least = Vector128.Min(four, Vector128.Shuffle(four, Vector128.Create(1, 0, 3, 2))).ToScalar();
        var isLeast = Vector256.Equals(values, Vector256.Create(least)).AsUInt32();
        var at = Vector256.ConditionalSelect(isLeast, indices.AsUInt32(), Vector256<uint>.AllBitsSet);
        var first = Vector128.Min(at.GetLower(), at.GetUpper());
        first = Vector128.Min(first, Vector128.Shuffle(first, Vector128.Create(2u, 3, 0, 1)));
        first = Vector128.Min(first, Vector128.Shuffle(first, Vector128.Create(1u, 0, 3, 2)));
        return (least, (int)first.ToScalar());
    }
}
