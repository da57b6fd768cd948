using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Quoting;

/// <summary>What receipts teach: medians of the newest moves, and how they set a quote right.</summary>
public sealed class LearnedFromMovesTests
{
    private static readonly HostId H1 = new("h1"), H2 = new("h2"), H3 = new("h3");
    private static readonly MemoryProfile Memory = PredictMoveTests.Memory(256, 2, (100, 1), (3000, 2));

    [Fact]
    public void A_path_nobody_moved_over_is_assumed_and_says_so()
    {
        Assert.Equal(PathProfile.Assumed, LearnedFromMoves.Path([], H1, H2));
        Assert.Equal(0, LearnedFromMoves.Path([Moved(H1, H3, 1000)], H1, H2).Moves);
    }

    [Fact]
    public void A_path_is_as_fast_as_the_middle_of_its_newest_moves_and_the_way_back_is_like_it()
    {
        var moves = new[] { Moved(H1, H2, 1000), Moved(H1, H2, 2000), Moved(H1, H2, 500) };
        var path = LearnedFromMoves.Path(moves, H1, H2);
        Assert.Equal(3, path.Moves);
        Assert.InRange(path.WireBytesPerSecond / 128e6, 0.999, 1.001); // But for a page of zeros.
        Assert.InRange(path.StreamBytesPerSecondMax / 512e6, 0.999, 1.001); // The quickest of them took that much.
        Assert.Equal(path, LearnedFromMoves.Path(moves, H2, H1));
    }

    [Fact]
    public void What_processors_take_is_told_by_moves_that_did_not_fill_the_wire()
    {
        var tested = new LinkFigures
        {
            At = DateTimeOffset.UnixEpoch, BytesPerSecond = 1_100_000_000, Bytes = 1, RoundTripMs = 1, Security = "",
        };
        // 256 MB of stream each, 128 MB of it on the wire.
        Assert.InRange(Max(1.2e9, 2000), 140e6, 145e6); // The wire would have let through nearly twenty times as much.
        Assert.InRange(Max(330e6, 600), 600e6, 700e6); // They filled it: so much is taken at least.
        Assert.Equal(PathProfile.Assumed.StreamBytesPerSecondMax, Max(70e6, 2200)); // They filled a slow one: that says nothing.

        double Max(double wire, double memoryMs) => LearnedFromMoves.Path(Enumerable.Repeat(Moved(H1, H2, memoryMs), 9), H1, H2,
            tested with { BytesPerSecond = (long)wire }).StreamBytesPerSecondMax;
    }

    [Fact]
    public void Memory_that_a_move_gave_on_its_way_is_not_taken_for_what_each_move_costs()
    {
        var tested = new LinkFigures
        {
            At = DateTimeOffset.UnixEpoch, BytesPerSecond = 128_000_000, Bytes = 1, RoundTripMs = 1, Security = "",
        };
        // A second on the wire, 1.5 s to give 384 MiB, and what is left over.
        var memory = Memory with { UntouchedBytes = 384 << 20, GivenBytesPerSecond = 256 << 20 };
        Assert.InRange(Path(memory).SetupMs, 300, 500);
        Assert.InRange(Path(memory).WireBytesPerSecond, 127e6, 129e6);
        Assert.InRange(Path(memory with { GivenBytesPerSecond = 0 }).WireBytesPerSecond, 0, 60e6); // Taken for a slow wire.

        PathProfile Path(MemoryProfile of)
        {
            var move = Moved(H1, H2, 3000);
            return LearnedFromMoves.Path(Enumerable.Repeat(move with
            {
                Receipt = move.Receipt! with { ZeroPages = (400 << 20) / 4096 },
                Quote = new WayQuote
                {
                    Mode = MoveMode.Live, Memory = of, PauseMs = new(1, 2, 3), DurationMs = new(1, 2, 3), WireBytes = new(1, 2, 3),
                    Passes = 1, Breaks = [], At = DateTimeOffset.UnixEpoch,
                },
            }, 9), H1, H2, tested);
        }
    }

