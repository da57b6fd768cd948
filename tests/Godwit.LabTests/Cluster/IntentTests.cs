using System.Diagnostics;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>Limits, deadlines and consent on real QEMU, with a guest that outruns its link.</summary>
[Collection(LabCollection.Name)]
public sealed class IntentTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 8 << 20;
    private const int DeadlineSeconds = 20, LimitMs = 150;

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0);

    [RealQemuFact]
    public async Task A_guest_that_outruns_its_link_stays_at_home_when_the_time_is_up_and_does_not_notice()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, 200);
        var watch = await Continuity.BeginAsync(lab, lab.Guest);
        var home = (await lab.VmAsync()).Owner;

        var move = await MoveAsync(new MigrateRequest { DeadlineSeconds = DeadlineSeconds });

        Assert.Equal(MoveEnd.RolledBack, move.End);
        Assert.StartsWith(PromiseScore.WouldHavePaused, move.Reason, StringComparison.Ordinal);
        Assert.Equal(home, (await lab.VmAsync()).Owner);
        await watch.HoldsAsync();
    }

    [RealQemuFact]
    public async Task By_consent_it_is_stopped_for_the_rest_and_goes_on_at_its_new_home()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, 200);
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var move = await MoveAsync(new MigrateRequest { DeadlineSeconds = DeadlineSeconds, MayQuick = true });

        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        Assert.Contains(move.Receipt!.Steps, step => step.What.StartsWith("stopped for the rest", StringComparison.Ordinal));
        var heard = await watch.HoldsAsync();
        Assert.True(heard.GapMs > LimitMs, $"{heard.GapMs} ms"); // It was what was asked for.
    }

    [RealQemuFact]
    public async Task By_consent_it_is_slowed_and_runs_at_full_speed_again_afterwards()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, 200);
        var watch = await Continuity.BeginAsync(lab, lab.Guest);

        var move = await MoveAsync(new MigrateRequest { DeadlineSeconds = 3 * DeadlineSeconds, MaxSlowdownPercent = 40 });

        output.WriteLine(string.Join("\n", Steps(move).Select(step => $"{step.AtMs:0} ms, pass {step.Pass}: {step.What}")));
        Assert.Contains(Steps(move), step => step.What.StartsWith("guest slowed by", StringComparison.Ordinal));
        Assert.All(Steps(move).Where(step => step.What.StartsWith("guest slowed by", StringComparison.Ordinal)),
            step => Assert.True(int.Parse(step.What.Split(' ')[3], System.Globalization.CultureInfo.InvariantCulture) <= 40, step.What));
        await watch.HoldsAsync();
        await RunsAtFullSpeedAsync();
    }

    [RealQemuFact]
    public async Task A_quote_tells_of_memory_path_and_ways_and_the_receipt_is_held_against_it()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 64, 0);
        var target = await lab.OtherHostAsync();
        // What is known of the memory may be a minute old, and from before the guest had filled its working set.
        var filled = DateTimeOffset.UtcNow.AddSeconds(10);
        var plan = await lab.Cluster.Api.PlanAsync(LabFixture.VmName, new MigrateRequest(target), default);
        for (var look = 0; look < 40 && plan.Quote!.Ways[0].Memory!.At < filled; look++)
        {
            await Task.Delay(TimeSpan.FromSeconds(4));
            plan = await lab.Cluster.Api.PlanAsync(LabFixture.VmName, new MigrateRequest(target), default);
        }
        Assert.Empty(plan.Reasons);
        var memory = plan.Quote!.Ways[0].Memory!;
        Assert.InRange(memory.NonZeroBytes, 80L << 20, 200L << 20); // Kernel, initramfs, and the working set, which is not zero.
        Assert.Equal([MoveMode.Live, MoveMode.Quick, MoveMode.Lazy, MoveMode.Hybrid],
            plan.Quote.Ways.Where(way => way.SlowdownNotAllowedPercent == 0).Select(way => way.Mode));

        var move = await lab.MoveAsync(MoveMode.Live);

        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        Assert.NotNull(move.Quote);
        var parts = move.Receipt!.PauseParts!;
        Assert.Equal(move.Receipt.PauseMs!.Value, parts.LastPassMs + parts.DrainMs + parts.LoadMs + parts.StartMs, precision: 1);
        output.WriteLine($"quoted {move.Quote.WireBytes.Expected / 1e6:0.0} MB, sent {move.Receipt.WireBytes / 1e6:0.0} MB; {parts}");
        Assert.InRange(move.Receipt.StreamBytes / (double)memory.NonZeroBytes, 0.85, 1.3);
        Assert.True((await lab.Cluster.Api.PromisesAsync(default))[0].Moves > 0);
    }

    private async Task<Migration> MoveAsync(MigrateRequest wish) => await lab.FollowAsync(await lab.Cluster.Api.MigrateAsync(
        LabFixture.VmName,
        wish with { To = await lab.OtherHostAsync(), MaxPauseMs = LimitMs, BandwidthBytesPerSecond = SlowBytesPerSecond }, default));

    /// <summary>Of a move that stayed at home there is no receipt: its last progress tells.</summary>
    private static IReadOnlyList<SteeringStep> Steps(Migration move) => move.Receipt?.Steps ?? move.Progress?.Steps ?? [];

    /// <summary>A second with more beats than a guest slowed by 40 % can send; on a busy machine it may take a few looks.</summary>
    private async Task RunsAtFullSpeedAsync()
    {
        const int beatsMin = 700, looksMax = 40;
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0);
        double most = 0;
        for (var look = 0; look < looksMax && most < beatsMin; look++)
        {
            var (before, since) = (await lab.Cluster.Guests.PingAsync(lab.Guest), Stopwatch.StartNew());
            await Task.Delay(TimeSpan.FromSeconds(1));
            var after = await lab.Cluster.Guests.PingAsync(lab.Guest);
            most = Math.Max(most, (after.Counter - before.Counter) / since.Elapsed.TotalSeconds);
        }
        Assert.True(most >= beatsMin, $"at most {most:0} beats in a second");
    }
}
