using System.Net;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// A VM's serial line in a window of its own: a page without a circuit, so that it lives as long as the browser's connection to the guest
/// does. Its script asks for a ticket and opens the API's console with it; where a move cuts that, it does the same again.
/// </summary>
public static class TerminalPage
{
    /// <summary>The terminal puts colours and sizes into style elements: allowed on this page alone, which shows nothing else.</summary>
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        + "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public static void MapTo(IEndpointRouteBuilder web)
    {
        web.MapGet("/console/{vm}", Show).Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
        web.MapPost("/console/{vm}/ticket", (string vm, HttpContext http, ServerSocket socket, SessionCookie cookie) =>
                GuestTicket.AnswerAsync(http, socket, cookie, api => api.ConsoleTicketAsync(vm, http.RequestAborted)))
            .Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
    }

    private static IResult Show(string vm, HttpContext http)
    {
        if (!Names.IsValid(vm)) return TypedResults.NotFound();
        http.Response.Headers.ContentSecurityPolicy = Policy;
        var theme = http.Request.Cookies["godwit-theme"] is "dark" or "light" ? http.Request.Cookies["godwit-theme"] : "";
        var name = WebUtility.HtmlEncode(vm);
        return TypedResults.Content($"""
            <!DOCTYPE html>
            <html lang="en" data-theme="{theme}">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <title>{name} console · Godwit</title>
                <link rel="icon" type="image/svg+xml" href="/{PageAssets.Address("godwit.svg")}" />
                <link rel="stylesheet" href="/{PageAssets.Address("xterm.css")}" />
                <link rel="stylesheet" href="/{PageAssets.Address("terminal.css")}" />
            </head>
            <body>
                <header><h1>{name}</h1><span id="state" role="status">connecting…</span><a href="/vms/{name}">VM page</a></header>
                <main id="terminal" data-vm="{name}" aria-label="Serial console of {name}"></main>
                <script src="/{PageAssets.Address("xterm.js")}"></script>
                <script src="/{PageAssets.Address("addon-fit.js")}"></script>
                <script src="/{PageAssets.Address("reconnect.js")}"></script>
                <script src="/{PageAssets.Address("terminal.js")}"></script>
            </body>
            </html>
            """, "text/html; charset=utf-8");
    }
}
