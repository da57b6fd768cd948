using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Server.Api;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Qemu;
using Xunit;

namespace Godwit.Tests.Scenarios;

/// <summary>What a move is quoted by when it begins: looks that still hold, and a glance where none does.</summary>
public sealed class MemoryKnownScenarios
{
    private const int PageBytes = 4096;
    private static readonly GuestLoad Booting = new(UsedPages: 64, WorkingPages: 16, DirtyBytesPerSecond: 50_000);
    private static readonly GuestLoad Booted = new(UsedPages: 1024, WorkingPages: 256, DirtyBytesPerSecond: 800_000);
    private static readonly TimeSpan AnHour = TimeSpan.FromHours(1);

    [Fact]
    public void A_guest_that_nobody_has_looked_at_is_glanced_at() => World.Run(seed: 1, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booted);
        await world.SleepAsync(5);
        var began = world.Loop.Now;
        var memory = await KnownAsync(world);
        Assert.InRange(world.Loop.Now - began, TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(900));
        Assert.InRange(memory!.NonZeroBytes, 0.95 * 1024 * PageBytes, 1.05 * 1024 * PageBytes);
        Assert.InRange(memory.DirtyBytesPerSecond, 0.5 * 800_000, 1.5 * 800_000);
    });

    [Fact]
    public void What_a_look_has_seen_is_told_at_once_as_long_as_the_guest_is_as_large() => World.Run(seed: 2, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booted);
        await world.SleepAsync(5);
        var looked = await LookAsync(world, TimeSpan.Zero);
        await world.SleepAsync(60);
        Guest(world).Load = Booted with { UsedPages = 1200 };
        var began = world.Loop.Now;
        Assert.Equal(looked!.At, (await KnownAsync(world))!.At);
        Assert.InRange(world.Loop.Now - began, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));
    });

    [Fact]
    public void A_look_at_a_guest_that_had_not_booted_yet_is_not_gone_by() => World.Run(seed: 3, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booting);
        await world.SleepAsync(1);
        Assert.InRange((await LookAsync(world, TimeSpan.Zero))!.NonZeroBytes, 1, 64 * PageBytes);
        Guest(world).Load = Booted;
        await world.SleepAsync(1);
        Assert.InRange((await KnownAsync(world))!.NonZeroBytes, 0.95 * 1024 * PageBytes, 1.05 * 1024 * PageBytes);
        // Nor where whoever asks has the time for a whole look, however young the other is.
        var whole = (await LookAsync(world, AnHour))!;
        Assert.InRange(whole.NonZeroBytes, 0.95 * 1024 * PageBytes, 1.05 * 1024 * PageBytes);
        Assert.Equal(30, whole.Slices.Count);
        // One that has given most of its memory back is another one, too.
        Guest(world).Load = Booting;
        Assert.InRange((await KnownAsync(world))!.NonZeroBytes, 1, 64 * PageBytes);
    });

    [Fact]
    public void A_guest_that_has_booted_since_is_looked_at_before_its_turn() => World.Run(seed: 4, async world =>
    {
        string[] all = ["web", "two", "three"];
        foreach (var name in all) await world.CreateVmAsync(name, on: "host1", Booting);
        await RoundsAsync(seconds: 45); // One after another, and the first would be next.
        var looked = new Dictionary<string, DateTimeOffset>();
        foreach (var name in all) looked[name] = (await KnownAsync(world, name))!.At;
        var last = all.MaxBy(name => looked[name])!;
        world.Copy(last, on: "host1")!.Load = Booted with { DirtyBytesPerSecond = 0 }; // Else it would be for its work.
        await RoundsAsync(seconds: 20);
        var known = (await KnownAsync(world, last))!;
        Assert.Equal(30, known.Slices.Count); // A whole look: a glance would be for want of one.
        Assert.InRange(known.NonZeroBytes, 0.95 * 1024 * PageBytes, 1.05 * 1024 * PageBytes);

        async Task RoundsAsync(int seconds)
        {
            for (var n = 0; n < seconds; n++)
            {
                await world.SleepAsync(1);
                _ = world.Agents["host1"].Serving!.LookAtNextMemoryAsync(CancellationToken.None);
            }
        }
    });

    [Fact]
    public void A_glance_at_a_guest_that_has_grown_keeps_what_was_felt_of_it_for_longer() => World.Run(seed: 6, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booted);
        await world.SleepAsync(5);
        await LookAsync(world, TimeSpan.Zero);
        for (var tick = 0; tick < 24; tick++)
        {
            await world.SleepAsync(0.5);
            world.Agents["host1"].Serving!.FeelMemory();
        }
        Guest(world).Load = Booted with { UsedPages = 1400 };
        var memory = (await KnownAsync(world))!;
        Assert.Equal(3, memory.Slices.Count); // A glance.
        Assert.Contains(memory.Rhythm!.Longer, point => point.WindowMs is >= 5000 and <= 10_000);
        // Twice as large it is another guest: what was felt was of a part of it.
        Guest(world).Load = Booted with { UsedPages = 3000 };
        Assert.Empty((await KnownAsync(world))!.Rhythm?.Longer ?? []);
    });

    [Fact]
    public void While_others_are_glanced_at_what_is_known_serves_unless_it_is_of_quite_another_guest() => World.Run(seed: 7, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booted);
        await world.CreateVmAsync("other", on: "host1", Booted);
        await world.SleepAsync(5);
        var looked = (await LookAsync(world, TimeSpan.Zero))!;
        Guest(world).Load = Booted with { UsedPages = 1400 };
        var others = KnownAsync(world, "other");
        await world.SleepAsync(0.1);
        Assert.Equal(looked.At, (await KnownAsync(world))!.At);
        Guest(world).Load = Booted with { UsedPages = 3000 };
        Assert.InRange((await KnownAsync(world))!.NonZeroBytes, 0.95 * 3000 * PageBytes, 1.05 * 3000 * PageBytes);
        Assert.NotNull(await others);
    });

    /// <summary>QEMU reads all of it to send it, and what is read is given: 12 of 16 MiB that this host does not have.</summary>
    [Fact]
    public void A_guest_that_has_used_little_does_not_leave_a_full_host_by_taking_the_rest() => World.Run(seed: 5, async world =>
    {
        await world.CreateVmAsync("web", on: "host1", Booted with { DirtyBytesPerSecond = 1000 });
        world.Agents["host1"].Host.Disk.Show("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8192 kB\n");
        var refused = await world.EndOfAsync(await world.MigrateAsync("web", to: "host2"));
        Assert.Equal("source-memory-short", Assert.Single(refused.Refusals).Code);
        var lazily = await world.Server.AskAsync(c => c.Wishes.BeginAsync("web", new MigrateRequest("host2", MoveMode.Lazy), null, null));
        Assert.Equal(MoveEnd.Done, (await world.EndOfAsync(lazily.Id)).End);
        Assert.True(world.Runs("web", on: "host2"));
    });

    private static SimQemu Guest(World world) => world.Copy("web", on: "host1")!;

    private static Task<MemoryProfile?> KnownAsync(World world, string vm = "web") => AskAsync(world, AnHour, mayLook: false, vm);
    private static Task<MemoryProfile?> LookAsync(World world, TimeSpan ageMax) => AskAsync(world, ageMax, mayLook: true);

    private static async Task<MemoryProfile?> AskAsync(World world, TimeSpan ageMax, bool mayLook, string name = "web")
    {
        var vm = await world.VmAsync(name);
        return await world.Server.AskAsync(c => c.Agents.Of(vm.Owner).MeasureMemoryAsync(vm.Spec.Id, ageMax, mayLook, default));
    }
}
