using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Godwit.Agent.Host;

/// <summary>
/// A socket's file, held. The sockets of a QEMU lie in its own directory, where a guest that broke out of it may put a
/// symbolic link to a socket of somebody else at any moment: whoever went there by path would speak, as root, with whom the
/// guest chose (CVE-2026-7374 of another product). So the name is looked up once, no link followed, and what was found is
/// used by its descriptor. The directories above are root's.
/// </summary>
internal sealed class SocketFile : IDisposable
{
    private readonly SafeFileHandle _held;

    private SocketFile(SafeFileHandle held) => _held = held;

    /// <summary>Leads to the file that is held, whatever its name means by now.</summary>
    public string Path => string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{_held.DangerousGetHandle()}");

    /// <summary>Of a symbolic link this holds the link itself, which takes no connections and has no mode of its own.</summary>
    /// <exception cref="IOException">There is nothing of this name.</exception>
    public static SocketFile Open(string path)
    {
        var descriptor = Libc.Open(path, Libc.OpenPath | Libc.OpenNoFollow | Libc.OpenCloseOnExec);
        if (descriptor < 0) throw new IOException($"{path} does not take connections: {Libc.LastError()}");
        return new SocketFile(new SafeFileHandle(new IntPtr(descriptor), ownsHandle: true));
    }

    public void Dispose() => _held.Dispose();
}
