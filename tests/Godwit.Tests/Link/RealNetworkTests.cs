using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Identity;
using Godwit.Tests.Identity;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Godwit.Tests.Link;

/// <summary>Real sockets and real TLS on the loopback interface.</summary>
public sealed class RealNetworkTests : IAsyncLifetime
{
    private static readonly CancellationToken Never = CancellationToken.None;
    internal static readonly int OwnUid = int.Parse(
        File.ReadLines("/proc/self/status").First(l => l.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[2],
        System.Globalization.CultureInfo.InvariantCulture);
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-net-").FullName;
    private ClusterCa _ca = null!;
    private ClusterCa _otherCa = null!;

    public async Task InitializeAsync()
    {
        _ca = await OpenCaAsync("a", 1);
        _otherCa = await OpenCaAsync("b", 2);
    }

    public Task DisposeAsync()
    {
        Directory.Delete(_directory, recursive: true);
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Two_hosts_of_one_cluster_meet_over_TLS_1_3_and_know_each_other()
    {
        await using var listener = await ListenAsync("h2");
        var accepting = listener.AcceptAsync(Never);

        var left = await Network("h1").ConnectPeerAsync(listener.Endpoint, new("h2"), Never);
        var right = await accepting;

        Assert.Equal(new HostId("h2"), left.Peer);
        Assert.Equal(new HostId("h1"), right.Peer);
        Assert.Equal("TLS 1.3, TLS_AES_128_GCM_SHA256", left.Security);
        Assert.Equal(left.Security, right.Security);
        await left.Stream.WriteAsync(new byte[] { 7 });
        var one = new byte[1];
        Assert.Equal(1, await right.Stream.ReadAsync(one));
        Assert.Equal(7, one[0]);
        await left.Stream.DisposeAsync();
        Assert.Equal(0, await right.Stream.ReadAsync(one));
        await right.Stream.DisposeAsync();
    }

    [Fact]
    public async Task A_host_with_another_name_than_expected_is_refused_and_both_are_named()
    {
        await using var listener = await ListenAsync("h3");

        var error = await Assert.ThrowsAsync<IOException>(() => Network("h1").ConnectPeerAsync(listener.Endpoint, new("h2"), Never));

        Assert.Contains("host h1 of cluster", error.Message);
        Assert.Contains("the peer is host h3", error.Message);
        Assert.Contains("not host h2", error.Message);
    }

    [Fact]
    public async Task A_host_of_another_cluster_is_refused_by_either_side()
    {
        await using var listener = await ListenAsync("h2");
        var stranger = Network(Joined.Host(_otherCa, "h1"));

        var error = await Assert.ThrowsAsync<IOException>(() => stranger.ConnectPeerAsync(listener.Endpoint, new("h2"), Never));

        Assert.Contains("not valid in this cluster", error.Message);
        await TheRightfulHostIsAcceptedAsync(listener);
    }

    [Fact]
    public async Task The_control_plane_opens_no_links()
    {
        await using var listener = await ListenAsync("h2");

        var error = await Assert.ThrowsAsync<IOException>(
            () => Network(_ca.IssueControlPlane()).ConnectPeerAsync(listener.Endpoint, new("h2"), Never));

        Assert.Contains("refused", error.Message);
        await TheRightfulHostIsAcceptedAsync(listener);
    }

    [Theory]
    [InlineData(SslProtocols.Tls13, false)]
    [InlineData(SslProtocols.Tls12, true)]
    public async Task No_certificate_or_an_older_TLS_gets_no_connection(SslProtocols protocol, bool withCertificate)
    {
        await using var listener = await ListenAsync("h2");
        var own = Bundle("h1");
        using var tls = new SslStream(await ConnectTcpAsync(listener));
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = "h2",
            EnabledSslProtocols = protocol,
            ClientCertificates = withCertificate ? [own.Own] : null,
            RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null,
        };

        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await tls.AuthenticateAsClientAsync(options, Never);
            if (await tls.ReadAsync(new byte[1]) == 0) throw new IOException("closed");
        });
        await TheRightfulHostIsAcceptedAsync(listener);
    }

    [Fact]
    public async Task Silent_clients_and_garbage_hold_up_nobody()
    {
        await using var listener = await ListenAsync("h2");
        var silent = new List<Stream>();
        for (int i = 0; i < 20; i++) silent.Add(await ConnectTcpAsync(listener));
        await using var garbage = await ConnectTcpAsync(listener);
        await garbage.WriteAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());

        await TheRightfulHostIsAcceptedAsync(listener);

        Assert.Equal(0, await ReadToCloseAsync(garbage));
        silent.ForEach(s => s.Dispose());
    }

    [Fact]
    public async Task A_port_where_nobody_listens_is_an_error_that_names_it()
    {
        var listener = await ListenAsync("h2");
        await listener.DisposeAsync();

        var error = await Assert.ThrowsAsync<IOException>(() => Network("h1").ConnectPeerAsync(listener.Endpoint, new("h2"), Never));

        Assert.Contains($"cannot reach host h2 at {listener.Endpoint}", error.Message);
        Assert.Contains("refused", error.Message);
    }

    [Theory]
    [InlineData("h2")]
    [InlineData("10.0.0.1:99999")]
    [InlineData(":80")]
    public async Task What_is_no_endpoint_is_refused(string endpoint) =>
        await Assert.ThrowsAsync<IOException>(() => Network("h1").ConnectPeerAsync(endpoint, new("h2"), Never));

    [Fact]
    public async Task A_unix_socket_is_private_replaces_a_stale_one_and_leaves_nothing_behind()
    {
        string path = Path.Combine(_directory, "qemu.sock");
        await File.WriteAllTextAsync(path, "stale");
        var network = Network("h1");
        await using (var listener = await network.ListenUnixAsync(path, OwnUid, Never))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
            var accepting = listener.AcceptAsync(Never);
            await using var left = await network.ConnectUnixAsync(path, Never);
            await using var right = await accepting;
            await left.WriteAsync(new byte[] { 7 });
            Assert.Equal(1, await right.ReadAsync(new byte[1]));
        }
        Assert.False(File.Exists(path));
        Assert.Contains(path, (await Assert.ThrowsAsync<IOException>(() => network.ConnectUnixAsync(path, Never))).Message);
    }

    [Fact]
    public async Task A_unix_path_that_the_kernel_would_not_take_is_refused_with_the_limit()
    {
        string path = "/" + new string('x', 107);

        var error = await Assert.ThrowsAsync<IOException>(() => Network("h1").ListenUnixAsync(path, 0, Never));

        Assert.Contains("108 bytes, 107 at most", error.Message);
    }

    private async Task TheRightfulHostIsAcceptedAsync(IPeerListener listener)
    {
        var accepting = listener.AcceptAsync(Never);
        var left = await Network("h1").ConnectPeerAsync(listener.Endpoint, new("h2"), Never);
        var right = await accepting;
        Assert.Equal(new HostId("h1"), right.Peer);
        await left.Stream.DisposeAsync();
        await right.Stream.DisposeAsync();
    }

    private static async Task<Stream> ConnectTcpAsync(IPeerListener listener)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(listener.Endpoint));
        return new NetworkStream(socket, ownsSocket: true);
    }

    private static async Task<int> ReadToCloseAsync(Stream stream)
    {
        var buffer = new byte[1024];
        try
        {
            int count;
            while ((count = await stream.ReadAsync(buffer)) > 0) { }
            return count;
        }
        catch (IOException)
        {
            return 0; // Reset instead of closed.
        }
    }

    private Task<IPeerListener> ListenAsync(string host) => Network(host).ListenPeersAsync("127.0.0.1:0", Never);
    private RealNetwork Network(string host) => Network(Bundle(host));
    private static RealNetwork Network(IdentityBundle bundle) => new(() => bundle, NullLogger<RealNetwork>.Instance);
    private IdentityBundle Bundle(string host) => Joined.Host(_ca, host);

    private Task<ClusterCa> OpenCaAsync(string place, int seed) => ClusterCa.OpenOrCreateAsync(
        Path.Combine(_directory, place), new RealDisk(), new SeededRandomness(seed), TimeProvider.System, Never);
}
