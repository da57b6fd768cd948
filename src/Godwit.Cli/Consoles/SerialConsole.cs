using System.Net.WebSockets;
using Godwit.Cli.Api;

namespace Godwit.Cli.Consoles;

/// <summary>
/// `godwit vm console`: keys to the guest's serial port, its text to this terminal, until Ctrl-]. The server carries
/// it to the VM wherever that is; when a move cuts it, it attaches again.
/// </summary>
internal sealed class SerialConsole(Session session, string vm, Stream keys, Stream picture)
{
    private const byte LeaveKey = 0x1D; // Ctrl-]
    private const int ChunkBytes = 4096;
    private const int AttemptsMax = 20;
    private static readonly TimeSpan between = TimeSpan.FromMilliseconds(500);
    /// <summary>A connection that lasted this long worked, also where the guest had nothing to say.</summary>
    private static readonly TimeSpan worked = TimeSpan.FromSeconds(2);

    public static async Task<int> AttachAsync(Session session, string vm, CancellationToken cancel)
    {
        session.Screen.Note($"Console of {vm}. Ctrl-] leaves.");
        await using var keys = Console.OpenStandardInput();
        await using var picture = Console.OpenStandardOutput();
        using var raw = new RawTerminal();
        var code = await new SerialConsole(session, vm, keys, picture).RunAsync(cancel);
        await session.Screen.Error.WriteAsync("\r\n");
        return code;
    }

    public async Task<int> RunAsync(CancellationToken cancel)
    {
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var socket = await ConnectAsync(cancel); // The first failure is the answer; later ones are a move going on.
        var typing = TypeAsync(() => socket, leave);
        for (var attempt = 0; attempt < AttemptsMax && !leave.IsCancellationRequested; attempt++)
        {
            var attached = session.Time.GetTimestamp();
            if (await ShowAsync(socket, leave.Token) || session.Time.GetElapsedTime(attached) > worked) attempt = 0;
            if (leave.IsCancellationRequested) break;
            await Task.WhenAny(Task.Delay(between, session.Time, leave.Token));
            try
            {
                var next = await ConnectAsync(leave.Token);
                socket.Dispose();
                socket = next;
            }
            catch (Exception reason) when (reason is ApiException or OperationCanceledException && attempt < AttemptsMax - 1)
            {
                // Tried again until the attempts are used up.
            }
        }
        var left = leave.IsCancellationRequested;
        socket.Dispose();
        if (!left) throw new ApiException(new ApiError("console-lost", $"the console of {vm} closed and did not come back")
        { Vm = vm, Next = $"godwit vm show {vm}" });
        if (typing.IsCompleted) await typing;
        return ExitCode.All;
    }

    private async Task<ClientWebSocket> ConnectAsync(CancellationToken cancel)
    {
        var socket = new ClientWebSocket();
        try
        {
            using var connection = session.Client.NewConnection();
            await socket.ConnectAsync(session.Client.WebSocketOf($"vms/{Uri.EscapeDataString(vm)}/console"), connection, cancel);
            return socket;
        }
        catch (WebSocketException reason)
        {
            socket.Dispose();
            try
            {
                _ = await session.Api.VmAsync(vm, cancel); // Nobody there, or no such VM: that says it better.
            }
            catch (ApiException lacking) when (lacking.Error.Code == "role-lacks-permission")
            {
                // Who may use consoles need not be one who may look at VMs.
            }
            throw new ApiException(new ApiError("console-refused", $"the console of {vm} cannot be opened: {reason.Message}")
            { Vm = vm, Next = $"see that it runs: godwit vm show {vm}" });
        }
    }

    /// <summary>True where the guest said anything before the connection ended.</summary>
    private async Task<bool> ShowAsync(ClientWebSocket socket, CancellationToken leave)
    {
        var chunk = new byte[ChunkBytes];
        var heard = false;
        try
        {
            while (true)
            {
                var result = await socket.ReceiveAsync(chunk.AsMemory(), leave);
                if (result.MessageType == WebSocketMessageType.Close) return heard;
                heard = true;
                await picture.WriteAsync(chunk.AsMemory(0, result.Count), leave);
                await picture.FlushAsync(leave);
            }
        }
        catch (Exception reason) when (reason is WebSocketException or OperationCanceledException)
        {
            return heard; // Cut by a move, or left: the caller knows which.
        }
    }

    private static async Task SendAsync(ClientWebSocket socket, ReadOnlyMemory<byte> typed)
    {
        try
        {
            await socket.SendAsync(typed, WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
        }
        catch (Exception reason) when (reason is WebSocketException or ObjectDisposedException or InvalidOperationException)
        {
            // Typed while the console was cut: such keys are lost, as on a serial line.
        }
    }

    private async Task TypeAsync(Func<ClientWebSocket> socket, CancellationTokenSource leave)
    {
        var chunk = new byte[ChunkBytes];
        while (!leave.IsCancellationRequested)
        {
            var count = await keys.ReadAsync(chunk, leave.Token);
            var end = chunk.AsSpan(0, count).IndexOf(LeaveKey);
            if (count > 0 && end != 0) await SendAsync(socket(), chunk.AsMemory(0, end < 0 ? count : end));
            if (end >= 0 || count == 0)
            {
                leave.Cancel();
                return;
            }
        }
    }
}
