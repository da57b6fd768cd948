using System.Diagnostics;
using System.Globalization;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Stories;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Tests.Scenarios;

/// <summary>
/// Random stories from seed 1 on: a number that always is told, and more while a minute of this process's time lasts.
/// More: godwit-sim --hours 1.
/// </summary>
public sealed class RandomStoryTests(ITestOutputHelper output)
{
    private const ulong StoriesMin = 60, StoriesMax = 2000;
    private const int ToldTwiceEvery = 100, SilentStories = 15;
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(30);

    [Fact]
    public void No_promise_is_broken_whatever_goes_wrong()
    {
        var (counts, broken, twice) = (new RunCounts(), new List<string>(), 0);
        var began = Stopwatch.GetTimestamp();
        ulong seed = 1;
        for (; seed <= StoriesMin || (seed <= StoriesMax && Stopwatch.GetElapsedTime(began) < Budget); seed++)
        {
            try
            {
                var told = RandomStory.Run(seed, counts);
                if (seed % ToldTwiceEvery != 1) continue;
                twice++;
                var again = RandomStory.Run(seed, new RunCounts());
                if ((told.Hash, told.Steps) != (again.Hash, again.Steps)) broken.Add($"seed {seed} told another story the second time");
            }
            catch (SimFailedException failure) { broken.Add(failure.Message); }
        }
        var took = Stopwatch.GetElapsedTime(began);
        output.WriteLine($"{seed - 1} stories, {counts}, {broken.Count} violations, {twice} told twice");
        TestFigures.Write("simulation",
            $"simulated-stories {seed - 1}", $"simulated-moves {counts.Moves}", $"simulated-faults {counts.Faults}",
            $"simulated-violations {broken.Count}", $"simulated-seeds-told-twice {twice}",
            string.Create(CultureInfo.InvariantCulture, $"simulated-moves-per-second {counts.Moves / took.TotalSeconds:0.#}"));
        Assert.True(counts.Moves > 100 && counts.Faults > 150, $"too little happened: {counts}");
        Assert.True(broken.Count == 0, string.Join("\n\n", broken));
    }

    [Fact]
    public void No_promise_is_broken_while_hosts_fall_silent_and_are_fenced()
    {
        var (counts, broken) = (new RunCounts(), new List<string>());
        for (ulong seed = 1; seed <= SilentStories; seed++)
        {
            try { RandomStory.Run(seed, counts, knobs: WorldKnobs.Silent(seed)); }
            catch (SimFailedException failure) { broken.Add(failure.Message); }
        }
        output.WriteLine($"{SilentStories} stories of silence, {counts}, {broken.Count} violations");
        TestFigures.Write("silence",
            $"silent-stories {SilentStories}", $"silent-faults {counts.Faults}", $"silent-violations {broken.Count}");
        Assert.True(counts.Faults > SilentStories, $"too little happened: {counts}");
        Assert.True(broken.Count == 0, string.Join("\n\n", broken));
    }

    [Fact]
    public void No_promise_is_broken_while_hosts_are_reset_by_their_own_watchdogs()
    {
        var (counts, broken, resets, proofs) = (new RunCounts(), new List<string>(), 0, 0);
        for (ulong seed = 1; seed <= SilentStories; seed++)
        {
            try
            {
                RandomStory.Run(seed, counts, line =>
                {
                    if (line.Contains("the watchdog resets", StringComparison.Ordinal)) resets++;
                    if (line.Contains("is taken to be off", StringComparison.Ordinal)) proofs++;
                }, WorldKnobs.Watched(seed));
            }
            catch (SimFailedException failure) { broken.Add(failure.Message); }
        }
        output.WriteLine($"{SilentStories} stories of watchdogs, {resets} resets, {proofs} proofs, {counts}, {broken.Count} violations");
        TestFigures.Write("watchdogs",
            $"watched-stories {SilentStories}", $"watched-resets {resets}", $"watched-proofs {proofs}",
            $"watched-violations {broken.Count}");
        Assert.True(resets >= SilentStories / 2 && proofs >= 3, $"too little happened: {resets} resets, {proofs} proofs");
        Assert.True(broken.Count == 0, string.Join("\n\n", broken));
    }

    [Fact]
    public void No_promise_is_broken_while_hosts_go_to_standby_and_are_woken()
    {
        var (counts, broken, asleep, woken) = (new RunCounts(), new List<string>(), 0, 0);
        for (ulong seed = 1; seed <= SilentStories; seed++)
        {
            try
            {
                RandomStory.Run(seed, counts, line =>
                {
                    if (!line.Contains("turned host", StringComparison.Ordinal)) return;
                    if (line.EndsWith(" off", StringComparison.Ordinal)) asleep++;
                    else woken++;
                }, WorldKnobs.Sleepy(seed));
            }
            catch (SimFailedException failure) { broken.Add(failure.Message); }
        }
        output.WriteLine($"{SilentStories} stories of standby, {asleep} hosts went off, {woken} were woken, {counts}, "
            + $"{broken.Count} violations");
        TestFigures.Write("standby",
            $"standby-stories {SilentStories}", $"standby-hosts-off {asleep}", $"standby-hosts-woken {woken}",
            $"standby-violations {broken.Count}");
        Assert.True(asleep >= SilentStories / 2 && woken >= 3, $"too little happened: {asleep} went off, {woken} were woken");
        Assert.True(broken.Count == 0, string.Join("\n\n", broken));
    }
}
