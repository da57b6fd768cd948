using System.Net;
using System.Net.Http.Json;
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
        var view = tickets.Issue(alice, vm);
        var taken = tickets.Take(view.Ticket);
        Assert.Equal((alice, vm), (taken!.Actor, taken.Vm));
        Assert.Null(tickets.Take(view.Ticket));
        Assert.Null(tickets.Take("made up"));
    }

    [Fact]
    public void A_ticket_is_too_old_after_its_seconds()
    {
        var (young, old) = (tickets.Issue(alice, vm), tickets.Issue(alice, vm));
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
            for (var n = 0; n < 2_000; n++) tickets.Issue(alice, vm);
        });
        Assert.Equal("too-many-streams", refused.Reasons[0].Code);
        time.Advance(ConsoleTickets.Life);
        Assert.NotNull(tickets.Take(tickets.Issue(alice, vm).Ticket));
    }

    [Fact]
    public async Task A_made_up_ticket_opens_nothing_and_a_real_one_opens_consoles_alone()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var nobody = await server.RemoteAsync(null);
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, "vms/web1/console?ticket=00"));

        var mine = server.Control.ConsoleTickets.Issue(new Actor("alice", Role.Operator, "192.0.2.7"), vm);
        Assert.Equal("token-missing", await CodeAsync(nobody, $"vms?ticket={mine.Ticket}"));
        Assert.Equal("bad-upgrade", await CodeAsync(nobody, $"vms/web1/console?ticket={mine.Ticket}")); // Past the gate.
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, $"vms/web1/console?ticket={mine.Ticket}"));

        var gone = server.Control.ConsoleTickets.Issue(new Actor("bob", Role.Operator, "192.0.2.7", "tk-taken-back"), vm);
        Assert.Equal("ticket-invalid", await CodeAsync(nobody, $"vms/web1/console?ticket={gone.Ticket}"));
    }

    private static async Task<string> CodeAsync(HttpClient client, string path)
    {
        using var answer = await client.GetAsync("/api/v1/" + path);
        Assert.NotEqual(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync<ApiProblem>(ApiJson.Lenient))!.Code;
    }
}
