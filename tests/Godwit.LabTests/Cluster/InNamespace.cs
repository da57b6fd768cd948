using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Godwit.Cli.Lab;

namespace Godwit.LabTests.Cluster;

/// <summary>Sockets inside a lab's namespaces: one stays in the namespace of the thread that made it, whoever uses it later.</summary>
internal static class InNamespace
{
    private const int NewNetwork = 0x40000000;

    /// <summary>Listens already. Throws <see cref="LabException"/>.</summary>
    public static TcpListener Listen(string name, IPEndPoint at)
    {
        (TcpListener? made, Exception? failed) = (null, null);
        var thread = new Thread(() =>
        {
            try
            {
                using var place = File.OpenHandle($"/run/netns/{name}");
                if (SetNamespace((int)place.DangerousGetHandle(), NewNetwork) != 0)
                    throw new LabException($"{name} cannot be entered: {Marshal.GetLastPInvokeErrorMessage()}");
                made = new TcpListener(at);
                made.Start();
            }
            catch (Exception reason) { failed = reason; } // A thread of one's own has nobody above it.
        });
        thread.Start();
        thread.Join(); // It ends with its namespace, and is never one of the pool's.
        return made ?? throw new LabException($"nobody listens in {name}: {failed?.Message}", failed!);
    }

    [DllImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static extern int SetNamespace(int place, int kind);
}
