using System.Text;
using Godwit.Agent.Host;
using Godwit.Agent.Identity;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Vms;
using Godwit.Server.Identity;
using Godwit.Tests.Agent;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Identity;

/// <summary>Certificates that grow old while everything runs.</summary>
public sealed class RotationTests : IDisposable
{
    private static readonly CancellationToken Never = CancellationToken.None;
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-rotation-").FullName;

    [Fact]
    public async Task After_two_thirds_of_its_life_a_host_has_a_new_certificate_and_key_and_nothing_open_was_cut()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartDialingAsync(time);
        await using var host = await HostUnderTest.InAsync(server, "h1", time);
        var (old, agent) = (host.Identity.Current, server.Control.Agents.Of(new HostId("h1")));
        await using var console = await agent.OpenConsoleAsync(new VmId("vm-1"), Never);

        time.Offset = TimeSpan.FromDays(19);
        await RoundAsync(server);
        Assert.Equal(old.Own.Thumbprint, host.Identity.Current.Own.Thumbprint);
        time.Offset = TimeSpan.FromDays(21);
        await RoundAsync(server);

        var fresh = host.Identity.Current;
        Assert.NotEqual(old.Own.Thumbprint, fresh.Own.Thumbprint);
        Assert.NotEqual(old.Own.GetPublicKeyString(), fresh.Own.GetPublicKeyString());
        Assert.Equal((old.Role, old.Ca.Thumbprint), (fresh.Role, fresh.Ca.Thumbprint));
        Assert.Equal(fresh.Own.Thumbprint, IdentityBundle.Parse(await File.ReadAllBytesAsync(host.IdentityFile), "file").Own.Thumbprint);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(host.IdentityFile));
        Assert.Contains(await server.Control.Stores.Events.AfterAsync(0, 100), e => e.Kind == "host-certificate-renewed");
        await console.WriteAsync("still"u8.ToArray());
        var answer = new byte[64];
        Assert.Equal("still", Encoding.ASCII.GetString(answer, 0, await console.ReadAsync(answer)));

        // Both the host's first certificate and the server's have expired; whoever connects anew meets the second ones.
        time.Offset = TimeSpan.FromDays(31);
        server.Control.Agents.Remove(new HostId("h1"));
        Assert.NotNull((await server.Control.Agents.Put(new HostId("h1"), host.Endpoint).DescribeAsync(Never)).Certificate);
        await host.ReadIdentityAsync(); // As after a restart of the agent.
        Assert.Equal(fresh.Own.Thumbprint, host.Identity.Current.Own.Thumbprint);
    }

    [Fact]
    public async Task A_host_that_answers_nonsense_does_not_keep_those_out_that_are_seen_to_beside_it()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        server.Cluster["h1"].Fails["Describe"] = new InvalidDataException("nonsense");
        await using var strange = new HostUnderTest("h1", TimeProvider.System);
        await using var good = new HostUnderTest("h2", TimeProvider.System);
        await strange.JoinAsync(server, await HostUnderTest.TokenAsync(server));
        await good.JoinAsync(server, await HostUnderTest.TokenAsync(server));

        await server.Control.Certificates.RoundAsync(Never);

        Assert.Equal(["h2"], (await server.Control.Stores.Hosts.ListAsync()).Select(h => h.Id.Value));
    }

    [Fact]
    public async Task The_servers_own_certificate_is_made_anew_while_it_runs_and_remembers_who_is_denied()
    {
        var time = new ShiftedTime();
        var ca = await CaAsync("a", time);
        var own = new ControlPlaneIdentity(ca, time);
        var denied = Joined.Host(ca, "h1");
        own.Deny(new DenyList([ca.Deny(new HostId("h1"))]));
        var first = own.Current().Own.Thumbprint;
        time.Offset = TimeSpan.FromDays(19);
        Assert.Equal(first, own.Current().Own.Thumbprint);
        time.Offset = TimeSpan.FromDays(21);
        Assert.NotEqual(first, own.Current().Own.Thumbprint);
        time.Offset = TimeSpan.Zero;
        Assert.Contains("revoked", Assert.IsType<PeerVerdict.Refused>(own.Current().Check(denied.Own, DateTimeOffset.UtcNow)).Reason);
    }

    [Fact]
    public async Task A_certificate_that_is_not_the_hosts_own_changes_nothing()
    {
        var time = new ShiftedTime();
        var (ca, other) = (await CaAsync("a", time), await CaAsync("b", time));
        var disk = new MemoryDisk();
        disk.Files["/s/identity.pem"] = Joined.File(ca, "h1");
        var identity = await HostIdentity.OpenAsync("/s/identity.pem", "/s", disk, time, Never);
        var before = disk.Files["/s/identity.pem"];
        using var otherKey = new HostKey();
        await Refused("no-key-waits", ca.SignHost(new("h1"), otherKey.Request));
        var request = identity.NewKey();
        Assert.Equal(request, identity.NewKey());
        await Refused("certificate-for-other-key", ca.SignHost(new("h1"), otherKey.Request));
        await Refused("certificate-for-other-host", ca.SignHost(new("h2"), request));
        await Refused("certificate-for-other-host", other.SignHost(new("h1"), request));
        await Refused("certificate-unusable", "nonsense");
        time.Offset = TimeSpan.FromDays(-2); // This host's clock is behind.
        var early = await Refused("certificate-refused", (await CaAsync("a", new ShiftedTime())).SignHost(new("h1"), request));
        Assert.Contains("is not valid before", early.Message);
        Assert.Contains("the clock here says", early.Message);
        Assert.Contains("the server's clock says", early.Message);
        time.Offset = TimeSpan.Zero;
        Assert.Same(before, disk.Files["/s/identity.pem"]);

        var good = ca.SignHost(new("h1"), request);
        await identity.InstallAsync(good, time.GetUtcNow(), Never);
        await identity.InstallAsync(good, time.GetUtcNow(), Never); // Said twice.
        Assert.NotSame(before, disk.Files["/s/identity.pem"]);
        Assert.NotEqual(request, identity.NewKey());

        async Task<RefusedException> Refused(string code, string certificate)
        {
            var refused = await Assert.ThrowsAsync<RefusedException>(() =>
                identity.InstallAsync(certificate, DateTimeOffset.UtcNow, Never));
            Assert.Equal(code, refused.Reasons[0].Code);
            return refused;
        }
    }

    [Fact]
    public async Task A_machine_that_has_not_joined_is_told_how()
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(() =>
            HostIdentity.OpenAsync("/s/identity.pem", "/s", new MemoryDisk(), TimeProvider.System, Never));
        Assert.Contains("godwit agent join", refused.Reasons[0].Fix);
        var disk = new MemoryDisk();
        disk.Files["/s/identity.pem"] = Joined.File(await CaAsync("a", TimeProvider.System), "h1");
        disk.Files["/s/denied-hosts"] = "h2 not-a-time\n"u8.ToArray();
        refused = await Assert.ThrowsAsync<RefusedException>(() =>
            HostIdentity.OpenAsync("/s/identity.pem", "/s", disk, TimeProvider.System, Never));
        Assert.Equal("deny-list-unusable", refused.Reasons[0].Code);
    }

    [Fact]
    public async Task A_wrong_time_is_told_with_both_clocks()
    {
        var ca = await CaAsync("a", TimeProvider.System);
        var host = Joined.Host(ca, "h1");
        var late = Assert.IsType<PeerVerdict.Refused>(host.Check(ca.IssueControlPlane().Own, DateTimeOffset.UtcNow.AddDays(40)));
        Assert.Contains("it expired at " + CertificateLife.Text(host.Life.NotAfter)[..10], late.Reason);
        Assert.Contains("the clock here says " + DateTimeOffset.UtcNow.AddDays(40).ToString("yyyy-MM-dd", null), late.Reason);
        var early = Assert.IsType<PeerVerdict.Refused>(host.Check(ca.IssueControlPlane().Own, DateTimeOffset.UtcNow.AddDays(-1)));
        Assert.Contains("is not valid before", early.Reason);
        Assert.Contains("one of the two clocks is wrong", early.Reason);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private static async Task RoundAsync(ServerUnderTest server)
    {
        await server.Control.Watcher.RoundAsync(Never);
        await server.Control.Certificates.RoundAsync(Never);
    }

    private Task<ClusterCa> CaAsync(string place, TimeProvider time) => ClusterCa.OpenOrCreateAsync(
        Path.Combine(_directory, place), new RealDisk(), new RealRandomness(), time, Never);
}
