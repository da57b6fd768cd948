using System.Net;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// One sight of a guest in a window of its own: a page without a circuit, so that it lives as long as the browser's connection to the guest
/// does. Its script asks for a ticket and opens the API's stream with it; where a move cuts that, it does the same again.
/// </summary>
/// <param name="Seat">In the address, and in the title.</param>
/// <param name="Policy">What this page alone may load.</param>
/// <param name="Styles">Assets by name, in order.</param>
/// <param name="Body">Of the VM's name, encoded.</param>
internal sealed record GuestWindow(string Seat, string Policy, string[] Styles, Func<string, string> Body)
{
    public void MapTo(IEndpointRouteBuilder web, Func<Client.GodwitApi, string, CancellationToken, Task<ConsoleTicketView>> ticket)
    {
        web.MapGet($"/{Seat}/{{vm}}", Show).Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
        web.MapPost($"/{Seat}/{{vm}}/ticket", (string vm, HttpContext http, ServerSocket socket, SessionCookie cookie) =>
                GuestTicket.AnswerAsync(http, socket, cookie, api => ticket(api, vm, http.RequestAborted)))
            .Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
    }

    private IResult Show(string vm, HttpContext http)
    {
        if (!Names.IsValid(vm)) return TypedResults.NotFound();
        http.Response.Headers.ContentSecurityPolicy = Policy;
        var theme = http.Request.Cookies["godwit-theme"] is "dark" or "light" ? http.Request.Cookies["godwit-theme"] : "";
        var name = WebUtility.HtmlEncode(vm);
        var styles = string.Concat(Styles.Select(style => $"""<link rel="stylesheet" href="/{PageAssets.Address(style)}" />"""));
        return TypedResults.Content($"""
            <!DOCTYPE html>
            <html lang="en" data-theme="{theme}">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <title>{name} {Seat} · Godwit</title>
                <link rel="icon" type="image/svg+xml" href="/{PageAssets.Address("godwit.svg")}" />
                {styles}
            </head>
            <body>
            {Body(name)}
            </body>
            </html>
            """, "text/html; charset=utf-8");
    }
}
