using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Godwit.Server.Identity;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Identity;

/// <summary>Hosts that are trusted no longer, by their server and by each other, over real TLS.</summary>
public sealed class RevocationTests
{
    private static readonly CancellationToken Never = CancellationToken.None;

    [Fact]
    public async Task A_revoked_host_is_refused_by_the_server_and_by_its_peers_also_after_their_restart()
    {
        await using var server = await ServerUnderTest.StartDialingAsync();
        await using var h1 = await HostUnderTest.InAsync(server, "h1");
        await using var h2 = await HostUnderTest.InAsync(server, "h2");
        Assert.Null(await h1.WhyNoLinkAsync(h2));

        await server.OkAsync<HostView>("POST", "hosts/h1/revoke");
        Assert.Contains("revoked", (await UnreachableAsync(server, "h1")).Why);
        await RoundAsync(server);
        Assert.Contains("refused", await h1.WhyNoLinkAsync(h2));
        Assert.Contains("revoked", await h2.WhyNoLinkAsync(h1));

        await h2.ReadIdentityAsync();
        Assert.Contains("refused", await h1.WhyNoLinkAsync(h2));
        await server.StopAsync();
        await server.StartAgainAsync();
        Assert.Contains("revoked", (await UnreachableAsync(server, "h1")).Why);
        await server.Control.Agents.Of(new HostId("h2")).DescribeAsync(Never);
    }

    [Fact]
    public async Task A_revoked_host_comes_back_with_a_token_made_for_it()
    {
        await using var server = await ServerUnderTest.StartDialingAsync();
        await using var h1 = await HostUnderTest.InAsync(server, "h1");
        await using var h2 = await HostUnderTest.InAsync(server, "h2");
        await server.OkAsync<HostView>("POST", "hosts/h1/revoke");
        await RoundAsync(server);

        await h1.JoinAsync(server, await HostUnderTest.TokenAsync(server, "h1")); // Within the same second, too.
        await h1.ReadIdentityAsync();
        await server.Control.Agents.Of(new HostId("h1")).DescribeAsync(Never);
        Assert.Null(await h1.WhyNoLinkAsync(h2));
        Assert.Null(await h2.WhyNoLinkAsync(h1));
    }

    [Fact]
    public async Task The_certificate_of_a_removed_host_lets_nobody_in()
    {
        await using var server = await ServerUnderTest.StartDialingAsync();
        await using var h1 = await HostUnderTest.InAsync(server, "h1");
        await using var h2 = await HostUnderTest.InAsync(server, "h2");
        using var removed = await server.SendAsync("DELETE", "hosts/h1");
        Assert.True(removed.IsSuccessStatusCode);
        await RoundAsync(server);
        Assert.Contains("refused", await h1.WhyNoLinkAsync(h2));
        Assert.Contains("revoked", (await server.ProblemAsync("POST", "hosts", new { name = "h1", endpoint = h1.Endpoint })).Cause);
        Assert.Equal("host-not-found", (await server.ProblemAsync("POST", "hosts/h1/revoke")).Code);
    }

    [Fact]
    public async Task The_list_is_forgotten_once_every_certificate_it_could_mean_has_expired()
    {
        var time = new ShiftedTime();
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        await server.OkAsync<HostView>("POST", "hosts/h1/revoke");
        Assert.Single((await server.Control.Stores.Identity.DeniedAsync()).Hosts);
        time.Offset = TimeSpan.FromDays(29.9);
        Assert.Single((await server.Control.Stores.Identity.DeniedAsync()).Hosts);
        time.Offset = TimeSpan.FromDays(30.1);
        Assert.Empty((await server.Control.Stores.Identity.DeniedAsync()).Hosts);
    }

    [Fact]
    public async Task One_line_denies_old_certificates_and_no_new_ones()
    {
        var directory = Directory.CreateTempSubdirectory("godwit-deny-").FullName;
        var time = new ShiftedTime();
        var ca = await ClusterCa.OpenOrCreateAsync(directory, new RealDisk(), new RealRandomness(), time, Never);
        var old = Joined.Host(ca, "h1");
        var denied = ca.Deny(new HostId("h1"));
        var list = new DenyList([denied, new DeniedHost(new HostId("h9"), DateTimeOffset.UtcNow)]);
        using var key = new HostKey();
        foreach (var clock in new[] { TimeSpan.Zero, TimeSpan.FromHours(-5), TimeSpan.FromDays(1) }) // The server's may have been set back.
        {
            time.Offset = clock;
            using var fresh = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(
                ca.SignHost(new HostId("h1"), key.Request, denied));
            Assert.Null(list.Problem(new HostId("h1"), fresh));
        }
        Assert.NotNull(list.Problem(new HostId("h1"), old.Own));
        Assert.Null(list.Problem(new HostId("h2"), Joined.Host(ca, "h2").Own));
        Assert.NotEqual(list.Digest, new DenyList([denied]).Digest);
        var tooMany = Enumerable.Range(0, DenyList.HostsMax + 1).Select(n => denied with { Host = new($"h{n}") });
        Assert.Throws<InvalidDataException>(() => new DenyList(tooMany));
        Directory.Delete(directory, recursive: true);
    }

    private static Task<AgentUnreachableException> UnreachableAsync(ServerUnderTest server, string host) =>
        Assert.ThrowsAsync<AgentUnreachableException>(() => server.Control.Agents.Of(new HostId(host)).DescribeAsync(Never));

    private static async Task RoundAsync(ServerUnderTest server)
    {
        await server.Control.Watcher.RoundAsync(Never);
        await server.Control.Certificates.RoundAsync(Never);
    }
}
