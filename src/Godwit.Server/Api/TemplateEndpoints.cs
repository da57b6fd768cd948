using Godwit.Core.Access;
using Godwit.Core.Vms;
using Godwit.Server.Templates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class TemplateEndpoints
{
    public static void MapTemplates(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/templates", (bool? all) => control.Views.TemplatesAsync(all ?? false)).Needs(Permission.SeeCluster);
        api.MapGet("/templates/{template}", (string template, int? version) => control.Views.TemplateAsync(template, version))
            .Needs(Permission.SeeCluster);
        api.MapGet("/templates/{template}/versions", (string template) => control.Views.TemplateVersionsAsync(template))
            .Needs(Permission.SeeCluster);
        api.MapPut("/templates/{template}",
            async Task<Created<TemplateView>> (string template, string? format, string? pool, string? host, bool? newVersion,
                string? note, HttpContext http) =>
            {
                var content = Unlimited(http);
                var wish = new ImportWish(template, format ?? "auto", pool, host)
                {
                    IsNewVersion = newVersion ?? false, Note = note, By = Gate.ActorOf(http).Name,
                };
                var (kept, kind) = await control.Templates.ImportAsync(wish, content, http.RequestAborted);
                var view = await control.Views.TemplateAsync(template, kept.Version);
                return TypedResults.Created($"/api/v1/templates/{template}", view with { ImportedAs = kind });
            }).Accepts<byte[]>("application/octet-stream").Needs(Permission.MakeVms);
        api.MapDelete("/templates/{template}", async Task<NoContent> (string template, int? version, CancellationToken leave) =>
        {
            await control.Templates.DeleteAsync(new TemplateChoice(template, version), leave);
            return TypedResults.NoContent();
        }).Needs(Permission.MakeVms);
    }

    /// <summary>An image has its own limit; a client that stands still for long is still cut off by Kestrel's data rate.</summary>
    private static Stream Unlimited(HttpContext http)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = ApiLimits.ImageBytesMax;
        return http.Request.Body;
    }
}
