using System.Net.Sockets;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>A unix socket that one uid may connect to. Disposing removes its file.</summary>
internal sealed class RealNetworkUnixListener : IListener
{
    private const int Backlog = 8;
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _path;

    public RealNetworkUnixListener(string path, int ownerUid)
    {
        _path = path;
        try
        {
            File.Delete(path); // Left by an agent that died; nobody can be listening in this VM's own directory.
            _socket.Bind(new UnixDomainSocketEndPoint(path));
            // Before listening: until then every connection is refused, whatever the umask was.
            using (var file = SocketFile.Open(path)) File.SetUnixFileMode(file.Path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            if (ownerUid != Libc.EffectiveUid() && Libc.LChown(path, ownerUid, -1) != 0)
                throw new IOException($"{path} cannot be given to uid {ownerUid}: {Libc.LastError()}");
            _socket.Listen(Backlog);
        }
        catch (Exception reason)
        {
            _socket.Dispose();
            if (reason is not SocketException) throw;
            throw new IOException($"cannot listen on {path}: {reason.Message}", reason);
        }
    }

    public async Task<Stream> AcceptAsync(CancellationToken cancel) =>
        new RealNetworkStream(await _socket.AcceptAsync(cancel));

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        File.Delete(_path);
        return ValueTask.CompletedTask;
    }
}
