using System.Net.Http.Headers;
using Godwit.Client;

namespace Godwit.WebConsole.Serving;

/// <param name="Path">Where this very server listens for what comes from inside.</param>
public sealed record ServerSocket(string Path);

/// <summary>
/// The console's way to the server it is part of: its socket, as a client like any other. Each request says where its person sits, and
/// with that it is nobody unless the token says otherwise: the console has no rights of its own.
/// </summary>
/// <param name="token">Null: nobody yet, at the log-in.</param>
/// <param name="source">The browser's address, for the audit and the bound on guessing passwords.</param>
public sealed class OwnServerWay(ServerSocket socket, string? token, string source) : IServerWay
{
    private const string PersonAt = "Godwit-Person-At";

    public Uri Base { get; } = new("http://godwit");
    public string Place => "this server";
    public ApiError? Unusable => null;

    public HttpMessageHandler NewHandler() => new Signing(token, source) { InnerHandler = LocalSocket.Handler(socket.Path) };

    public ApiError NobodyListens(string? why) =>
        new("server-not-reachable", $"the server does not answer: {why}") { Next = "wait a moment; it may be starting again" };

    public ApiError NotTrusted(string why) => NobodyListens(why);

    private sealed class Signing(string? token, string source) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel)
        {
            request.Headers.Add(PersonAt, source);
            if (token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            return base.SendAsync(request, cancel);
        }
    }
}
