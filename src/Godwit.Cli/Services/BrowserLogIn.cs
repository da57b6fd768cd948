using System.Net;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Godwit.Cli.Services;

/// <summary>
/// OpenID Connect for a program without a secret (RFC 8252): authorization code with PKCE (RFC 7636), the answer caught on
/// loopback. What is secret lives for one log-in.
/// </summary>
internal sealed class BrowserLogIn(OidcBeginView issuer, Action<string> show, TimeProvider time)
{
    private static readonly TimeSpan waitMax = TimeSpan.FromMinutes(5);

    private readonly OidcExchange exchange = OidcExchange.Begin(issuer);
    private readonly TaskCompletionSource<string> code = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <returns>The issuer's ID token.</returns>
    public async Task<string> RunAsync(CancellationToken cancel)
    {
        await using var loopback = Listener();
        await loopback.StartAsync(cancel);
        var redirect = $"{loopback.Urls.Single()}/";
        show($"Open this in a browser on this machine:\n{exchange.Question(redirect)}");
        string got;
        try
        {
            got = await code.Task.WaitAsync(waitMax, time, cancel);
        }
        catch (TimeoutException)
        {
            throw OidcExchange.Failed($"nobody logged in at {issuer.Issuer} within {waitMax.TotalMinutes} min");
        }
        return await exchange.RedeemAsync(got, redirect, cancel);
    }

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
        if (!exchange.IsAnswerTo(query["state"]))
            return Results.Text("This is not the log-in that godwit waits for.", statusCode: StatusCodes.Status400BadRequest);
        if (exchange.Problem(query["iss"].ToString(), query["error"].ToString(), query["error_description"].ToString()) is { } problem)
            code.TrySetException(problem);
        else if (query["code"].ToString() is { Length: > 0 } given) code.TrySetResult(given);
        else return Results.Text("There is no code in this answer.", statusCode: StatusCodes.Status400BadRequest);
        return Results.Text("godwit has its answer. This window may be closed.");
    }
}
