using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>A VM's serial line in a window of its own.</summary>
public static class TerminalPage
{
    /// <summary>The terminal puts colours and sizes into style elements: allowed on this page alone, which shows nothing else.</summary>
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        + "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public static void MapTo(IEndpointRouteBuilder web) => new GuestWindow("console", Policy, ["xterm.css", "terminal.css"], Body)
        .MapTo(web, (api, vm, cancel) => api.ConsoleTicketAsync(vm, cancel));

    private static string Body(string name) => $"""
            <header><h1>{name}</h1><span id="state" role="status">connecting…</span><a href="/vms/{name}">VM page</a></header>
            <main id="terminal" data-vm="{name}" aria-label="Serial console of {name}"></main>
            <script src="/{PageAssets.Address("xterm.js")}"></script>
            <script src="/{PageAssets.Address("addon-fit.js")}"></script>
            <script src="/{PageAssets.Address("reconnect.js")}"></script>
            <script src="/{PageAssets.Address("terminal.js")}"></script>
        """;
}
