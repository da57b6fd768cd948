using System.Text.Json;
using Godwit.Core.Ports;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Api;

/// <summary>Whatever goes wrong below leaves as one <see cref="ApiProblem"/>, also what ASP.NET answers by itself.</summary>
public sealed class ApiErrors(RequestDelegate next, ILogger<ApiErrors> log)
{
    public const string ContentType = "application/problem+json";

    public async Task InvokeAsync(HttpContext http)
    {
        http.Response.OnStarting(() =>
        {
            http.Response.Headers.XContentTypeOptions = "nosniff"; // JSON stays JSON, whatever a browser would like it to be.
            return Task.CompletedTask;
        });
        try
        {
            await next(http);
            var bare = http.Response is { HasStarted: false, StatusCode: >= 400, ContentLength: null, ContentType: null };
            if (bare) await WriteAsync(http, Problems.OfStatus(http.Response.StatusCode));
        }
        catch (Exception) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client has left: nobody is there to be told.
        }
        catch (Exception failure) when (!http.Response.HasStarted)
        {
            var problem = Problems.From(failure, new ProblemPlace(http.Request.RouteValues.GetValueOrDefault("vm") as string));
            // A host that does not answer is no fault of the server's: its cause says it all.
            if (failure is AgentUnreachableException)
                log.LogWarning("{Method} {Path}: {Cause}", http.Request.Method, http.Request.Path, problem.Cause);
            else if (problem.Status >= 500)
                log.LogError(failure, "{Method} {Path} failed", http.Request.Method, http.Request.Path);
            await WriteAsync(http, problem);
        }
    }

    public static async Task WriteAsync(HttpContext http, ApiProblem problem)
    {
        var request = http.Response.Headers[GateHeaders.Request];
        http.Response.Clear();
        http.Response.Headers[GateHeaders.Request] = request;
        if (problem.Status == StatusCodes.Status401Unauthorized) http.Response.Headers.WWWAuthenticate = "Bearer";
        http.Features.Set(problem); // For the audit.
        http.Response.StatusCode = problem.Status;
        http.Response.ContentType = ContentType;
        await http.Response.Body.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(problem, ApiJson.Strict), http.RequestAborted);
    }
}
