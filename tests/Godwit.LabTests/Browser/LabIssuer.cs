using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Godwit.LabTests.Cluster;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Godwit.LabTests.Browser;

/// <summary>
/// A small OpenID Connect issuer inside a lab's namespace, with a page on which a person says who they are, a key of RSA, and codes that
/// are good once, for who can show the verifier of their challenge.
/// </summary>
internal sealed class LabIssuer : IAsyncDisposable
{
    public const string Client = "godwit-console";
    private readonly ConcurrentDictionary<string, Asked> codes = new();
    private readonly RsaSecurityKey key = new(RSA.Create(2048)) { KeyId = "lab" };
    private readonly TcpListener listener;
    private readonly string url;
    private readonly WebApplication web;

    private LabIssuer(TcpListener listener, IPEndPoint at)
    {
        (this.listener, url) = (listener, $"http://{at}");
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenHandle((ulong)listener.Server.Handle));
        web = builder.Build();
        web.MapGet("/.well-known/openid-configuration", () => new
        {
            issuer = url, authorization_endpoint = $"{url}/authorize", token_endpoint = $"{url}/token", jwks_uri = $"{url}/keys",
            response_types_supported = new[] { "code" },
        });
        web.MapGet("/favicon.ico", () => Results.NoContent());
        web.MapGet("/keys", () => Results.Text($$"""{"keys":[{{Jwk()}}]}""", "application/json"));
        web.MapGet("/authorize", (HttpContext http) => Results.Text("<!DOCTYPE html><title>Issuer</title><h1>Who are you?</h1>"
            + $"<a href='/approve/ann/ops{http.Request.QueryString}'>ann of ops</a> "
            + $"<a href='/approve/bob/guests{http.Request.QueryString}'>bob of guests</a> "
            + $"<a href='/shown/ann/ops{http.Request.QueryString}'>ann, who only wants to see the answer</a>", "text/html"));
        web.MapGet("/approve/{person}/{group}", (string person, string group, HttpContext http) =>
            AnswerTo(person, group, http) is { } back ? Results.Redirect(back) : Results.BadRequest());
        web.MapGet("/shown/{person}/{group}", (string person, string group, HttpContext http) =>
            Results.Text(AnswerTo(person, group, http) ?? ""));
        web.MapPost("/token", (Delegate)TokenAsync);
    }

    public static async Task<LabIssuer> StartAsync(string inNamespace, IPEndPoint at)
    {
        var issuer = new LabIssuer(InNamespace.Listen(inNamespace, at), at);
        await issuer.web.StartAsync();
        return issuer;
    }

    public async ValueTask DisposeAsync()
    {
        await web.DisposeAsync();
        listener.Dispose();
    }

    /// <summary>Where the browser is sent back to, with a code; null: what it came with is no right question.</summary>
    private string? AnswerTo(string person, string group, HttpContext http)
    {
        var query = http.Request.Query;
        if (query["client_id"] != Client || query["response_type"] != "code" || query["code_challenge_method"] != "S256")
            return null;
        var code = WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(16));
        codes[code] = new Asked(person, group, query["code_challenge"]!, query["nonce"]!, query["redirect_uri"]!);
        return QueryHelpers.AddQueryString(query["redirect_uri"]!, new Dictionary<string, string?>
        {
            ["code"] = code, ["state"] = query["state"], ["iss"] = url,
        });
    }

    private async Task<IResult> TokenAsync(HttpContext http)
    {
        var form = await http.Request.ReadFormAsync();
        var challenge = WebEncoders.Base64UrlEncode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString())));
        return codes.TryRemove(form["code"].ToString(), out var asked) && asked.Challenge == challenge
            && asked.Redirect == form["redirect_uri"] && form["client_id"] == Client && form["grant_type"] == "authorization_code"
            ? Results.Json(new { token_type = "Bearer", access_token = "unused", id_token = Sign(asked) })
            : Results.Json(new { error = "invalid_grant" }, statusCode: 400);
    }

    private string Sign(Asked asked)
    {
        var now = DateTime.UtcNow;
        return new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
        {
            Issuer = url, Audience = Client, NotBefore = now, IssuedAt = now, Expires = now.AddMinutes(5),
            Claims = new Dictionary<string, object>
            {
                ["sub"] = $"number-of-{asked.Person}", ["preferred_username"] = asked.Person, ["nonce"] = asked.Nonce,
                ["groups"] = new[] { asked.Group },
            },
            SigningCredentials = new SigningCredentials(key, SecurityAlgorithms.RsaSha256),
        });
    }

    private string Jwk()
    {
        var open = key.Rsa.ExportParameters(includePrivateParameters: false);
        var (n, e) = (WebEncoders.Base64UrlEncode(open.Modulus!), WebEncoders.Base64UrlEncode(open.Exponent!));
        return $$"""{"kty":"RSA","use":"sig","alg":"RS256","kid":"{{key.KeyId}}","n":"{{n}}","e":"{{e}}"}""";
    }

    private sealed record Asked(string Person, string Group, string Challenge, string Nonce, string Redirect);
}
