using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using Godwit.Cli.Api;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;

namespace Godwit.Cli.Services;

/// <summary>
/// OpenID Connect for a program without a secret (RFC 8252): authorization code with PKCE (RFC 7636), the answer caught on
/// loopback. What is secret here lives for one log-in: <c>state</c> ties the answer to our question, the verifier ties the code to
/// us. The token that comes is not read here: the server proves it, with the nonce it gave.
/// </summary>
internal sealed class BrowserLogIn(OidcBeginView issuer, Action<string> show, TimeProvider time)
{
    private const int AnswerBytesMax = 1 << 20;
    private static readonly TimeSpan waitMax = TimeSpan.FromMinutes(5), tokenMax = TimeSpan.FromSeconds(30);

    private readonly string state = Random(16), verifier = Random(32);
    private readonly TaskCompletionSource<string> code = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <returns>The issuer's ID token.</returns>
    public async Task<string> RunAsync(CancellationToken cancel)
    {
        await using var loopback = Listener();
        await loopback.StartAsync(cancel);
        var redirect = $"{loopback.Urls.Single()}/";
        show($"Open this in a browser on this machine:\n{Question(redirect)}");
        string got;
        try
        {
            got = await code.Task.WaitAsync(waitMax, time, cancel);
        }
        catch (TimeoutException)
        {
            throw Failed($"nobody logged in at {issuer.Issuer} within {waitMax.TotalMinutes} min");
        }
        return await RedeemAsync(got, redirect, cancel);
    }

    private string Question(string redirect) => QueryHelpers.AddQueryString(issuer.AuthorizationEndpoint, new Dictionary<string, string?>
    {
        ["response_type"] = "code", ["client_id"] = issuer.ClientId, ["redirect_uri"] = redirect, ["scope"] = issuer.Scope,
        ["state"] = state, ["nonce"] = issuer.Nonce, ["code_challenge_method"] = "S256",
        ["code_challenge"] = WebEncoders.Base64UrlEncode(SHA256.HashData(Encoding.ASCII.GetBytes(verifier))),
    });

    private WebApplication Listener()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var web = builder.Build();
        web.MapGet("/", Answer);
        return web;
    }

    /// <summary>Any page in the browser can call this: without our state it changes nothing.</summary>
    private IResult Answer(HttpContext http)
    {
        var query = http.Request.Query;
        if (!CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(query["state"].ToString()), Encoding.UTF8.GetBytes(state)))
            return Results.Text("This is not the log-in that godwit waits for.", statusCode: StatusCodes.Status400BadRequest);
        if (query["iss"].Count > 0 && query["iss"] != issuer.Issuer) // RFC 9207: two issuers must not be mixed up.
            code.TrySetException(Failed($"the answer came from {Plain(query["iss"]!)}, not from {issuer.Issuer}"));
        else if (query["error"].Count > 0)
            code.TrySetException(Failed($"{issuer.Issuer} says {Plain(query["error"]!)}: {Plain(query["error_description"].ToString())}"));
        else if (query["code"].ToString() is { Length: > 0 } given) code.TrySetResult(given);
        else return Results.Text("There is no code in this answer.", statusCode: StatusCodes.Status400BadRequest);
        return Results.Text("godwit has its answer. This window may be closed.");
    }

    private async Task<string> RedeemAsync(string given, string redirect, CancellationToken cancel)
    {
        using var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        { Timeout = tokenMax, MaxResponseContentBufferSize = AnswerBytesMax };
        using var form = new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["grant_type"] = "authorization_code", ["code"] = given, ["redirect_uri"] = redirect,
            ["client_id"] = issuer.ClientId, ["code_verifier"] = verifier,
        });
        try
        {
            using var answer = await client.PostAsync(new Uri(issuer.TokenEndpoint), form, cancel);
            var tokens = await answer.Content.ReadFromJsonAsync<Tokens>(cancel);
            return answer.IsSuccessStatusCode && tokens?.IdToken is { Length: > 0 } id ? id
                : throw Failed($"{issuer.TokenEndpoint} gave no ID token: {(int)answer.StatusCode} {Plain(tokens?.Error ?? "")}");
        }
        catch (Exception reason) when (reason is HttpRequestException or System.Text.Json.JsonException
            || (reason is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            throw Failed($"{issuer.TokenEndpoint} does not answer as an issuer does: {reason.Message}");
        }
    }

    private static string Random(int bytes) => WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(bytes));

    private static string Plain(string text) => string.Concat(text.Take(200).Select(c => char.IsControl(c) ? ' ' : c));

    private static ApiException Failed(string why) => new(new ApiError("login-failed", why) { Next = "try again: godwit login --oidc" });

    private sealed record Tokens(
        [property: JsonPropertyName("id_token")] string? IdToken, [property: JsonPropertyName("error")] string? Error);
}