    [Fact]
    public void A_move_that_waited_in_a_queue_is_held_against_the_turn_at_which_it_began()
    {
        // Asked for while the guest worked (20 s of it to come, 20 of rest), begun 25 s later, while it rested.
        var memory = PredictMoveTests.Memory(200, 1, (100, 60), (350, 190), (3000, 190)) with
        {
            LookWritten = 6 * 500,
            Rhythm = new GuestRhythm { Written = [.. Enumerable.Range(0, 320).Select(n => n % 80 < 40 ? 500 : 0)], AgeMs = 0 },
        };
        var (path, limits) = (PredictMoveTests.Path(112), new MoveLimits(300));
        var rested = PredictMove.Live(memory.After(25_000), path, limits);
        Assert.True(PredictMove.Live(memory, path, limits).DurationMs > 2 * rested.DurationMs);
        var moves = Enumerable.Repeat(Moved(H1, H2, 1) with
        {
            Limits = limits,
            Quote = new WayQuote
            {
                Mode = MoveMode.Live, Memory = memory, PauseMs = new(1, 2, 3), DurationMs = new(1, 2, 3), WireBytes = new(1, 2, 3),
                Passes = 1, Breaks = [], At = DateTimeOffset.UnixEpoch,
            },
            Receipt = Moved(H1, H2, 1).Receipt! with
            {
                TotalMs = 25_000 + rested.DurationMs, WireBytes = (long)rested.WireBytes,
                PhaseMs = new Dictionary<Phase, double> { [Phase.Queued] = 25_000 },
            },
        }, 9).ToList();
        var learned = LearnedFromMoves.Correct(moves, H1, H2, MoveMode.Live, path);
        Assert.InRange(learned.Duration.Expected, 0.99, 1.01);
        Assert.InRange(learned.Bytes.Expected, 0.99, 1.01);
    }

    [Fact]
    public void Moves_far_apart_tell_a_paths_rate_and_not_the_noise_of_those_that_are_alike()
    {
        // Twelve small ones take what they like; three large ones tell 100 MB/s.
        double[] noise = [0, 400, 50, 350, 100, 300, 0, 400, 50, 350, 100, 300];
        var small = noise.Select((ms, n) => Sized(100_000_000 + n * 15_000_000L, 1500 + ms - n * 20));
        var moves = small.Concat([Sized(2_000_000_000, 20_500), Sized(2_200_000_000, 22_500), Sized(2_400_000_000, 24_500)]).ToList();
        Assert.InRange(LearnedFromMoves.Path(moves, H1, H2).WireBytesPerSecond, 90e6, 112e6);
    }

    [Fact]
    public void What_every_move_costs_is_told_apart_from_what_bytes_cost()
    {
        // Half a second before the first byte, then 100 MB/s; one move in five came upon a busy network.
        var moves = Enumerable.Range(1, 20).Select(n => Sized(n * 20_000_000, 500 + n * 200 * (n % 5 == 0 ? 2 : 1))).ToList();
        var path = LearnedFromMoves.Path(moves, H1, H2);
        Assert.InRange(path.WireBytesPerSecond, 95e6, 105e6);
        Assert.InRange(path.SetupMs, 450, 550);

        // All alike: no slope to be seen, so the link test has the word.
        var tested = new LinkFigures
        {
            At = DateTimeOffset.UnixEpoch, BytesPerSecond = 110_000_000, Bytes = 1, RoundTripMs = 1, Security = "",
        };
        path = LearnedFromMoves.Path(Enumerable.Repeat(Sized(100_000_000, 1500), 9), H1, H2, tested);
        Assert.Equal(110e6, path.WireBytesPerSecond);
        Assert.InRange(path.SetupMs, 580, 600);

        // Noise has made the larger moves the quicker ones: no path is so much faster than it was tested.
        var odd = Enumerable.Range(1, 9).Select(n => Sized(90_000_000 + n * 5_000_000, 2000 - n * 50)).ToList();
        path = LearnedFromMoves.Path(odd, H1, H2, tested);
        Assert.InRange(path.WireBytesPerSecond, 110e6, 122e6);

        // A test that met a busy moment: moves were twice as fast, and count.
        path = LearnedFromMoves.Path(moves, H1, H2, tested with { BytesPerSecond = 40_000_000 });
        Assert.InRange(path.WireBytesPerSecond, 81e6, 84e6);
    }

