using System.Net;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Godwit.Tests.Control;
using Godwit.Tests.Identity;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>Tickets stand for a person at one console, once, and for seconds.</summary>
public sealed class ConsoleTicketTests
{
    private static readonly Actor alice = new("alice", Role.Operator, "192.0.2.7", "tk-1");
    private static readonly VmId vm = new("vm-1");
    private readonly FakeTimeProvider time = new();
    private readonly ConsoleTickets tickets;

    public ConsoleTicketTests() => tickets = new ConsoleTickets(new SeededRandomness(1), time);

    [Fact]
    public void A_ticket_is_good_once_for_whom_and_what_it_was_made()
    {
        var view = tickets.Issue(alice, vm, GuestSeat.Console);
        var taken = tickets.Take(view.Ticket);
        Assert.Equal((alice, vm, GuestSeat.Console), (taken!.Actor, taken.Vm, taken.Seat));
        Assert.Null(tickets.Take(view.Ticket));
        Assert.Null(tickets.Take("made up"));
    }

    [Fact]
    public void A_ticket_is_too_old_after_its_seconds()
    {
        var (young, old) = (tickets.Issue(alice, vm, GuestSeat.Console), tickets.Issue(alice, vm, GuestSeat.Console));
        time.Advance(ConsoleTickets.Life - TimeSpan.FromSeconds(1));
        Assert.NotNull(tickets.Take(young.Ticket));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(tickets.Take(old.Ticket));
    }

    [Fact]
    public void Tickets_that_nobody_uses_are_bounded_and_make_room_as_they_grow_old()
    {
        var refused = Assert.Throws<RefusedException>(() =>
        {
            for (var n = 0; n < 2_000; n++) tickets.Issue(alice, vm, GuestSeat.Console);
        });
        Assert.Equal("too-many-streams", refused.Reasons[0].Code);
        time.Advance(ConsoleTickets.Life);
        Assert.NotNull(tickets.Take(tickets.Issue(alice, vm, GuestSeat.Console).Ticket));
    }

    [Fact]
    public async Task A_made_up_ticket_opens_nothing_and_a_real_one_opens_consoles_alone()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var nobody = await server.RemoteAsync(null);
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, "vms/web1/console?ticket=00"));

        var mine = server.Control.ConsoleTickets.Issue(new Actor("alice", Role.Operator, "192.0.2.7"), vm, GuestSeat.Console);
        Assert.Equal("token-missing", await CodeAsync(nobody, $"vms?ticket={mine.Ticket}"));
        Assert.Equal("bad-upgrade", await CodeAsync(nobody, $"vms/web1/console?ticket={mine.Ticket}")); // Past the gate.
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, $"vms/web1/console?ticket={mine.Ticket}"));

        var gone = server.Control.ConsoleTickets.Issue(
            new Actor("bob", Role.Operator, "192.0.2.7", "tk-taken-back"), vm, GuestSeat.Console);
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, $"vms/web1/console?ticket={gone.Ticket}"));
    }

    /// <summary>Neither opens the other: it is used up by trying.</summary>
    [Fact]
    public async Task A_ticket_opens_what_it_was_made_for_and_nothing_else_of_the_same_vm()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        await server.OkAsync<VmView>("POST", "vms", new { name = "web", display = "vnc", start = true });
        using var clerk = await server.RemoteAsync(await server.TokenAsync(Role.Console));
        foreach (var (of, other) in new[] { ("console", "display"), ("display", "console") })
        {
            var wrong = await TicketAsync(clerk, of);
            await Assert.ThrowsAsync<WebSocketException>(() => OpenAsync(server, other, wrong));
            await Assert.ThrowsAsync<WebSocketException>(() => OpenAsync(server, of, wrong));
            using var socket = await OpenAsync(server, of, await TicketAsync(clerk, of));
            await socket.SendAsync("RFB"u8.ToArray(), WebSocketMessageType.Binary, true, CancellationToken.None);
            var buffer = new byte[100];
            var echoed = await socket.ReceiveAsync(buffer, CancellationToken.None);
            Assert.Equal("RFB", Encoding.ASCII.GetString(buffer, 0, echoed.Count));
        }
    }

    private static async Task<string> TicketAsync(HttpClient clerk, string seat)
    {
        using var answer = await clerk.PostAsync($"vms/web/{seat}/ticket", null);
        return (await answer.Content.ReadFromJsonAsync<ConsoleTicketView>(ApiJson.Lenient))!.Ticket;
    }

    /// <summary>As a browser does: without a token.</summary>
    private static async Task<ClientWebSocket> OpenAsync(ServerUnderTest server, string seat, string ticket)
    {
        var socket = new ClientWebSocket();
        socket.Options.RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null;
        await socket.ConnectAsync(new Uri($"wss://{server.Listening}/api/v1/vms/web/{seat}?ticket={ticket}"), CancellationToken.None);
        return socket;
    }

    private static async Task<string> CodeAsync(HttpClient client, string path)
    {
        using var answer = await client.GetAsync("/api/v1/" + path);
        Assert.NotEqual(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync<ApiProblem>(ApiJson.Lenient))!.Code;
    }
}
