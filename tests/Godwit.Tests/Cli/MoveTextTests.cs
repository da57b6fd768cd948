using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Spectre.Console;
using Xunit;

namespace Godwit.Tests.Cli;

public sealed class MoveTextTests
{
    [Fact]
    public void A_move_in_memory_tells_pass_remaining_rates_pause_and_time_left()
    {
        var move = Examples.Move(Phase.Memory) with { Progress = Examples.Progress() };
        Assert.Equal("memory: pass 3, 212 MiB of 512 MiB left, 301 MiB sent, 118 MiB/s, dirty 12 MiB/s, pause ~24.3 ms, ETA 2 s",
            MoveText.Now(move));
    }

    [Fact]
    public void A_move_that_does_not_converge_says_so_in_words()
    {
        var move = Examples.Move(Phase.Memory) with { Progress = Examples.Progress(etaSeconds: null) };
        Assert.EndsWith(", not converging", MoveText.Now(move));
    }

    [Theory]
    [InlineData(Phase.Queued)]
    [InlineData(Phase.Memory)]
    [InlineData(Phase.Cleaning)]
    public void No_phase_ever_shows_a_percentage(Phase phase)
    {
        var move = Examples.Move(phase) with { Progress = Examples.Progress() };
        Assert.DoesNotContain("%", MoveText.Now(move) + string.Concat(MoveView.Lines(move, GodwitRun.Now)));
    }

    [Fact]
    public void Live_view_of_moves_in_every_standing()
    {
        Migration[] moves =
        [
            Examples.Move(), Examples.Move(Phase.Checking), Examples.Move(Phase.Memory) with { Progress = Examples.Progress() },
            Examples.Move(Phase.Memory) with { Progress = Examples.Progress(etaSeconds: null) },
            Examples.Move(Phase.Memory) with { CancelRequested = true }, Examples.Move(Phase.Verifying),
            Examples.Done(), Examples.Refused(), Examples.Stuck(),
        ];
        var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(text) });
        console.Profile.Width = 120;
        console.Write(MoveView.Of(moves, GodwitRun.Now));
        Approval.Check(string.Join('\n', text.ToString().Split('\n').Select(line => line.TrimEnd())));
    }

    [Fact]
    public void Names_that_look_like_markup_are_shown_as_they_are()
    {
        var lines = MoveView.Lines(Examples.Move() with { VmName = "[red]x" }, GodwitRun.Now);
        Assert.Contains("[[red]]x", lines.First());
    }

    [Fact]
    public void A_log_tells_phases_and_ends_at_once_passes_every_second_and_the_rest_every_five()
    {
        var (none, second) = (TimeSpan.Zero, TimeSpan.FromSeconds(1));
        var before = Examples.Move(Phase.Memory) with { Progress = Examples.Progress() };
        Assert.True(MoveText.IsNews(null, before, none));
        Assert.False(MoveText.IsNews(before, before, second));
        Assert.True(MoveText.IsNews(before, before, 5 * second));
        Assert.True(MoveText.IsNews(before, before with { Phase = Phase.Switching }, none));
        var next = before with { Progress = before.Progress! with { Pass = 4 } };
        Assert.False(MoveText.IsNews(before, next, second / 2));
        Assert.True(MoveText.IsNews(before, next, second));
        Assert.True(MoveText.IsNews(before, before with { End = MoveEnd.Cancelled }, none));
    }

    [Fact]
    public void A_receipt_shows_what_the_agents_and_what_the_network_saw()
    {
        var seen = new SeenFromOutside(48.2, BeatsLost: 41, SameBootId: true, CounterWentOn: true);
        Approval.Check(string.Join('\n', ReceiptText.Plain(Examples.Done(), seen)) + "\n");
    }

    [Fact]
    public void A_guest_that_started_anew_is_not_passed_off_as_moved()
    {
        var seen = new SeenFromOutside(48, 0, SameBootId: false, CounterWentOn: true);
        Assert.False(seen.GuestNoticedNothing);
        Assert.Contains(ReceiptText.Plain(Examples.Done(), seen), line => line.Contains("ANOTHER BOOT ID"));
    }
}
