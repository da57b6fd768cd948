using Godwit.Agent.Rpc;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Server.Agents;
using Xunit;

namespace Godwit.Tests.Quoting;

/// <summary>What an agent measured, on its way to the server.</summary>
public sealed class MeasuredFiguresTests
{
    [Fact]
    public void All_that_was_measured_arrives()
    {
        var sent = PredictMoveTests.Memory(200, 2, (100, 6), (3000, 60)) with
        {
            ChangedPackRatio = 1.5, Slices = [1, 2, 3], LookWritten = 123,
            Rhythm = new GuestRhythm { Written = [4, 5, 6], AgeMs = 78, Longer = [new(5000, 9), new(7000, 10)] },
        };
        var arrived = QuotingFromAgent.Record(QuotingToServer.Reply(sent))!;
        Assert.Equal(sent.Dirty, arrived.Dirty);
        Assert.Equal(sent.Slices, arrived.Slices);
        Assert.Equal(sent.Rhythm.Written, arrived.Rhythm!.Written);
        Assert.Equal(sent.Rhythm.Longer, arrived.Rhythm.Longer);
        Assert.Equal((78, 123, 1.5), (arrived.Rhythm.AgeMs, arrived.LookWritten, arrived.ChangedPackRatio));
        Assert.Null(QuotingFromAgent.Record(QuotingToServer.Reply(PredictMoveTests.Memory()))!.Rhythm);
    }

    [Theory]
    [InlineData(1e11, 1e20)]
    [InlineData(1e300, 1e308)]
    [InlineData(double.PositiveInfinity, double.NaN)]
    [InlineData(-5, -1e300)]
    public void Figures_that_cannot_be_make_no_quote_impossible(double windowMs, double ageMs)
    {
        var reply = QuotingToServer.Reply(PredictMoveTests.Memory(200, 2, (100, 6), (3000, 60)) with
        {
            LookWritten = ageMs,
            Rhythm = new GuestRhythm
            {
                Written = [.. Enumerable.Range(0, 5000).Select(n => n % 40 < 16 ? 500_000 : -7)], AgeMs = ageMs,
                Longer = [new(windowMs, long.MaxValue)],
            },
        });
        reply.Memory.Dirty.Add(new Contracts.DirtyPoint { WindowMs = windowMs, Bytes = -1 });
        var memory = QuotingFromAgent.Record(reply)!;
        foreach (var limits in (MoveLimits[])[new(), new(MaxPauseMs: 20) { DeadlineSeconds = 1 }])
        {
            var quote = QuoteMove.Of(
                MoveMode.Live, limits, memory, PathProfile.Assumed, _ => Correction.None, DateTimeOffset.UnixEpoch);
            Assert.All(quote.Ways, way => Assert.True(double.IsFinite(way.DurationMs.Expected)));
        }
    }
}