    /// <summary>Moves as large as each other do not tell a slow beginning from a slow wire; then large ones must not pay for it.</summary>
    [Theory]
    [InlineData(1300, 110e6, 1300)] // Where memory is made ready slowly.
    [InlineData(2600, 70e6, 180)] // No beginning takes so long: the wire is not what was tested.
    public void As_long_as_a_beginning_may_be_so_slow_the_link_test_is_believed(double extraMs, double bytesPerSecond, double setupMs)
    {
        var tested = new LinkFigures
        {
            At = DateTimeOffset.UnixEpoch, BytesPerSecond = 110_000_000, Bytes = 1, RoundTripMs = 1, Security = "",
        };
        var path = LearnedFromMoves.Path(Enumerable.Repeat(Sized(440_000_000, 4000 + extraMs), 9), H1, H2, tested);
        Assert.InRange(path.WireBytesPerSecond, bytesPerSecond * 0.97, bytesPerSecond * 1.03);
        Assert.InRange(path.SetupMs, setupMs * 0.97, setupMs * 1.03);
    }

    [Fact]
    public void A_move_that_was_held_back_or_had_nothing_to_send_says_nothing_of_its_path()
    {
        var held = Moved(H1, H2, 9000) with { Limits = new MoveLimits(BandwidthBytesPerSecond: 1 << 20) };
        var tiny = Moved(H1, H2, 9000) with { Receipt = Moved(H1, H2, 9000).Receipt! with { WireBytes = 1 << 20 } };
        var path = LearnedFromMoves.Path([held, tiny], H1, H2);
        Assert.Equal((0, PathProfile.Assumed.WireBytesPerSecond), (path.Moves, path.WireBytesPerSecond));
    }

    [Fact]
    public void Quotes_get_better_with_every_move_of_a_recorded_set()
    {
        // A host pair whose guests take two thirds longer and pause 40 ms longer than on paper (translated code), with some noise.
        var noise = new SeededNumbers(11);
        List<Migration> ended = [];
        List<double> errors = [], pauseErrors = [];
        for (var n = 0; n < 20; n++)
        {
            var path = LearnedFromMoves.Path(ended, H1, H2);
            var quote = Quote(ended, path);
            var model = PredictMove.Live(Memory, PredictMoveTests.Path(100), new MoveLimits());
            var (took, paused) = (model.DurationMs * (1.58 + noise.Share() * 0.1), model.PauseMs + 38 + noise.Share() * 4);
            var move = Moved(H1, H2, took - 500) with { Quote = quote };
            ended.Insert(0, move with
            {
                Receipt = move.Receipt! with { TotalMs = took, PauseMs = paused, WireBytes = (long)model.WireBytes },
            });
            errors.Add(Math.Abs(quote.DurationMs.Expected - took) / took);
            pauseErrors.Add(Math.Abs(quote.PauseMs.Expected - paused));
        }
        Assert.True(errors[0] > 0.1, $"the first quote was off by {errors[0]:P0}");
        Assert.All(errors.Skip(8), error => Assert.InRange(error, 0, 0.1));
        Assert.All(pauseErrors.Skip(12), error => Assert.InRange(error, 0, 8));
        var score = PromiseScore.Of(ended.Take(10).ToList(), MoveMode.Live);
        Assert.Equal((10, 1.0, 0), (score.Moves, score.DurationWithinTenth, score.LimitsBroken));
    }

