using System.Diagnostics;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>
/// A saved VM that runs before its memory is there, on real QEMU: post-copy whose source is an agent with a file. The guest checks the
/// 24 MiB it writes by itself, and its beats tell of every restart.
/// </summary>
[Collection(LabCollection.Name)]
public sealed class LazyResumeTests(LabFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private readonly LazyGuest guest = new(lab);

    private string FailPointFile => Path.Combine(lab.Cluster.Plan.DataDirectory, "lazy-tests-fail-points");

    public async Task InitializeAsync()
    {
        await lab.BeginTestAsync(output);
        await LazyGuest.AllowAsync();
    }

    public async Task DisposeAsync()
    {
        await LazyGuest.RestoreAsync();
        if (lab.Cluster is null) return;
        File.Delete(FailPointFile);
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 0, 0); // The next test's guest is idle.
    }

    [RealQemuFact]
    public async Task A_saved_vm_runs_at_once_on_the_other_host_and_all_of_its_memory_comes()
    {
        var (boot, target) = (await SaveUnderLoadAsync(), await lab.OtherHostAsync());

        var clock = Stopwatch.StartNew();
        await ResumeAsync(target);
        output.WriteLine($"running {clock.ElapsedMilliseconds} ms after it was asked for");
        await guest.GoesOnAsync(boot);
        await UntilFileIsGoneAsync();
        output.WriteLine($"all of its memory was there after {clock.ElapsedMilliseconds} ms");

        await guest.GoesOnAsync(boot);
        await guest.MovesAsync();
        await guest.GoesOnAsync(boot);
    }

    [RealQemuFact]
    public async Task A_guest_lives_on_what_it_asks_for_and_outlives_the_agent_that_gave_it()
    {
        var target = await lab.OtherHostAsync();
        await File.WriteAllTextAsync(FailPointFile, "resume.before-push=hold");
        await guest.RestartAgentAsync(target, $"GODWIT_FAILPOINTS=@{FailPointFile}");
        var boot = await SaveUnderLoadAsync();

        await ResumeAsync(target);
        await guest.GoesOnAsync(boot); // Nothing is sent but what it asks for.
        Assert.NotEmpty(SavedFiles());
        var refused = await lab.Cluster.Api.PlanAsync(LabFixture.VmName, new MigrateRequest(await lab.OtherHostAsync()), default);
        Assert.Contains(refused.Reasons, r => r.Cause.Contains("is still in", StringComparison.Ordinal));

        File.Delete(FailPointFile);
        await guest.RestartAgentAsync(target);
        await UntilFileIsGoneAsync();
        await guest.GoesOnAsync(boot);
        await guest.MovesAsync();
        await guest.GoesOnAsync(boot);
    }

    [RealQemuFact]
    public async Task A_host_that_does_not_let_qemu_wait_for_memory_says_so_and_the_file_stays()
    {
        var boot = await SaveUnderLoadAsync();
        await LazyGuest.ForbidAsync();

        var refused = await Assert.ThrowsAsync<ApiException>(() => ResumeAsync(null));

        Assert.Contains("unprivileged_userfaultfd", refused.Error.Next!, StringComparison.Ordinal);
        Assert.NotEmpty(SavedFiles());
        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "resume", null, default);
        await guest.GoesOnAsync(boot);
    }

    private async Task<string> SaveUnderLoadAsync()
    {
        var boot = await guest.LoadAsync(mebibytesPerSecond: 20);
        await lab.Cluster.Api.ActAsync(LabFixture.VmName, "save", null, default);
        Assert.Single(SavedFiles());
        return boot;
    }

    private Task<VmView> ResumeAsync(string? host) =>
        lab.Cluster.Api.ActAsync(LabFixture.VmName, "resume", new ResumeVmRequest(host, Lazily: true), default);

    private async Task UntilFileIsGoneAsync()
    {
        for (var clock = Stopwatch.StartNew(); SavedFiles().Length > 0; await Task.Delay(20))
            Assert.True(clock.Elapsed < LazyGuest.ArrivalMax, "its memory does not arrive");
    }

    private string[] SavedFiles() => Directory.GetFiles(lab.Cluster.Plan.SharedPool, "*.saved*");
}
