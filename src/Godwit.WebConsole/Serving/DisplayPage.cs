using System.Net;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// A VM's display in a window of its own, as <see cref="TerminalPage"/> shows its serial line. noVNC's modules name each other by
/// relative paths, so they lie under one address; this page alone loads them.
/// </summary>
public static class DisplayPage
{
    /// <summary>The viewer sets styles one by one, which needs no leave; the guest's pictures come as data.</summary>
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public static void MapTo(IEndpointRouteBuilder web)
    {
        web.MapGet("/display/{vm}", Show).Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
        web.MapPost("/display/{vm}/ticket", (string vm, HttpContext http, ServerSocket socket, SessionCookie cookie) =>
                GuestTicket.AnswerAsync(http, socket, cookie, api => api.DisplayTicketAsync(vm, http.RequestAborted)))
            .Needs(Permission.UseConsoles, Traits.Page).ExcludeFromDescription();
    }

    private static IResult Show(string vm, HttpContext http)
    {
        if (!Names.IsValid(vm)) return TypedResults.NotFound();
        http.Response.Headers.ContentSecurityPolicy = Policy;
        var theme = http.Request.Cookies["godwit-theme"] is "dark" or "light" ? http.Request.Cookies["godwit-theme"] : "";
        var viewer = PageAssets.Address("novnc/core/rfb.js");
        var name = WebUtility.HtmlEncode(vm);
        return TypedResults.Content($"""
            <!DOCTYPE html>
            <html lang="en" data-theme="{theme}">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <title>{name} display · Godwit</title>
                <link rel="icon" type="image/svg+xml" href="/{PageAssets.Address("godwit.svg")}" />
                <link rel="stylesheet" href="/{PageAssets.Address("terminal.css")}" />
                <link rel="stylesheet" href="/{PageAssets.Address("display.css")}" />
            </head>
            <body>
                <header><h1>{name}</h1><span id="state" role="status">connecting…</span>
                    <button type="button" id="ctrl-alt-del">Ctrl-Alt-Del</button>
                    <a href="/console/{name}">Serial line</a><a href="/vms/{name}">VM page</a></header>
                <p id="said" role="status"></p>
                <main id="display" data-vm="{name}" data-viewer="/{viewer}" aria-label="Display of {name}"></main>
                <script src="/{PageAssets.Address("reconnect.js")}"></script>
                <script type="module" src="/{PageAssets.Address("display.js")}"></script>
            </body>
            </html>
            """, "text/html; charset=utf-8");
    }
}
