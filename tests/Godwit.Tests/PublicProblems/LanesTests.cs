using Godwit.Roadef;
using Xunit;

namespace Godwit.Tests.PublicProblems;

/// <summary>Rows judged four amounts at a time, beside the same written straight down.</summary>
public sealed class LanesTests
{
    [Fact]
    public void Rows_of_every_length_come_to_what_one_amount_after_another_comes_to()
    {
        var random = new Random(1);
        for (var n = 0; n < 20_000; n++)
        {
            var amounts = 1 + n % 13;
            var row = Lanes.Row(amounts);
            Assert.True(row % 4 == 0 && row >= amounts && row < amounts + 4);
            long[] Rows(int count, int most) => [.. Enumerable.Range(0, count * row)
                .Select(i => i % row < amounts ? random.Next(4) == 0 ? 0 : random.NextInt64(-most, (long)most << random.Next(30)) : 0)];
            var (now, rows) = (Rows(3, 100), Rows(4, 50));
            var (at, one, other) = (random.Next(3) * row, random.Next(4) * row, random.Next(4) * row);
            var after = Enumerable.Range(0, row).Select(i => now[at + i] + rows[one + i] - rows[other + i]).ToList();
            Assert.Equal(after.Sum(amount => Math.Max(0, amount)), Lanes.SumAboveZero(now, at, rows, one, other, row));

            long[] Mask() => [.. Enumerable.Range(0, row).Select(_ => -(long)random.Next(2))];
            var (takenMask, givenMask) = (Mask(), Mask());
            var stays = Enumerable.Range(0, row).All(i =>
                now[at + i] - (takenMask[i] == 0 ? 0 : rows[one + i]) + (givenMask[i] == 0 ? 0 : rows[other + i]) >= 0);
            Assert.Equal(stays, Lanes.StayAboveZero(now, at, rows, one, takenMask, other, givenMask, row));
        }
    }
}
