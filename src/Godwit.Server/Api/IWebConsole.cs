using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>
/// Pages for people before the API, put in by the executable. They can do nothing that the API cannot: what they show and do goes
/// through it, with the token of whoever is logged in.
/// </summary>
public interface IWebConsole
{
    void AddTo(WebApplicationBuilder builder, ServerOptions options);
    /// <summary>Between the gate and the endpoints.</summary>
    void Use(WebApplication web);
    /// <summary>Every endpoint with <see cref="Traits.Page"/>.</summary>
    void MapTo(IEndpointRouteBuilder web);
    /// <summary>The token in a page's cookie; null where there is none, or none of ours.</summary>
    string? TokenOf(HttpContext http);
}

/// <summary>What the gate takes from, and gives to, requests for pages.</summary>
internal static class PageRequests
{
    /// <summary>
    /// Sent by the console with what it asks of its own server: where the person sits. Taken from this very process only
    /// (<see cref="Access.LocalPeer.IsOurselves"/>); and whoever comes so is never the machine's admin.
    /// </summary>
    public const string PersonAt = "Godwit-Person-At";

    /// <summary>Null: the request is nobody else's.</summary>
    public static string? PersonAtOf(HttpContext http) => http.Features.Get<Access.LocalPeer>() is { IsOurselves: true }
        && http.Request.Headers.TryGetValue(PersonAt, out var at) ? at.ToString() : null;

    /// <summary>A browser that opens a page is shown the log-in; all else is answered as the API answers.</summary>
    public static bool SendToLogIn(HttpContext http)
    {
        var isBrowser = http.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.Ordinal);
        if (!isBrowser || !HttpMethods.IsGet(http.Request.Method)) return false;
        var back = http.Request.Path == "/" ? "" : $"?to={Uri.EscapeDataString(http.Request.Path + http.Request.QueryString)}";
        http.Response.Redirect($"/login{back}");
        return true;
    }
}
