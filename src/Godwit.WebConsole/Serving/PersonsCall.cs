using Godwit.Client;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Http;

namespace Godwit.WebConsole.Serving;

/// <summary>What a page's script asks for outside of its circuit: one call of the API with the person's own token.</summary>
internal static class PersonsCall
{
    /// <summary>The API's answer, or its error as it said it.</summary>
    public static async Task<IResult> AnswerAsync<T>(
        HttpContext http, ServerSocket socket, SessionCookie cookie, Func<GodwitApi, Task<T>> ask)
    {
        using var client = new ApiClient(new OwnServerWay(socket, TokenOf(http, cookie), SessionCookie.SourceOf(http)));
        try
        {
            return TypedResults.Json(await ask(new GodwitApi(client)), ApiJson.Lenient);
        }
        catch (ApiException refused)
        {
            var error = refused.Error;
            return TypedResults.Json(
                new ApiProblem
                {
                    Title = error.Cause, Status = StatusCodes.Status409Conflict, Code = error.Code, Cause = error.Cause,
                    Next = error.Next ?? "look into the server's log", Reasons = error.Reasons,
                }, ApiJson.Lenient, ApiErrors.ContentType, StatusCodes.Status409Conflict);
        }
    }

    /// <summary>As the gate took it: a header before a cookie.</summary>
    private static string? TokenOf(HttpContext http, SessionCookie cookie)
    {
        const string scheme = "Bearer ";
        var header = http.Request.Headers.Authorization.ToString();
        return header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase) ? header[scheme.Length..].Trim() : cookie.Read(http);
    }
}
