using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Client;
using Godwit.WebConsole.Shell;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Godwit.WebConsole.Serving;

/// <summary>
/// Log-in through the issuer the server trusts: the browser goes there and comes back with a code. What ties the two together is in a
/// cookie of its own, encrypted, for ten minutes; it goes along when the issuer sends the browser back (SameSite=Lax), which the session's
/// does not.
/// </summary>
public sealed class IssuerLogIn(ServerSocket socket, SessionCookie session, IDataProtectionProvider protection)
{
    public const string BeginPath = "/login/issuer", AnswerPath = "/login/issuer/answer";
    private const string Name = "__Host-godwit-issuer";
    private static readonly TimeSpan life = TimeSpan.FromMinutes(10);
    private readonly ITimeLimitedDataProtector protector = protection.CreateProtector("issuer").ToTimeLimitedDataProtector();

    public async Task<IResult> BeginAsync(HttpContext http)
    {
        try
        {
            using var client = ClientOf(http);
            var exchange = OidcExchange.Begin(await new AccessApi(client).BeginOidcAsync(http.RequestAborted));
            http.Response.Cookies.Append(Name, protector.Protect(JsonSerializer.Serialize(exchange), life), Options());
            return TypedResults.Redirect(exchange.Question(Redirect(http)));
        }
        catch (ApiException reason)
        {
            return Page(reason.Error);
        }
    }

    public async Task<IResult> AnswerAsync(HttpContext http)
    {
        var query = http.Request.Query;
        try
        {
            if (Kept(http) is not { } exchange || !exchange.IsAnswerTo(query["state"]))
                throw OidcExchange.Failed("this is no answer to a log-in that was begun in this browser");
            http.Response.Cookies.Delete(Name, Options());
            if (exchange.Problem(query["iss"].ToString(), query["error"].ToString(), query["error_description"].ToString()) is { } problem)
                throw problem;
            var idToken = await exchange.RedeemAsync(query["code"].ToString(), Redirect(http), http.RequestAborted);
            using var client = ClientOf(http);
            var made = await new AccessApi(client).LogInOidcAsync(idToken, http.RequestAborted);
            session.Write(http, made.Text, made.Token.ExpiresAt);
            // Not a redirect: the browser came from another site, and would leave the session's cookie out.
            return new RazorComponentResult<LoggedInPage>();
        }
        catch (ApiException reason)
        {
            return Page(reason.Error);
        }
    }

    private OidcExchange? Kept(HttpContext http)
    {
        try
        {
            return http.Request.Cookies[Name] is { Length: > 0 and < 6_000 } kept
                ? JsonSerializer.Deserialize<OidcExchange>(protector.Unprotect(kept)) : null;
        }
        catch (Exception reason) when (reason is CryptographicException or JsonException)
        {
            return null;
        }
    }

    private ApiClient ClientOf(HttpContext http) => new(new OwnServerWay(socket, null, SessionCookie.SourceOf(http)));

    private static RazorComponentResult<IssuerFailedPage> Page(ApiError error) =>
        new(new Dictionary<string, object?> { [nameof(IssuerFailedPage.Error)] = error });

    private static string Redirect(HttpContext http) => $"https://{http.Request.Host}{AnswerPath}";

    private static CookieOptions Options() => new()
    { Secure = true, HttpOnly = true, SameSite = SameSiteMode.Lax, Path = "/", MaxAge = life, IsEssential = true };
}
