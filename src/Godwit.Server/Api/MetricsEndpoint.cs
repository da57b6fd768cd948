using Godwit.Core.Access;
using Godwit.Server.Observing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class MetricsEndpoint
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Where Prometheus looks by custom, not below /api/v1: its format has a version of its own.</summary>
    public static void MapMetrics(this IEndpointRouteBuilder web, ServerMetrics metrics) =>
        web.MapGet("/metrics", async (HttpContext http) =>
        {
            using var text = new MemoryStream(); // Whole before the first byte: a store that fails is an error, not half an answer.
            await metrics.WriteAsync(text, http.RequestAborted);
            http.Response.ContentType = ContentType;
            http.Response.ContentLength = text.Length;
            text.Position = 0;
            await text.CopyToAsync(http.Response.Body, http.RequestAborted);
        }).Needs(Permission.ReadMetrics);
}
