using System.Net.WebSockets;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>
/// A guest's serial console, and its display where it has one (RFB), as a WebSocket: binary messages, raw bytes both ways, until either
/// side closes.
/// </summary>
internal static class ConsoleEndpoint
{
    private const int MessageBytesMax = 64 * 1024;

    public static void MapConsole(this IEndpointRouteBuilder api, ControlPlane control, Streams streams, CancellationToken stopping)
    {
        Map("console", GuestSeat.Console, (agent, vm, cancel) => agent.OpenConsoleAsync(vm, cancel));
        Map("display", GuestSeat.Display, (agent, vm, cancel) => agent.OpenDisplayAsync(vm, cancel));

        void Map(string seat, GuestSeat what, Func<IHostAgent, VmId, CancellationToken, Task<Stream>> open)
        {
            api.MapPost($"/vms/{{vm}}/{seat}/ticket", async (string vm, HttpContext http) =>
                control.ConsoleTickets.Issue(Gate.ActorOf(http), (await FindAsync(vm)).Spec.Id, what)).Needs(Permission.UseConsoles);
            api.MapGet($"/vms/{{vm}}/{seat}", async (string vm, HttpContext http) =>
            {
                if (!http.WebSockets.IsWebSocketRequest)
                    throw new RefusedException("bad-upgrade", $"the {seat} is a WebSocket",
                        $"connect to it with 'godwit vm {seat}' or a WebSocket client");
                var record = await FindAsync(vm);
                if (http.Features.Get<ConsoleTicket>() is { } ticket && (ticket.Vm != record.Spec.Id || ticket.Seat != what))
                    throw new RefusedException("ticket-invalid", "the ticket is for something else", $"ask for one for this VM's {seat}");
                using var place = streams.Enter();
                using var leave = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, stopping);
                await using var guest = await open(control.Agents.Of(record.Owner), record.Spec.Id, leave.Token);
                using var socket = await http.WebSockets.AcceptWebSocketAsync();
                await RelayAsync(socket, guest, leave);
            }).ExcludeFromDescription().Needs(Permission.UseConsoles, Traits.Ticket);

            async Task<Vm> FindAsync(string vm)
            {
                var record = await control.Vms.FindAsync(vm);
                if (what == GuestSeat.Display && record.Spec.Display == Display.None) throw DisplayWords.None(record.Spec.Name);
                return record;
            }
        }
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
