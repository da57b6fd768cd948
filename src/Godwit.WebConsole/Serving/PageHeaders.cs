using Godwit.Server.Api;
using Microsoft.AspNetCore.Http;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// What a browser may do with our pages: run our scripts and none besides, talk to us alone, be framed by nobody. Style attributes are
/// allowed, since bars and graphs set their sizes so; style elements and scripts inside a page are not (ADR 38).
/// </summary>
public sealed class PageHeaders(RequestDelegate next)
{
    public const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        + "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'";

    public Task InvokeAsync(HttpContext http)
    {
        if (http.GetEndpoint().Needs()?.Traits.HasFlag(Traits.Page) is true)
        {
            var headers = http.Response.Headers;
            headers.ContentSecurityPolicy = Policy;
            headers["Referrer-Policy"] = "same-origin"; // None at all would hide from us, too, where a form comes from.
            headers["Cross-Origin-Opener-Policy"] = "same-origin";
            headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()";
        }
        return next(http);
    }
}

/// <summary>
/// What another site's page begins is refused, beside the cookie that is not sent then: browsers say where a request comes from
/// (Fetch Metadata, Origin).
/// </summary>
public sealed class SameOrigin(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext http)
    {
        var isPage = http.GetEndpoint().Needs()?.Traits.HasFlag(Traits.Page) is true;
        if (isPage && !IsOurs(http)) throw new Core.RefusedException("role-lacks-permission",
            "another site's page asked for this", "open the console by its own address");
        return next(http);
    }

    /// <summary>A link that leads here is ours, whoever shows it; forms, scripts and sockets elsewhere are not.</summary>
    private static bool IsOurs(HttpContext http)
    {
        var origin = http.Request.Headers.Origin.ToString();
        var isAction = !HttpMethods.IsGet(http.Request.Method) || http.WebSockets.IsWebSocketRequest;
        if (isAction && origin.Length > 0) return origin == $"{http.Request.Scheme}://{http.Request.Host}";
        var site = http.Request.Headers["Sec-Fetch-Site"].ToString();
        return site is "" or "same-origin" or "none" || http.Request.Headers["Sec-Fetch-Mode"] == "navigate";
    }
}
