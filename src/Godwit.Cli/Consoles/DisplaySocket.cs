using System.Net.Sockets;
using System.Net.WebSockets;
using Godwit.Cli.Api;

namespace Godwit.Cli.Consoles;

/// <summary>
/// `godwit vm display`: a unix socket of this user's own, at which VNC viewers see the guest wherever it is, for as long as this runs.
/// RFB cannot be joined in the middle: when a move cuts a viewer off, it connects again. No TCP port: any user of this machine could.
/// </summary>
internal sealed class DisplaySocket(Session session, string vm)
{
    private const int ViewersMax = 8, ChunkBytes = 64 * 1024;
    private int _viewers;

    /// <param name="path">Where the socket is to be; null: in a new directory that only this user may enter.</param>
    public static async Task<int> ServeAsync(Session session, string vm, string? path, CancellationToken cancel)
    {
        _ = await session.Api.DisplayTicketAsync(vm, cancel); // No such VM, no display, not allowed: this says it. Never used.
        var own = path is null ? Directory.CreateTempSubdirectory("godwit-") : null;
        path ??= Path.Combine(own!.FullName, $"{vm}.vnc");
        try
        {
            using var listener = Listen(path);
            await ServeAsync(session, vm, path, listener, cancel);
            return ExitCode.All;
        }
        finally
        {
            own?.Delete();
        }
    }

    private static async Task ServeAsync(Session session, string vm, string path, Socket listener, CancellationToken cancel)
    {
        try
        {
            session.Screen.Line(path);
            session.Screen.Note($"Display of {vm}, until Ctrl-C. See it with a VNC viewer that takes a socket: vncviewer {path}");
            await new DisplaySocket(session, vm).RunAsync(listener, cancel);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Socket Listen(string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            listener.Bind(new UnixDomainSocketEndPoint(path));
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite); // Before it listens, nobody can connect.
            listener.Listen(ViewersMax);
            return listener;
        }
        catch (Exception reason) when (reason is SocketException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            listener.Dispose();
            throw new ApiException(new ApiError("socket-refused", $"no socket can be made at {path}: {reason.Message}")
            { Next = "leave --socket out, or give a short path that is free" });
        }
    }

    private async Task RunAsync(Socket listener, CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested)
        {
            try
            {
                _ = ShowAsync(await listener.AcceptAsync(cancel), cancel);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task ShowAsync(Socket viewer, CancellationToken cancel)
    {
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        await using var stream = new NetworkStream(viewer, ownsSocket: true);
        using var socket = new ClientWebSocket();
        try
        {
            if (Interlocked.Increment(ref _viewers) > ViewersMax)
            {
                session.Screen.Note($"{ViewersMax} viewers are connected: one more was turned away.");
                return;
            }
            using var connection = session.Client.NewConnection();
            await socket.ConnectAsync(session.Client.WebSocketOf($"vms/{Uri.EscapeDataString(vm)}/display"), connection, leave.Token);
            await Task.WhenAny(TypeAsync(stream, socket, leave.Token), DrawAsync(socket, stream, leave.Token));
        }
        catch (Exception reason) when (reason is WebSocketException or OperationCanceledException)
        {
            if (!cancel.IsCancellationRequested)
                session.Screen.Note($"The display of {vm} cannot be opened: {reason.Message} Next: godwit vm show {vm}");
        }
        finally
        {
            leave.Cancel();
            Interlocked.Decrement(ref _viewers);
        }
    }

    private static async Task TypeAsync(NetworkStream viewer, ClientWebSocket guest, CancellationToken leave)
    {
        var chunk = new byte[ChunkBytes];
        int count;
        while ((count = await viewer.ReadAsync(chunk, leave)) > 0)
            await guest.SendAsync(chunk.AsMemory(0, count), WebSocketMessageType.Binary, endOfMessage: true, leave);
    }

    private static async Task DrawAsync(ClientWebSocket guest, NetworkStream viewer, CancellationToken leave)
    {
        var chunk = new byte[ChunkBytes];
        while (true)
        {
            var message = await guest.ReceiveAsync(chunk.AsMemory(), leave);
            if (message.MessageType == WebSocketMessageType.Close) return;
            await viewer.WriteAsync(chunk.AsMemory(0, message.Count), leave);
        }
    }
}
