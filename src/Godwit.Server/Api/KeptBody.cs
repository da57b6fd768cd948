using Microsoft.AspNetCore.Http;

namespace Godwit.Server.Api;

/// <summary>A request's body, read once and kept for whoever reads it next: at most <see cref="ApiLimits.BodyBytesMax"/>.</summary>
internal static class KeptBody
{
    public static async Task<MemoryStream> OfAsync(HttpContext http)
    {
        if (http.Request.Body is MemoryStream kept) return kept;
        var body = new MemoryStream();
        var buffer = new byte[16 * 1024];
        int read;
        while ((read = await http.Request.Body.ReadAsync(buffer, http.RequestAborted)) > 0)
            body.Write(buffer, 0, read); // Kestrel ends it at the limit.
        body.Position = 0;
        http.Request.Body = body;
        return body;
    }
}
