using Godwit.Core.Migration;

namespace Godwit.Core.Quoting;

/// <summary>How moves went beside what the model had said, as factors and milliseconds to set it right by.</summary>
/// <param name="Duration">Actual over predicted, with its usual spread.</param>
/// <param name="Bytes">As <paramref name="Duration"/>.</param>
/// <param name="Pauses">Of each move what the model said of its pause, and actual less that, in ms.</param>
/// <param name="Moves">How many moves it is from; 0: nothing is set right, and the spread is a guess.</param>
public sealed record Correction(Estimate Duration, Estimate Bytes, IReadOnlyList<(double ModelMs, double OffMs)> Pauses, int Moves)
{
    /// <summary>Before any move was seen: what the model's errors were in the lab.</summary>
    public static readonly Correction None = new(new(0.75, 1, 2), new(0.8, 1, 1.3), [], 0);
    private static readonly Estimate assumedPauseMs = new(-5, 0, 60);
    /// <summary>Pauses are alike where neither is longer than twice the other, and this.</summary>
    private const double AlikeMs = 25;

    /// <summary>
    /// Actual less predicted of a pause that the model says to be so long, by those as long as it: half a second by which stops of ten
    /// seconds were off says nothing of a switch-over of ten milliseconds.
    /// </summary>
    public Estimate PauseMs(double modelMs) => LearnedFromMoves.Difference(
        Pauses.Where(one => Math.Max(one.ModelMs, modelMs) <= 2 * Math.Min(one.ModelMs, modelMs) + AlikeMs).Select(one => one.OffMs),
        assumedPauseMs);
}

/// <summary>What a refresh costs, by those before it.</summary>
/// <param name="Bytes">Of devices: they go from one QEMU to the other, and never leave the host.</param>
/// <param name="Moves">How many it is from; 0: assumed.</param>
/// <param name="IsOfHost">False: of other hosts.</param>
public sealed record RefreshCost(Estimate PauseMs, Estimate DurationMs, Estimate Bytes, int Moves, bool IsOfHost);

/// <summary>
/// Learns from receipts: how fast a path is, and how wrong the model was. Medians of the newest moves, nothing more, so that
/// everybody can check a quote by hand. Pure.
/// </summary>
public static class LearnedFromMoves
{
    /// <summary>Moves looked at; older ones tell of another network.</summary>
    public const int NewestMax = 30;
    /// <summary>A move of less says little about a path's rate.</summary>
    private const long TellingBytes = 8 << 20;
    /// <summary>As if so many moves without any error had been seen before: one odd move must not turn a quote over.</summary>
    private const double Doubt = 2;
    /// <summary>Two moves tell a rate apart from what each costs anyway if their bytes differ by this part of the usual.</summary>
    private const double TellingDifference = 0.1;
    /// <summary>A path is at most so much faster than bytes over time say.</summary>
    private const double SetupFactorMax = 4;
    /// <summary>A path is at most so much faster than it was tested, or than moves were that have shown the test to be wrong.</summary>
    private const double TestedFactorMax = 1.1;
    /// <summary>So many moves must not have come near the wire's rate, or processors are not what holds them up.</summary>
    private const int TellingMoves = 3;
    /// <summary>Of the rate a wire was tested to have: a move that came so near filled it.</summary>
    private const double NearlyFilled = 0.85;
    /// <summary>
    /// What moves as large as each other take beyond it is not taken for setup: of their time this part, and between so much. As seen
    /// in the lab, on its quickest machine and its slowest.
    /// </summary>
    private const double UntoldSetupPart = 0.25, UntoldSetupMinMs = 1000, UntoldSetupMaxMs = 2000;
    private const double PageBytes = 4096;
    /// <summary>Assumed of agents that have moved before; their first move takes longer (<see cref="PathProfile.Assumed"/>).</summary>
    private const double LaterAroundMs = 330, LaterSetupMs = 180;
    /// <summary>So many moves of a VM tell more of it than those of all VMs between two hosts.</summary>
    private const int OwnEnough = 5;
    /// <summary>So many pairs of moves must tell, or the link test is believed.</summary>
    private const int TellingPairs = 6;

