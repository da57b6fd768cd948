using System.Text;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Audit;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>What the audit says of a request. Everything a client sent is cut to a length and escaped.</summary>
internal static class AuditNotes
{
    private const int ObjectCharsMax = 300, DetailCharsMax = 2_000, SourceCharsMax = 60;
    private const string Root = "/api/v1/";

    /// <summary>Looking is none; sitting down at a guest's console is.</summary>
    public static bool IsAction(HttpContext http, Permission permission) =>
        permission == Permission.UseConsoles || !(HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method));

    public static AuditEntry Entry(HttpContext http, string request, Actor? actor) => new(
        request, actor?.Name ?? "-", actor is null ? null : Fields.Word(actor.Role), SourceOf(http), actor?.Token,
        ActionOf(http), ObjectOf(http));

    public static string SourceOf(HttpContext http) => PageRequests.PersonAtOf(http) is { } person ? Cut(person, SourceCharsMax)
        : http.Features.Get<LocalPeer>() is { } local ? $"local, pid {local.Pid}"
        : http.Connection.RemoteIpAddress is { } address ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString()
        : "unknown";

    public static string ActionOf(HttpContext http) =>
        http.GetEndpoint() is RouteEndpoint route ? $"{http.Request.Method} {Short("/" + route.RoutePattern.RawText?.TrimStart('/'))}"
        : "(no such route)";

    /// <summary>What an endpoint said it is about, where its path does not; else path and query.</summary>
    public static string ObjectOf(HttpContext http) => http.Features.Get<Named>()?.Object
        ?? Cut(Short(http.Request.Path.ToUriComponent()) + http.Request.QueryString.ToUriComponent(), ObjectCharsMax);

    public static void Name(HttpContext http, string thing) => http.Features.Set(new Named(Cut(thing, ObjectCharsMax)));

    public static async Task<string?> BodyAsync(HttpContext http)
    {
        var body = await KeptBody.OfAsync(http);
        if (body.Length == 0) return null;
        var text = Encoding.UTF8.GetString(body.GetBuffer(), 0, (int)Math.Min(body.Length, DetailCharsMax * 4));
        return Cut(string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c)), DetailCharsMax);
    }

    public static string ResultOf(HttpContext http) => http.Response.StatusCode switch
    {
        < 400 => AuditResult.Done,
        StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden => AuditResult.Refused,
        _ => AuditResult.Failed,
    };

    /// <summary><c>201 /api/v1/vms/web1</c>, <c>409 vm-busy</c>.</summary>
    public static string EndOf(HttpContext http) => Cut(string.Join(' ', new[]
    {
        http.Response.StatusCode.ToString(System.Globalization.CultureInfo.InvariantCulture),
        http.Features.Get<ApiProblem>()?.Code ?? http.Response.Headers.Location.ToString(),
    }.Where(part => part.Length > 0)), ObjectCharsMax);

    private static string Short(string path) => path.StartsWith(Root, StringComparison.Ordinal) ? path[Root.Length..] : path;

    private static string Cut(string text, int charsMax) => text.Length <= charsMax ? text : text[..(charsMax - 1)] + "…";

    private sealed record Named(string Object);
}
