using Godwit.Core;
using Godwit.Core.Migration;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class RecoveryTests
{
    private static MoveStatus? Says(MoveStanding? standing) =>
        standing is { } s ? new MoveStatus { Move = new MoveId("mv-0"), Standing = s } : null;

    private static readonly MoveStanding?[] SourceCan =
    [
        null, MoveStanding.Nothing, MoveStanding.SourceSending, MoveStanding.SourceSwitching, MoveStanding.SourceDoubt,
        MoveStanding.SourceReleased, MoveStanding.SourceKept, MoveStanding.SourceStopped, MoveStanding.SourceLost,
    ];

    private static readonly MoveStanding?[] TargetCan =
    [
        null, MoveStanding.Nothing, MoveStanding.TargetCandidate, MoveStanding.TargetIntent, MoveStanding.TargetRuns,
        MoveStanding.TargetAborted, MoveStanding.TargetLost,
    ];

    private static IEnumerable<(MoveStanding? Source, MoveStanding? Target, RecoveryStep Step)> All() =>
        from s in SourceCan from t in TargetCan select (s, t, Recovery.Decide(Says(s), Says(t)));

    [Fact]
    public void The_source_is_told_to_go_on_only_by_a_target_that_proved_it_never_ran()
    {
        foreach (var (_, target, step) in All())
            if (step is RecoveryStep.TellSource { Proof: TargetProof.Aborted })
                Assert.Equal(MoveStanding.TargetAborted, target);
    }

    [Fact]
    public void The_source_copy_is_ended_only_by_a_target_that_proved_it_runs()
    {
        foreach (var (_, target, step) in All())
            if (step is RecoveryStep.TellSource { Proof: TargetProof.Runs })
                Assert.Equal(MoveStanding.TargetRuns, target);
    }

    [Fact]
    public void Silence_of_a_host_whose_word_is_needed_settles_nothing()
    {
        foreach (var (source, target, step) in All())
        {
            // A released source had the target's proof in its hand, and a kept one never let the token go.
            var sourceSuffices = source is MoveStanding.SourceReleased or MoveStanding.SourceKept or MoveStanding.SourceStopped;
            if ((source is null || target is null) && !sourceSuffices)
                Assert.True(step is RecoveryStep.Wait or RecoveryStep.WaitForSource, $"{source} / {target} gave {step}");
        }
    }

    [Fact]
    public void A_target_that_runs_is_never_abandoned()
    {
        foreach (var (source, target, step) in All())
            if (target is MoveStanding.TargetRuns or MoveStanding.TargetIntent)
                Assert.False(step is RecoveryStep.AbandonTarget, $"{source} / {target}");
    }

    [Fact]
    public void A_candidate_left_over_is_always_taken_back_once_the_source_has_settled()
    {
        foreach (var source in new[] { MoveStanding.SourceKept, MoveStanding.SourceStopped, MoveStanding.SourceLost, MoveStanding.Nothing })
            Assert.IsType<RecoveryStep.AbandonTarget>(Recovery.Decide(Says(source), Says(MoveStanding.TargetCandidate)));
    }

    [Theory]
    [InlineData(MoveStanding.SourceDoubt, MoveStanding.TargetIntent)]
    [InlineData(MoveStanding.SourceDoubt, MoveStanding.Nothing)]
    [InlineData(MoveStanding.SourceLost, MoveStanding.TargetIntent)]
    public void What_only_time_can_tell_is_waited_for(MoveStanding source, MoveStanding target) =>
        Assert.IsType<RecoveryStep.Wait>(Recovery.Decide(Says(source), Says(target)));

    [Fact]
    public void A_source_that_died_after_the_token_loses_nothing_if_the_target_runs()
    {
        var step = Assert.IsType<RecoveryStep.Settled>(Recovery.Decide(Says(MoveStanding.SourceLost), Says(MoveStanding.TargetRuns)));
        Assert.IsType<Settlement.AtTarget>(step.Where);
    }
}