    /// <summary>Before any was seen: what they come to in the lab.</summary>
    private static readonly Estimate assumedRefreshPauseMs = new(5, 20, 80), assumedRefreshMs = new(100, 500, 3000);
    private static readonly Estimate assumedRefreshBytes = new(50e3, 200e3, 2e6);

    /// <param name="ended">Of the whole cluster, newest first.</param>
    /// <param name="tested">What a link test found; counts until a move has told more.</param>
    public static PathProfile Path(IEnumerable<Migration.Migration> ended, HostId source, HostId target, LinkFigures? tested = null)
    {
        var moves = ended.Where(m => m is { End: MoveEnd.Done, Receipt: { MemoryMs: > 0 } }
                && m.Mode is MoveMode.Live or MoveMode.Quick or MoveMode.Hybrid)
            .Where(m => m.Source != m.Target).ToList();
        var here = moves.Where(m => m.Source == source && m.Target == target).Take(NewestMax).ToList();
        // The way back is like it.
        if (here.Count == 0) here = [.. moves.Where(m => m.Source == target && m.Target == source).Take(NewestMax)];
        var rates = here.Where(m => m.Limits.BandwidthBytesPerSecond == 0 && m.Receipt!.WireBytes >= TellingBytes)
            .Select(m => new Crossing(m.Receipt!.WireBytes, m.Receipt.StreamBytes, BytesMs(m))).ToList();
        var around = here.Count > 0 ? here : moves.Take(NewestMax).ToList();
        double? testedRate = tested is { BytesPerSecond: > 0 } ? tested.BytesPerSecond : null;
        var wire = Wire(rates, testedRate);
        return PathProfile.Assumed with
        {
            WireBytesPerSecond = wire.BytesPerSecond,
            SetupMs = wire.SetupMs,
            IsTested = testedRate is not null,
            StreamBytesPerSecondMax = StreamMax(rates, wire.SetupMs, testedRate),
            AroundMs = around.Count == 0 ? PathProfile.Assumed.AroundMs : Usual(around.Select(Around), LaterAroundMs),
            Moves = rates.Count,
        };
    }

    /// <summary>
    /// The most that was taken, where processors held moves up. Those that came near the rate their wire was tested to have tell only that
    /// at least so much is taken.
    /// </summary>
    private static double StreamMax(List<Crossing> moves, double setupMs, double? tested)
    {
        var assumed = PathProfile.Assumed.StreamBytesPerSecondMax;
        if (moves.Count == 0) return assumed;
        var most = moves.Max(r => PerSecond(r, r.StreamBytes));
        if (tested is null) return most; // Nobody knows what the wire would have let through.
        return moves.Count < TellingMoves || moves.Exists(r => PerSecond(r, r.WireBytes) >= tested * NearlyFilled)
            ? Math.Max(assumed, most) : most;

        double PerSecond(Crossing move, long bytes) => bytes * 1000.0 / Math.Max(1, move.BytesMs - setupMs);
    }

