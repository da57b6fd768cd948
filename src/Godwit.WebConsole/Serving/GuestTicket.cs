using Godwit.Client;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Http;

namespace Godwit.WebConsole.Serving;

/// <summary>What the page of a console or a display is told with a ticket.</summary>
/// <param name="Owner">Where the VM is now; null where the person may use consoles, but not look at VMs.</param>
public sealed record GuestTicket(string Ticket, string Vm, string? Owner)
{
    internal static Task<IResult> AnswerAsync(
        HttpContext http, ServerSocket socket, SessionCookie cookie, Func<GodwitApi, Task<ConsoleTicketView>> ask) =>
        PersonsCall.AnswerAsync(http, socket, cookie, async api =>
        {
            var ticket = await ask(api);
            return new GuestTicket(ticket.Ticket, ticket.Vm.Value, await OwnerAsync(api, ticket.Vm.Value, http.RequestAborted));
        });

    private static async Task<string?> OwnerAsync(GodwitApi api, string vm, CancellationToken cancel)
    {
        try
        {
            return (await api.VmAsync(vm, cancel)).Owner.Value;
        }
        catch (ApiException lacking) when (lacking.Error.Code == "role-lacks-permission")
        {
            return null;
        }
    }
}
