using Godwit.Client;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Http;

namespace Godwit.WebConsole.Serving;

/// <summary>The token is taken back, and the browser forgets it.</summary>
public static class LogOut
{
    public static async Task<IResult> RunAsync(HttpContext http, ServerSocket socket, SessionCookie cookie, IAntiforgery antiforgery)
    {
        if (!await antiforgery.IsRequestValidAsync(http)) return TypedResults.BadRequest();
        using var client = new ApiClient(new OwnServerWay(socket, cookie.Read(http), SessionCookie.SourceOf(http)));
        try
        {
            await new AccessApi(client).LogOutAsync(http.RequestAborted);
        }
        catch (ApiException)
        {
            // A token that was made for a program is not ended by leaving: it is only forgotten here.
        }
        SessionCookie.Forget(http);
        return TypedResults.LocalRedirect("/login");
    }
}