    /// <summary>
    /// The straight line through time over bytes (Theil-Sen: the middle of the slopes of all pairs, then of what is left over): its
    /// slope is the rate, and where it begins is what memory costs whatever crosses. Where moves were too much alike for a slope, the
    /// link test has the word.
    /// </summary>
    private static (double BytesPerSecond, double SetupMs) Wire(List<Crossing> moves, double? tested)
    {
        if (moves.Count == 0) return (tested ?? PathProfile.Assumed.WireBytesPerSecond, PathProfile.Assumed.SetupMs);
        var (usual, through) = (Quantile(moves.Select(r => (double)r.WireBytes), 0.5), Quantile(moves.Select(Rate), 0.5));
        List<(double Slope, double Weight)> slopes = [];
        for (var a = 0; a < moves.Count; a++)
            for (var b = 0; b < a; b++)
                if (Math.Abs(moves[a].WireBytes - moves[b].WireBytes) >= usual * TellingDifference)
                    slopes.Add(((moves[a].BytesMs - moves[b].BytesMs) / (moves[a].WireBytes - moves[b].WireBytes),
                        Math.Abs(moves[a].WireBytes - moves[b].WireBytes)));
        // Never slower than all is together; nor much faster than was tested, nor so fast that nearly all were setup.
        var most = Math.Min(through * SetupFactorMax, Math.Max(through, tested ?? double.MaxValue) * TestedFactorMax);
        var rate = slopes.Count >= TellingPairs ? 1000 / Math.Max(Middle(slopes), 1000 / most) : tested ?? through;
        rate = Math.Clamp(rate, through, most);
        var setup = moves.Select(r => r.BytesMs - r.WireBytes * 1000.0 / rate);
        // Neither tested nor told by moves of unlike size, it is in the rate.
        var isInRate = tested is null && slopes.Count < TellingPairs;
        var setupMs = Math.Max(0, isInRate ? Quantile(setup, 0.5) : Usual(setup, LaterSetupMs));
        var untoldMaxMs = Math.Clamp(Quantile(moves.Select(r => r.BytesMs), 0.5) * UntoldSetupPart, UntoldSetupMinMs, UntoldSetupMaxMs);
        if (slopes.Count >= TellingPairs || setupMs <= untoldMaxMs) return (rate, setupMs);
        // So much before the first byte nobody has shown: they do not come to what was tested.
        return (Quantile(moves.Select(r => r.WireBytes * 1000.0 / Math.Max(1, r.BytesMs - LaterSetupMs)), 0.5),
            LaterSetupMs);

        static double Rate(Crossing move) => move.WireBytes * 1000.0 / move.BytesMs;
    }

    /// <summary>Of the memory phase without QEMU's look at pages of zeros.</summary>
    private static double BytesMs(Migration.Migration move) => Math.Max(move.Receipt!.MemoryMs / 2,
        move.Receipt.MemoryMs - PredictMove.ZerosMs(move.Quote?.Memory, move.Receipt.ZeroPages * PageBytes));

    /// <param name="BytesMs">What it took of the memory phase.</param>
    private sealed record Crossing(long WireBytes, long StreamBytes, double BytesMs);

    /// <param name="ended">
    /// Of the whole cluster, newest first. Those of the same pair of hosts count, and of them the VM's own once there are enough: its
    /// devices are its own. Failing them, all.
    /// </param>
    /// <param name="path">As it is known now: old moves run on paper over it, so a path learned since is no error of the model.</param>
    public static Correction Correct(
        IEnumerable<Migration.Migration> ended, HostId source, HostId target, MoveMode mode, PathProfile path, VmId? vm = null)
    {
        var quoted = ended.Where(m => m is { End: MoveEnd.Done, Receipt: not null, Quote.Memory: not null })
            .Where(m => m.Quote!.Mode == mode).ToList();
        var here = quoted.Where(m => m.Source == source && m.Target == target).Take(NewestMax).ToList();
        if (here.Where(m => m.Vm == vm).ToList() is { Count: >= OwnEnough } own) here = own;
        var moves = here.Count > 0 ? here : quoted.Take(NewestMax).ToList();
        if (moves.Count == 0) return Correction.None;
        var held = moves.Select(m => (Receipt: m.Receipt!, Took: m.Receipt!.TotalMs - Queued(m),
            // It was quoted when it was asked for, and began after it had waited its turn.
            Model: PredictMove.Of(mode, m.Quote!.Memory!.After(Queued(m)), path, m.Limits))).ToList();
        return new Correction(
            Factor(held.Select(m => m.Took / m.Model.DurationMs), Correction.None.Duration),
            Factor(held.Select(m => m.Receipt.WireBytes / Math.Max(1, m.Model.WireBytes)), Correction.None.Bytes),
            [.. held.Where(m => m.Receipt.PauseMs is not null && m.Model.Fits)
                .Select(m => (m.Model.PauseMs, m.Receipt.PauseMs!.Value - m.Model.PauseMs))],
            moves.Count);
    }