    [Fact]
    public void One_odd_move_does_not_turn_a_quote_over()
    {
        var path = PredictMoveTests.Path(100);
        var usual = Enumerable.Range(0, 10).Select(_ => AsOnPaper(path)).ToList();
        var before = LearnedFromMoves.Correct(usual, H1, H2, MoveMode.Live, path);
        var odd = AsOnPaper(path);
        usual.Insert(0, odd with { Receipt = odd.Receipt! with { TotalMs = odd.Receipt.TotalMs * 20 } });
        var after = LearnedFromMoves.Correct(usual, H1, H2, MoveMode.Live, path);
        Assert.InRange(after.Duration.Expected / before.Duration.Expected, 0.99, 1.01);
        Assert.True(after.Duration.High >= after.Duration.Expected);
    }

    [Fact]
    public void A_vms_own_moves_tell_more_of_it_than_those_of_others()
    {
        var path = PredictMoveTests.Path(100);
        var (mine, other) = (new VmId("vm-00000000000a"), new VmId("vm-00000000000b"));
        var others = Enumerable.Range(0, 12).Select(_ => AsOnPaper(path) with { Vm = other });
        var own = Enumerable.Range(0, 6).Select(_ => AsOnPaper(path)).Select(m => m with
        {
            Vm = mine, Receipt = m.Receipt! with { PauseMs = m.Receipt.PauseMs + 80 }, // Many processors, many devices.
        });
        List<Migration> all = [.. others, .. own];
        var usualMs = PredictMove.Live(Memory, path, new MoveLimits()).PauseMs;
        Assert.InRange(LearnedFromMoves.Correct(all, H1, H2, MoveMode.Live, path, mine).PauseMs(usualMs).Expected, 55, 80);
        Assert.InRange(LearnedFromMoves.Correct(all, H1, H2, MoveMode.Live, path, other).PauseMs(usualMs).Expected, -1, 1);
    }

    [Fact]
    public void A_pause_is_set_right_by_those_as_long_as_it()
    {
        // Stops of eight seconds by consent came out half a second shorter than on paper, switch-overs 4 ms longer.
        var learned = Correction.None with { Pauses = [(8500, -500), (12, 4), (8100, -520), (40, 4), (7900, -480), (9, 4)] };
        Assert.InRange(learned.PauseMs(10).Expected, 2, 4);
        Assert.InRange(learned.PauseMs(8000).Expected, -500, -250);
        // None was like it.
        Assert.Equal(Correction.None.PauseMs(500), learned.PauseMs(500));
    }

    [Fact]
    public void A_refresh_is_quoted_by_those_before_it()
    {
        var assumed = QuoteMove.OfRefresh(new MoveLimits(), LearnedFromMoves.Refreshes([], H1), H1, DateTimeOffset.UnixEpoch);
        Assert.Empty(assumed.Ways[0].Breaks);
        var refreshed = Moved(H1, H1, 900) with { Mode = MoveMode.Refresh };
        refreshed = refreshed with { Receipt = refreshed.Receipt! with { PauseMs = 400, TotalMs = 3000 } };
        var seen = LearnedFromMoves.Refreshes(Enumerable.Repeat(refreshed, 20), H1);
        Assert.Equal(20, seen.Moves);
        Assert.InRange(seen.PauseMs.Expected, 350, 400);
        Assert.InRange(seen.DurationMs.Expected, 2700, 3000);
        Assert.Contains("on other hosts", QuoteMove.OfRefresh(new MoveLimits(), LearnedFromMoves.Refreshes([refreshed], H2), H2,
            DateTimeOffset.UnixEpoch).Why, StringComparison.Ordinal);
        var quote = QuoteMove.OfRefresh(new MoveLimits(MaxPauseMs: 100), seen, H1, DateTimeOffset.UnixEpoch);
        Assert.Contains("20 on h1", quote.Why, StringComparison.Ordinal);
        Assert.InRange(quote.Ways[0].WireBytes.Expected / refreshed.Receipt.WireBytes, 0.9, 1.01);
        Assert.Equal(["max-pause 100 ms"], quote.Ways[0].Breaks);
        Assert.Single(quote.Relaxations);
    }

