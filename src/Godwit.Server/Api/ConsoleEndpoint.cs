using System.Net.WebSockets;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>A guest's serial console as a WebSocket: binary messages, raw bytes both ways, until either side closes.</summary>
internal static class ConsoleEndpoint
{
    private const int MessageBytesMax = 64 * 1024;

    public static void MapConsole(this IEndpointRouteBuilder api, ControlPlane control, Streams streams, CancellationToken stopping)
    {
        api.MapPost("/vms/{vm}/console/ticket", async (string vm, HttpContext http) =>
            control.ConsoleTickets.Issue(Gate.ActorOf(http), (await control.Vms.FindAsync(vm)).Spec.Id)).Needs(Permission.UseConsoles);
        api.MapGet("/vms/{vm}/console", async (string vm, HttpContext http) =>
        {
            if (!http.WebSockets.IsWebSocketRequest)
                throw new RefusedException("bad-upgrade", "the console is a WebSocket",
                    "connect to it with 'godwit vm console' or a WebSocket client");
            var record = await control.Vms.FindAsync(vm);
            if (http.Features.Get<ConsoleTicket>() is { } ticket && ticket.Vm != record.Spec.Id)
                throw new RefusedException("ticket-invalid", "the ticket is for another VM", "ask for one for this VM");
            using var place = streams.Enter();
            using var leave = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, stopping);
            await using var console = await control.Agents.Of(record.Owner).OpenConsoleAsync(record.Spec.Id, leave.Token);
            using var socket = await http.WebSockets.AcceptWebSocketAsync();
            await RelayAsync(socket, console, leave);
        }).ExcludeFromDescription().Needs(Permission.UseConsoles, Traits.Ticket);
    }

    private static async Task RelayAsync(WebSocket socket, Stream console, CancellationTokenSource leave)
    {
        var typed = TypeAsync(socket, console, leave.Token);
        var shown = ShowAsync(socket, console, leave.Token);
        var first = await Task.WhenAny(typed, shown);
        // The guest ended first: say goodbye while the socket still works, then let go of both.
        if (first == shown && socket.State == WebSocketState.Open) await EndedAsync(
            socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "the console was closed", leave.Token));
        leave.Cancel();
        await EndedAsync(typed);
        await EndedAsync(shown);
    }

    private static async Task TypeAsync(WebSocket socket, Stream console, CancellationToken leave)
    {
        var buffer = new byte[MessageBytesMax];
        while (true)
        {
            var message = await socket.ReceiveAsync(buffer.AsMemory(), leave);
            if (message.MessageType == WebSocketMessageType.Close) return;
            await console.WriteAsync(buffer.AsMemory(0, message.Count), leave);
        }
    }

    private static async Task ShowAsync(WebSocket socket, Stream console, CancellationToken leave)
    {
        var buffer = new byte[MessageBytesMax];
        int read;
        while ((read = await console.ReadAsync(buffer, leave)) > 0)
            await socket.SendAsync(buffer.AsMemory(0, read), WebSocketMessageType.Binary, endOfMessage: true, leave);
    }

    private static async Task EndedAsync(Task side)
    {
        try
        {
            await side;
        }
        catch (Exception error) when (error is OperationCanceledException or IOException or WebSocketException)
        {
            // The other side closed: that is how every console session ends.
        }
    }
}