    /// <summary>What a refresh costs on a host: as its newest ones, failing them as the cluster's.</summary>
    public static RefreshCost Refreshes(IEnumerable<Migration.Migration> ended, HostId host)
    {
        var all = ended.Where(m => m is { Mode: MoveMode.Refresh, End: MoveEnd.Done, Receipt: not null }).ToList();
        var here = all.Where(m => m.Source == host).Take(NewestMax).ToList();
        var moves = here.Count > 0 ? here : all.Take(NewestMax).ToList();
        return new RefreshCost(
            From(moves.Where(m => m.Receipt!.PauseMs is not null).Select(m => m.Receipt!.PauseMs!.Value), assumedRefreshPauseMs),
            From(moves.Select(m => m.Receipt!.TotalMs - Queued(m)), assumedRefreshMs),
            From(moves.Select(m => (double)m.Receipt!.WireBytes), assumedRefreshBytes), moves.Count, here.Count > 0);

        static Estimate From(IEnumerable<double> seen, Estimate assumed)
        {
            var span = new Estimate(assumed.Low - assumed.Expected, 0, assumed.High - assumed.Expected);
            var off = Difference(seen.Select(value => value - assumed.Expected), span);
            return new(Math.Max(0, assumed.Expected + off.Low), assumed.Expected + off.Expected, assumed.Expected + off.High);
        }
    }

    /// <summary>A move that waited its turn was no slower for it.</summary>
    public static double Queued(Migration.Migration move) => move.Receipt!.PhaseMs.GetValueOrDefault(Phase.Queued);

    /// <summary>
    /// Their middle, as if <see cref="Doubt"/> moves had cost what later ones mostly do: the first moves of agents that have just started
    /// take up to twice as long as any after.
    /// </summary>
    private static double Usual(IEnumerable<double> seen, double assumed) =>
        Quantile(seen.Concat(Enumerable.Repeat(assumed, (int)Doubt)), 0.5);

    private static double Around(Migration.Migration move) => Math.Max(0, move.Receipt!.TotalMs - Queued(move) - move.Receipt.MemoryMs);

    private static Estimate Factor(IEnumerable<double> ratios, Estimate prior)
    {
        var logs = ratios.Select(r => Math.Log(Math.Clamp(r, 0.02, 50))).ToList();
        var span = Difference(logs, new(Math.Log(prior.Low), Math.Log(prior.Expected), Math.Log(prior.High)));
        return new(Math.Exp(span.Low), Math.Exp(span.Expected), Math.Exp(span.High));
    }

    /// <summary>Median and the middle four fifths, drawn towards the prior as long as few moves were seen.</summary>
    internal static Estimate Difference(IEnumerable<double> errors, Estimate prior)
    {
        var sorted = errors.Order().ToList();
        if (sorted.Count == 0) return prior;
        var weight = sorted.Count / (sorted.Count + Doubt);
        var middle = weight * Quantile(sorted, 0.5);
        return new(
            Math.Min(middle, weight * Quantile(sorted, 0.1) + (1 - weight) * (middle + prior.Low - prior.Expected)), middle,
            Math.Max(middle, weight * Quantile(sorted, 0.9) + (1 - weight) * (middle + prior.High - prior.Expected)));
    }

    /// <summary>Half of the weight lies below it.</summary>
    private static double Middle(List<(double Value, double Weight)> of)
    {
        var sorted = of.OrderBy(one => one.Value).ToList();
        var (half, below) = (sorted.Sum(one => one.Weight) / 2, 0.0);
        return sorted.First(one => (below += one.Weight) >= half).Value;
    }

    /// <summary>Straight between neighbours.</summary>
    internal static double Quantile(IEnumerable<double> values, double part)
    {
        var sorted = values.Order().ToList();
        var at = part * (sorted.Count - 1);
        var below = (int)Math.Floor(at);
        var above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
    }
}
