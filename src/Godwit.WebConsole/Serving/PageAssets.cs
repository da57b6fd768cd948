using System.IO.Compression;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Godwit.Core.Access;
using Godwit.Server.Api;
using Godwit.WebConsole.Look;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// Style, scripts and the font, out of this assembly. An address holds the hash of what is there, so a browser keeps it for good
/// and never mixes two versions; what names its parts by relative paths has one hash for all of them. Nothing in them is secret: who
/// sees them learns that there is a console.
/// </summary>
public static class PageAssets
{
    private static readonly Dictionary<string, string> typeOfEnding = new()
    {
        [".css"] = "text/css", [".js"] = "text/javascript", [".woff2"] = "font/woff2", [".svg"] = "image/svg+xml",
    };

    /// <summary>Modules that load each other: one address for all, as they change together.</summary>
    private const string Viewer = "novnc/";

    private static readonly Lazy<Dictionary<string, Asset>> all = new(Read);

    /// <summary>Where a browser finds it: <c>/assets/8f2c…/console.css</c>.</summary>
    public static string Address(string name) => $"assets/{all.Value[name].Version}/{name}";

    public static void MapTo(IEndpointRouteBuilder web) =>
        web.MapMethods("/assets/{version}/{**name}", [HttpMethods.Get], Send)
            .Needs(Permission.Anyone, Traits.Page).ExcludeFromDescription();

    private static async Task Send(string version, string name, HttpContext http)
    {
        if (!all.Value.TryGetValue(name, out var asset) || asset.Version != version)
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        var packed = http.Request.Headers.AcceptEncoding.ToString().Contains("br", StringComparison.Ordinal) ? asset.Packed.Value : null;
        http.Response.ContentType = asset.Type;
        http.Response.Headers.CacheControl = "public, max-age=31536000, immutable";
        http.Response.Headers.Vary = "Accept-Encoding";
        if (packed is not null) http.Response.Headers.ContentEncoding = "br";
        var body = packed ?? asset.Content;
        http.Response.ContentLength = body.Length;
        await http.Response.Body.WriteAsync(body, http.RequestAborted);
    }

    private static Dictionary<string, Asset> Read()
    {
        const string prefix = "asset/";
        var assembly = Assembly.GetExecutingAssembly();
        var found = assembly.GetManifestResourceNames().Where(name => name.StartsWith(prefix, StringComparison.Ordinal))
            .Where(name => typeOfEnding.ContainsKey(Path.GetExtension(name)))
            .ToDictionary(name => name[prefix.Length..], name => Bytes(assembly, name));
        // The style names the font by its address, which holds its hash.
        var font = $"/assets/{Version(found["inter.woff2"])}/inter.woff2";
        found["console.css"] = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(found["console.css"]).Replace("inter.woff2", font));
        found["theme.css"] = Encoding.UTF8.GetBytes(ThemeSheet.Of(ConsoleTheme.Made));
        var viewer = Version([.. found.Where(one => IsOfViewer(one.Key)).OrderBy(one => one.Key, StringComparer.Ordinal)
            .SelectMany(one => SHA256.HashData(one.Value))]);
        return found.ToDictionary(one => one.Key, one => new Asset(
            IsOfViewer(one.Key) ? viewer : Version(one.Value), typeOfEnding[Path.GetExtension(one.Key)], one.Value,
            new(() => Pack(one.Key, one.Value))));
    }

    private static bool IsOfViewer(string name) => name.StartsWith(Viewer, StringComparison.Ordinal);

    private static byte[] Bytes(Assembly assembly, string name)
    {
        using var stream = assembly.GetManifestResourceStream(name)!;
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        return copy.ToArray();
    }

    /// <summary>Once each, as it is first asked for. Null where that gains nothing.</summary>
    private static byte[]? Pack(string name, byte[] content)
    {
        if (name.EndsWith(".woff2", StringComparison.Ordinal)) return null;
        using var packed = new MemoryStream();
        using (var brotli = new BrotliStream(packed, CompressionLevel.Optimal)) brotli.Write(content);
        return packed.ToArray();
    }

    private static string Version(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content))[..16];

    private sealed record Asset(string Version, string Type, byte[] Content, Lazy<byte[]?> Packed);
}
