using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Godwit.Core.Identity;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Accepts agents. Every handshake runs on its own, with a deadline, so a peer that is silent or sends garbage holds up
/// nobody but itself; connections are handed out in the order in which they proved themselves.
/// </summary>
internal sealed class RealNetworkPeerListener : IPeerListener
{
    /// <summary>Over this, new connections are dropped at once: better than making the rightful ones wait unseen.</summary>
    private const int HandshakesMax = 64;
    private const int WaitingMax = 32;
    private const int Backlog = 128;
    private static readonly TimeSpan HandshakeMax = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AcceptRetry = TimeSpan.FromMilliseconds(100);

    private readonly Socket _socket;
    private readonly Func<IdentityBundle> _identity;
    private readonly Action<string, string> _onRefused;
    private readonly Channel<PeerConnection> _proved = Channel.CreateBounded<PeerConnection>(WaitingMax);
    private readonly CancellationTokenSource _closing = new();
    private readonly Task _accepting;
    private int _handshakes;

    public RealNetworkPeerListener(IPEndPoint address, Func<IdentityBundle> identity, Action<string, string> onRefused)
    {
        (_identity, _onRefused) = (identity, onRefused);
        _socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            _socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true); // Restart at once.
            _socket.Bind(address);
            _socket.Listen(Backlog);
        }
        catch (SocketException reason)
        {
            _socket.Dispose();
            throw new IOException($"cannot listen for links on {address}: {reason.Message}", reason);
        }
        Endpoint = _socket.LocalEndPoint!.ToString()!;
        _accepting = AcceptAllAsync();
    }

    public string Endpoint { get; }

    public async Task<PeerConnection> AcceptAsync(CancellationToken cancel) => await _proved.Reader.ReadAsync(cancel);

    public async ValueTask DisposeAsync()
    {
        _closing.Cancel();
        _socket.Dispose();
        await _accepting;
        _proved.Writer.TryComplete();
        while (_proved.Reader.TryRead(out var unheard)) await unheard.Stream.DisposeAsync();
    }

    private async Task AcceptAllAsync()
    {
        while (!_closing.IsCancellationRequested)
        {
            try
            {
                var socket = await _socket.AcceptAsync(_closing.Token);
                if (Interlocked.Increment(ref _handshakes) <= HandshakesMax) _ = ProveAsync(socket);
                else Drop(socket);
            }
            catch (SocketException reason) when (!_closing.IsCancellationRequested)
            {
                _onRefused("anyone", reason.Message); // Out of descriptors, most likely: they come back.
                await Task.Delay(AcceptRetry, CancellationToken.None);
            }
            catch (Exception) when (_closing.IsCancellationRequested)
            {
                return; // Disposed.
            }
        }
    }

    private void Drop(Socket socket)
    {
        Interlocked.Decrement(ref _handshakes);
        _onRefused(Name(socket), $"{HandshakesMax} others are already in their handshake");
        socket.Dispose();
    }

    /// <summary>Never throws: it is nobody's to await.</summary>
    private async Task ProveAsync(Socket socket)
    {
        string name = Name(socket);
        using var deadline = new CancellationTokenSource(HandshakeMax);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token, deadline.Token);
        try
        {
            RealNetworkTls.Tune(socket);
            var tls = new RealNetworkTls(_identity());
            var connection = await RealNetworkThread.RunAsync("link-accept", () => tls.AcceptAsync(socket, either.Token));
            await _proved.Writer.WriteAsync(connection, either.Token);
        }
        catch (Exception reason)
        {
            socket.Dispose();
            if (_closing.IsCancellationRequested) return;
            _onRefused(name, deadline.IsCancellationRequested
                ? $"it did not finish its handshake in {HandshakeMax.TotalSeconds:0} s" : reason.Message);
        }
        finally
        {
            Interlocked.Decrement(ref _handshakes);
        }
    }

    private static string Name(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint?.ToString() ?? "a peer already gone";
        }
        catch (SocketException)
        {
            return "a peer already gone";
        }
    }
}
