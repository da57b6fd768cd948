using Godwit.Core.Access;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>A disk image on its way from the browser to the API: passed on as it comes, nothing of it is kept here.</summary>
public static class TemplateUpload
{
    public static void MapTo(IEndpointRouteBuilder web) =>
        web.MapPut("/upload/templates/{template}", PassAsync).Needs(Permission.MakeVms, Traits.Page).ExcludeFromDescription();

    private static Task<IResult> PassAsync(
        string template, string? format, string? pool, bool? newVersion, string? note, HttpContext http, ServerSocket socket,
        SessionCookie cookie)
    {
        // As the API's own: an image has a limit of its own, and who sends nothing for long is cut off by the data rate.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = ApiLimits.ImageBytesMax;
        return PersonsCall.AnswerAsync(http, socket, cookie, api => api.ImportTemplateAsync(
            template, format is { Length: > 0 and < 8 } ? format : "auto", pool, http.Request.Body, http.RequestAborted,
            newVersion ?? false, note is { Length: > 0 } ? note : null));
    }
}
