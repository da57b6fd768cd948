using System.Globalization;
using Godwit.Agent.Watchdog;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Agent.Watchdog;

/// <summary>When an agent arms its watchdog, pets it, and lets it go.</summary>
public sealed class WatchdogKeeperTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(30);
    private readonly MemoryDisk _disk = new();
    private readonly FakeTimeProvider _time = new();
    private readonly FakeDevice _device = new();

    [Fact]
    public async Task Nothing_is_armed_before_the_first_grant_and_it_counts_from_the_question()
    {
        var keeper = await StartAsync();
        var asked = await keeper.RenewAsync(null, default);
        Assert.Equal((0, null, null), (_device.Armed, asked.Watchdog!.Arming, keeper.WhyNoGuest));
        _time.Advance(TimeSpan.FromSeconds(50)); // The grant was long under way: ten seconds of it are left.
        var answer = await keeper.RenewAsync(Grant(asked), default);
        Assert.Equal(("wd-1", true, 30), (answer.Watchdog!.Arming, answer.Watchdog.IsArmed, answer.Watchdog.TimeoutSeconds));
        Assert.Null(keeper.WhyNoGuest);

        Pass(seconds: 9);
        var pets = _device.Pets;
        Assert.True(pets > 0);
        Pass(seconds: 60);
        Assert.InRange(_device.Pets, pets, pets + 1);
        Assert.Equal("watchdog-not-armed", keeper.WhyNoGuest!.Code);
    }

    [Fact]
    public async Task A_grant_is_good_once_and_only_for_a_question_of_this_process()
    {
        var keeper = await StartAsync();
        var first = await keeper.RenewAsync(null, default);
        await keeper.RenewAsync(Grant(first), default);
        Pass(seconds: 59);
        await keeper.RenewAsync(Grant(first), default); // Doubled on its way.
        await keeper.RenewAsync(new LeaseGrant("ffffffffffffffff", "wd-1", 60, 30), default);
        Pass(seconds: 2);
        Assert.Equal("watchdog-not-armed", keeper.WhyNoGuest!.Code);
        var (old, next) = (await keeper.RenewAsync(null, default), await StartAsync());
        await next.RenewAsync(Grant(old), default);
        Assert.Equal("watchdog-not-armed", next.WhyNoGuest!.Code);
    }

    [Fact]
    public async Task The_next_agent_opens_the_device_on_a_grant_and_begins_no_guest_before()
    {
        await ArmAsync(await StartAsync());
        var next = await StartAsync(_device.Restarted());
        Assert.Equal((0, "watchdog-not-armed"), (_device.Armed, next.WhyNoGuest!.Code));
        Pass(seconds: 20);
        Assert.Equal(0, _device.Pets); // Opening is a pet, and a pet is only for who has a lease.
        await ArmAsync(next);
        Assert.Equal((1, null), (_device.Armed, next.WhyNoGuest));
    }

    [Fact]
    public async Task Let_go_is_only_what_the_server_names()
    {
        var keeper = await StartAsync();
        await ArmAsync(keeper);
        await keeper.ReleaseAsync("wd-0", default);
        Assert.True(_device.Runs);
        var late = await keeper.RenewAsync(null, default);
        await keeper.ReleaseAsync("wd-1", default);
        Assert.Equal((false, null, null), (_device.Runs, keeper.WhyNoGuest, keeper.Facts!.Arming));
        await keeper.RenewAsync(Grant(late), default); // A grant of before: it arms nothing any more.
        Assert.False(_device.Runs);
        Assert.Null((await StartAsync()).WhyNoGuest);
    }

    [Fact]
    public async Task A_device_that_nothing_stops_is_petted_without_a_lease_once_it_is_let_go_also_by_the_next_agent()
    {
        _device.NoWayOut = true;
        var keeper = await StartAsync();
        await ArmAsync(keeper);
        await keeper.ReleaseAsync("wd-1", default);
        Pass(seconds: 300);
        Assert.True(_device.Pets > 40, $"{_device.Pets} pets");
        await StartAsync(_device.Restarted());
        Pass(seconds: 60);
        Assert.True(_device.Pets > 8, $"{_device.Pets} pets");
    }

    [Fact]
    public async Task A_device_that_cannot_be_armed_is_told_and_guests_may_begin_since_nobody_counts_on_it()
    {
        _device.Fails = "Device or resource busy";
        var keeper = await StartAsync();
        var answer = await ArmAsync(keeper);
        Assert.Contains("busy", answer.Watchdog!.Problem, StringComparison.Ordinal);
        Assert.Equal((null, null), (answer.Watchdog.Arming, keeper.WhyNoGuest));

        _device.Fails = null;
        await ArmAsync(keeper);
        _device.Fails = "gone";
        var next = await StartAsync(_device.Restarted());
        await ArmAsync(next); // Armed once, and counted on: now no guest begins until it can be armed again.
        Assert.Contains("gone", next.WhyNoGuest!.Cause, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_device_that_waits_longer_than_it_was_told_is_not_counted_as_armed()
    {
        _device.Rounds = TimeSpan.FromSeconds(2_000);
        var keeper = await StartAsync();
        var answer = await ArmAsync(keeper);
        Assert.Equal((false, 30), (answer.Watchdog!.IsArmed, answer.Watchdog.TimeoutSeconds));
        Assert.Contains("waits 2000 s", answer.Watchdog.Problem, StringComparison.Ordinal);
        await keeper.ReleaseAsync("wd-1", default);
        Assert.False(_device.Runs);
    }

    [Fact]
    public async Task A_record_that_cannot_be_read_lets_no_guest_begin_until_the_server_grants_or_lets_go()
    {
        await _disk.WriteDurablyAsync("/var/lib/godwit/watchdog.json", "torn"u8.ToArray(), default);
        var keeper = await StartAsync();
        Assert.Equal("watchdog-not-armed", keeper.WhyNoGuest!.Code);
        Assert.Equal(WatchdogRecords.Unreadable, keeper.Facts!.Arming);
        await ArmAsync(keeper);
        Assert.Null(keeper.WhyNoGuest);
    }

    [Fact]
    public async Task An_agent_without_a_watchdog_says_so_and_one_that_lost_its_own_begins_no_guest()
    {
        Assert.Null((await (await StartAsync(null)).RenewAsync(null, default)).Watchdog);
        await ArmAsync(await StartAsync());
        var without = await StartAsync(null);
        Assert.Contains("--watchdog", without.WhyNoGuest!.Cause, StringComparison.Ordinal);
        await without.ReleaseAsync("wd-1", default);
        Assert.Null(without.WhyNoGuest);
    }

    [Theory]
    [InlineData("", 60, 30), InlineData("wd-1", 0, 30), InlineData("wd-1", 3601, 30)]
    [InlineData("wd-1", 60, 4), InlineData("wd-1", 60, 301)]
    public async Task A_grant_that_no_server_gives_is_refused(string arming, int lease, int timeout)
    {
        var keeper = await StartAsync();
        var asked = await keeper.RenewAsync(null, default);
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            keeper.RenewAsync(new LeaseGrant(asked.Ticket, arming, lease, timeout), default));
        Assert.Equal(("bad-lease", 0), (refused.Reasons[0].Code, _device.Armed));
    }

    private Task<WatchdogKeeper> StartAsync() => StartAsync(_device);

    private async Task<WatchdogKeeper> StartAsync(IWatchdog? device)
    {
        var records = new WatchdogRecords(_disk, "/var/lib/godwit");
        var keeper = new WatchdogKeeper(device, Timeout, records, _time, new Counting(), NullLogger.Instance);
        await keeper.StartAsync(default);
        return keeper;
    }

    private static async Task<LeaseAnswer> ArmAsync(WatchdogKeeper keeper) =>
        await keeper.RenewAsync(Grant(await keeper.RenewAsync(null, default)), default);

    private static LeaseGrant Grant(LeaseAnswer asked) => new(asked.Ticket, "wd-1", 60, 30);

    private void Pass(int seconds)
    {
        for (var second = 0; second < seconds; second++) _time.Advance(TimeSpan.FromSeconds(1));
    }

    /// <summary>Tickets of all keepers of a test differ.</summary>
    private sealed class Counting : IRandomness
    {
        private static int _last;
        public string NextHex(int bytes) => Interlocked.Increment(ref _last).ToString("x16", CultureInfo.InvariantCulture);
    }

    private sealed class FakeDevice : IWatchdog
    {
        private bool _opened;
        private long _life;
        public string Device => "/dev/watchdog";
        public string Identity => "fake";
        public bool NoWayOut { get; set; }
        public bool Runs { get; private set; }
        public int Armed { get; private set; }
        public int Pets { get; private set; }
        public string? Fails { get; set; }
        public TimeSpan? Rounds { get; set; }

        /// <summary>The next agent's: it runs on, nobody has it open, and nothing that the last one does reaches it.</summary>
        public IWatchdog Restarted()
        {
            (Armed, Pets, _opened) = (0, 0, false);
            return new Life(this, ++_life);
        }

        public TimeSpan Arm(TimeSpan timeout)
        {
            if (Fails is not null) throw new IOException(Fails);
            (Runs, _opened) = (true, true);
            Armed++;
            return Rounds ?? timeout;
        }

        public void Pet()
        {
            if (!_opened) throw new IOException("not open");
            Pets++;
        }

        public bool TryStop()
        {
            if (NoWayOut) return false;
            return !(Runs = _opened = false);
        }

        private sealed class Life(FakeDevice of, long life) : IWatchdog
        {
            public string Device => of.Device;
            public string Identity => of.Identity;
            public bool NoWayOut => of.NoWayOut;
            public bool Runs => of.Runs;
            public TimeSpan Arm(TimeSpan timeout) => of._life == life ? of.Arm(timeout) : throw new IOException("another process");
            public void Pet() => of.Pet();
            public bool TryStop() => of.TryStop();
        }
    }
}
