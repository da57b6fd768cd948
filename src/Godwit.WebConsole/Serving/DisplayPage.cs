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

    public static void MapTo(IEndpointRouteBuilder web) => new GuestWindow("display", Policy, ["terminal.css", "display.css"], Body)
        .MapTo(web, (api, vm, cancel) => api.DisplayTicketAsync(vm, cancel));

    private static string Body(string name) => $"""
            <header><h1>{name}</h1><span id="state" role="status">connecting…</span>
                <button type="button" id="ctrl-alt-del">Ctrl-Alt-Del</button>
                <a href="/console/{name}">Serial line</a><a href="/vms/{name}">VM page</a></header>
            <p id="said" role="status"></p>
            <main id="display" data-vm="{name}" data-viewer="/{PageAssets.Address("novnc/core/rfb.js")}"
                aria-label="Display of {name}"></main>
            <script src="/{PageAssets.Address("reconnect.js")}"></script>
            <script type="module" src="/{PageAssets.Address("display.js")}"></script>
        """;
}
