using System.Net.Sockets;
using Godwit.Agent.Host;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Godwit.Tests.Agent.Host;

/// <summary>The directory of a QEMU's sockets is the QEMU's: what lies there may be a trap.</summary>
public sealed class SocketFileTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("gwsf").FullName;
    private readonly RealNetwork _network = new(() => throw new InvalidOperationException(), NullLogger<RealNetwork>.Instance);

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Fact]
    public async Task A_link_to_somebody_elses_socket_is_not_followed()
    {
        using var others = Listen("others.sock");
        File.CreateSymbolicLink(PathOf("console-1.sock"), PathOf("others.sock"));
        await Assert.ThrowsAsync<IOException>(() => _network.ConnectUnixAsync(PathOf("console-1.sock"), default));
        Assert.False(others.Poll(TimeSpan.Zero, SelectMode.SelectRead)); // Nobody knocked there.
        await using var straight = await _network.ConnectUnixAsync(PathOf("others.sock"), default);
    }

    [Fact]
    public async Task A_name_that_is_not_there_or_is_no_socket_is_an_error_with_the_name()
    {
        await File.WriteAllTextAsync(PathOf("file"), "");
        foreach (var name in new[] { "nothing", "file" })
        {
            var refused = await Assert.ThrowsAsync<IOException>(() => _network.ConnectUnixAsync(PathOf(name), default));
            Assert.Contains(PathOf(name), refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Our_own_socket_is_private_and_a_link_put_in_its_place_keeps_the_mode_of_what_it_points_to()
    {
        await using var ours = await _network.ListenUnixAsync(PathOf("out-1.sock"), Libc.EffectiveUid(), default);
        Assert.Equal((UnixFileMode)0b110_000_000, File.GetUnixFileMode(PathOf("out-1.sock")));

        await File.WriteAllTextAsync(PathOf("sudo"), "");
        File.SetUnixFileMode(PathOf("sudo"), (UnixFileMode)0b111_101_101);
        File.CreateSymbolicLink(PathOf("link"), PathOf("sudo"));
        using var held = SocketFile.Open(PathOf("link"));
        Assert.ThrowsAny<Exception>(() => File.SetUnixFileMode(held.Path, UnixFileMode.UserRead));
        Assert.Equal((UnixFileMode)0b111_101_101, File.GetUnixFileMode(PathOf("sudo")));
    }

    private string PathOf(string name) => Path.Combine(_home, name);

    private Socket Listen(string name)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(PathOf(name)));
        socket.Listen();
        return socket;
    }
}