    [Fact]
    public void A_limit_that_is_broken_or_kept_by_staying_is_counted()
    {
        var broken = Moved(H1, H2, 1000);
        broken = broken with { Receipt = broken.Receipt! with { PauseMs = 900 } };
        var stayed = Moved(H1, H2, 1000) with
        {
            Receipt = null, End = MoveEnd.RolledBack, Reason = $"{PromiseScore.WouldHavePaused}900 ms (limit 300 ms)",
        };
        var score = PromiseScore.Of([broken, stayed, Moved(H1, H2, 1000)], null);
        Assert.Equal((1, 1), (score.LimitsBroken, score.LimitsKeptByStaying));
    }

    private static Migration AsOnPaper(PathProfile path)
    {
        var model = PredictMove.Live(Memory, path, new MoveLimits());
        var move = Moved(H1, H2, 1000) with { Quote = Quote([], path) };
        return move with
        {
            Receipt = move.Receipt! with { TotalMs = model.DurationMs, PauseMs = model.PauseMs, WireBytes = (long)model.WireBytes },
        };
    }

    private static WayQuote Quote(IReadOnlyList<Migration> ended, PathProfile path) => QuoteMove.Of(MoveMode.Live, new MoveLimits(), Memory,
        path, mode => LearnedFromMoves.Correct(ended, H1, H2, mode, path), DateTimeOffset.UnixEpoch).Ways[0];

    /// <summary>128 MB on the wire, 256 MB of memory, in <paramref name="memoryMs"/>.</summary>
    [Fact]
    public void What_devices_cost_is_told_by_the_vms_own_moves_and_else_by_those_of_its_shape()
    {
        List<Migration> ended =
            [Loaded(30, MoveMode.Lazy), Loaded(8), Loaded(4), Loaded(6), Loaded(900, vm: "other"), Loaded(2, vm: "alike")];
        ended.Add(ended[0] with { Mode = MoveMode.Refresh, Receipt = ended[0].Receipt! with { WireBytes = 400_000 } });
        var web = ended[1].Vm;
        var own = DeviceFigures.Of(ended, web, IsAlike)!;
        Assert.Equal((6.0, 3, true), (own.LoadMs, own.Moves, own.IsOwn));
        Assert.Equal(350_000, own.StateBytes); // Between the lazy move's and the refresh's.

        var alike = DeviceFigures.Of(ended, new VmId("vm-new"), IsAlike)!;
        Assert.Equal((5.0, 4, false), (alike.LoadMs, alike.Moves, alike.IsOwn));
        Assert.Null(DeviceFigures.Of(ended, new VmId("vm-new"), vm => vm.Value == "vm-new"));
        Assert.Equal(new DeviceFigures(300_000, null, 0, IsOwn: false), DeviceFigures.Of([ended[0]], web, IsAlike));

        bool IsAlike(VmId vm) => vm != ended[4].Vm;

        static Migration Loaded(double loadMs, MoveMode mode = MoveMode.Live, string vm = "web")
        {
            var move = StoreUnderTest.MakeMove(StoreUnderTest.MakeVm(vm, H1.Value), H2.Value, $"mv-{vm}{loadMs:0}");
            return move with
            {
                Mode = mode, End = MoveEnd.Done,
                Receipt = Moved(H1, H2, 1000).Receipt! with { StreamBytes = 300_000, PauseParts = new PauseParts(5, 1, loadMs, 2) },
            };
        }
    }

    private static Migration Sized(long wireBytes, double memoryMs) => Moved(H1, H2, memoryMs) is var move
        ? move with { Receipt = move.Receipt! with { WireBytes = wireBytes, StreamBytes = wireBytes, ZeroPages = 0 } } : move;

    private static Migration Moved(HostId from, HostId to, double memoryMs) =>
        StoreUnderTest.MakeMove(StoreUnderTest.MakeVm("web", from.Value), to.Value, $"mv-{memoryMs:0}") with
        {
            End = MoveEnd.Done,
            Receipt = new Receipt
            {
                TotalMs = memoryMs + 500, MemoryMs = memoryMs, PauseMs = 20, WireBytes = 128_000_000, StreamBytes = 256_000_000, Passes = 3,
                NormalPages = 1, ZeroPages = 1, Accelerator = Accelerator.Tcg, Transport = "TLS 1.3",
            },
        };
}
