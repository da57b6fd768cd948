using System.Diagnostics;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.LabTests.Cluster;

/// <summary>
/// What tests of guests that run before their memory is there have in common. The hosts of a lab are one kernel: its leave to wait for
/// memory is given for a test, and what was set before is set again.
/// </summary>
internal sealed class LazyGuest(LabFixture lab)
{
    public static readonly TimeSpan ArrivalMax = TimeSpan.FromMinutes(2);
    private const string Allowed = "/proc/sys/vm/unprivileged_userfaultfd";
    private static string before = "0";

    public static async Task AllowAsync()
    {
        if (!File.Exists(Allowed)) return;
        before = (await File.ReadAllTextAsync(Allowed)).Trim();
        await SetAsync("1");
    }

    public static Task ForbidAsync() => SetAsync("0");

    public static Task RestoreAsync() => File.Exists(Allowed) ? SetAsync(before) : Task.CompletedTask;

    /// <summary>It writes 24 MiB of its memory at this rate, and checks them. Its boot, which is to stay the same.</summary>
    public async Task<string> LoadAsync(int mebibytesPerSecond)
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, mebibytesPerSecond);
        await Task.Delay(1500);
        return (await lab.Cluster.Guests.PingAsync(lab.Guest)).BootId;
    }

    public async Task GoesOnAsync(string boot)
    {
        var counter = (await lab.Cluster.Guests.WaitUntilUpAsync(lab.Guest)).Counter;
        await Task.Delay(700);
        var now = await lab.Cluster.Guests.PingAsync(lab.Guest);
        Assert.Equal(boot, now.BootId);
        Assert.True(now.Counter > counter);
        Assert.Equal((0, 0), (now.MemoryErrors, now.WriteErrors));
    }

    public async Task MovesAsync()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 24, 5); // It is to move, however busy the machine is.
        var move = await lab.Cluster.Api.MigrateAsync(
            LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync(), MoveMode.Live), default);
        Assert.Equal(MoveEnd.Done, (await lab.FollowAsync(move)).End);
    }

    /// <summary>kill -9 and a new start; returns once both hosts answer, if the VM runs.</summary>
    public async Task RestartAgentAsync(string host, params string[] settings)
    {
        var agent = lab.Cluster.Agents[lab.Cluster.Plan.Hosts.Select(h => h.Name).ToList().IndexOf(host)];
        await agent.KillAsync();
        await agent.StartAsync(default, settings);
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < ArrivalMax; await Task.Delay(100))
        {
            var plan = await lab.Cluster.Api.PlanAsync(LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync()), default);
            if (plan.Reasons.All(r => r.Code != "host-unreachable")) return;
        }
    }

    private static Task SetAsync(string value) => File.WriteAllTextAsync(Allowed, value);
}
