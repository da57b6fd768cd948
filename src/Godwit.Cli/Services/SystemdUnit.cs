using System.Net.Sockets;
using System.Text;

namespace Godwit.Cli.Services;

/// <summary>What systemd and a service that it runs tell each other: sd_notify(3), and JOURNAL_STREAM of systemd.exec(5).</summary>
internal sealed class SystemdUnit
{
    private const string SocketVariable = "NOTIFY_SOCKET";
    private readonly string? _socket;

    public SystemdUnit()
    {
        _socket = Environment.GetEnvironmentVariable(SocketVariable);
        Environment.SetEnvironmentVariable(SocketVariable, null); // What this process starts has nothing to say there.
    }

    /// <summary>Whether standard output is the journal, which has its own clock and knows priorities.</summary>
    public static bool HasJournal => Environment.GetEnvironmentVariable("JOURNAL_STREAM")?.Split(':') is [_, var inode]
        && new FileInfo("/proc/self/fd/1").LinkTarget == $"socket:[{inode}]";

    /// <summary>A unit of Type=notify counts as started from here on. Nothing where systemd does not wait.</summary>
    public void TellReady()
    {
        if (string.IsNullOrEmpty(_socket)) return;
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        // '@' stands for the zero of a name that is in no file system.
        socket.SendTo(Encoding.ASCII.GetBytes("READY=1"),
            new UnixDomainSocketEndPoint(_socket[0] == '@' ? $"\0{_socket[1..]}" : _socket));
    }
}
