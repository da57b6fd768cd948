using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Godwit.Core;

namespace Godwit.Client;

/// <summary>
/// HTTP to one server, whichever way leads there. Every failure comes out as an
/// <see cref="ApiException"/>: what the server said (problem+json), or one sentence about why nothing was heard from it.
/// </summary>
public sealed class ApiClient : IDisposable
{
    public const string Root = "/api/v1/";
    /// <summary>What goes to the server is strict there; what comes from a newer one may have more members.</summary>
    private static readonly JsonSerializerOptions Wire = Server.Api.ApiJson.Lenient;
    private const int BodyBytesMax = 16 << 20;

    private readonly IServerWay way;
    private readonly HttpClient http;

    public ApiClient(IServerWay way)
    {
        this.way = way;
        // Imports and event streams last as long as they last; short calls get their own deadline below.
        http = new HttpClient(way.NewHandler())
        {
            BaseAddress = new Uri(way.Base, Root), Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = BodyBytesMax,
        };
    }

    /// <summary>For a call that only reads or writes the store; one that works on a host may take longer.</summary>
    public static TimeSpan AnswerTimeMax { get; } = TimeSpan.FromSeconds(30);

    public Task<T> GetAsync<T>(string path, CancellationToken cancel) =>
        ReadAsync<T>(HttpMethod.Get, path, null, AnswerTimeMax, cancel);

    /// <summary>Where the same address is a stream for whoever does not ask for JSON.</summary>
    public async Task<IReadOnlyList<T>> GetListAsync<T>(string path, CancellationToken cancel)
    {
        using var answer = await AskAsync(HttpMethod.Get, path, null, AnswerTimeMax, cancel, accept: "application/json");
        return await HeardAsync(() => answer.Content.ReadFromJsonAsync<IReadOnlyList<T>>(Wire, cancel)) ?? [];
    }

    /// <param name="timeMax">A stop waits for the guest, a save for the disk; null waits without end.</param>
    public Task<T> SendAsync<T>(HttpMethod method, string path, object? body, TimeSpan? timeMax, CancellationToken cancel) =>
        ReadAsync<T>(method, path, Content(body), timeMax, cancel);

    public async Task SendAsync(HttpMethod method, string path, object? body, TimeSpan? timeMax, CancellationToken cancel)
    {
        using var answer = await AskAsync(method, path, Content(body), timeMax, cancel);
    }

    public async Task<T> UploadAsync<T>(HttpMethod method, string path, Stream content, CancellationToken cancel)
    {
        var body = new StreamContent(content, bufferSize: 1 << 20);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        return await ReadAsync<T>(method, path, body, null, cancel);
    }

    public async Task<byte[]> DownloadAsync(HttpMethod method, string path, object? body, CancellationToken cancel)
    {
        using var answer = await AskAsync(method, path, Content(body), AnswerTimeMax, cancel);
        return await HeardAsync(() => answer.Content.ReadAsByteArrayAsync(cancel));
    }

    /// <summary>An answer as it is, for who passes it on.</summary>
    /// <param name="accept">The media type wanted: of some paths it decides what is answered.</param>
    public async Task<string> TextAsync(string path, string accept, TimeSpan timeMax, CancellationToken cancel)
    {
        using var answer = await AskAsync(HttpMethod.Get, path, null, timeMax, cancel, accept);
        return await HeardAsync(() => answer.Content.ReadAsStringAsync(cancel));
    }

    /// <summary>Server-sent events until the server closes the stream or <paramref name="cancel"/>.</summary>
    /// <param name="after">Id of the last event seen, to go on after it; null begins now.</param>
    public async IAsyncEnumerable<(string Kind, string Id, T Data)> EventsAsync<T>(
        string path, string? after, [EnumeratorCancellation] CancellationToken cancel)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.ParseAdd("text/event-stream");
        if (after is not null) request.Headers.Add("Last-Event-ID", after);
        using var answer = await HeardAsync(() => http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel));
        await ThrowIfErrorAsync(answer, cancel);
        await using var stream = await answer.Content.ReadAsStreamAsync(cancel);
        var parser = SseParser.Create(stream, (_, data) => JsonSerializer.Deserialize<T>(data, Wire));

        await using var events = parser.EnumerateAsync(cancel).GetAsyncEnumerator(cancel);
        while (await HeardAsync(async () => await events.MoveNextAsync()))
        {
            if (events.Current.Data is { } data) yield return (events.Current.EventType, parser.LastEventId, data);
        }
    }

    /// <summary>A connection of its own, for a protocol that is not plain HTTP (the console's WebSocket).</summary>
    public HttpMessageInvoker NewConnection() => new(way.NewHandler());

    public Uri WebSocketOf(string path) =>
        new UriBuilder(new Uri(http.BaseAddress!, path)) { Scheme = way.Base.Scheme == Uri.UriSchemeHttp ? "ws" : "wss" }.Uri;

    public void Dispose() => http.Dispose();

    private static JsonContent? Content(object? body) =>
        body is null ? null : JsonContent.Create(body, body.GetType(), options: Wire);

    private async Task<T> ReadAsync<T>(
        HttpMethod method, string path, HttpContent? body, TimeSpan? timeMax, CancellationToken cancel)
    {
        using var answer = await AskAsync(method, path, body, timeMax, cancel);
        return await HeardAsync(() => answer.Content.ReadFromJsonAsync<T>(Wire, cancel))
            ?? throw Garbled($"{method} {Root}{path} was answered with nothing", null);
    }

    private async Task<HttpResponseMessage> AskAsync(
        HttpMethod method, string path, HttpContent? body, TimeSpan? timeMax, CancellationToken cancel, string? accept = null)
    {
        using var deadline = new CancellationTokenSource(timeMax ?? Timeout.InfiniteTimeSpan);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancel);
        try
        {
            using var request = new HttpRequestMessage(method, path) { Content = body };
            if (accept is not null) request.Headers.Accept.ParseAdd(accept);
            var answer = await HeardAsync(() => http.SendAsync(request, either.Token));
            await ThrowIfErrorAsync(answer, either.Token);
            return answer;
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new ApiException(new ApiError("server-slow",
                $"the server did not answer {method} {Root}{path} within {timeMax!.Value.TotalSeconds:0} s")
            { Next = "what was asked for may still be done: look with the list and show commands before asking again" });
        }
    }

    private static async Task ThrowIfErrorAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        if (answer.IsSuccessStatusCode) return;
        using (answer)
        {
            var problem = await ReadProblemAsync(answer, cancel);
            throw new ApiException(problem ?? new ApiError("server-error",
                $"the server answered {(int)answer.StatusCode} {answer.ReasonPhrase} and no reason")
            {
                Next = answer.StatusCode == HttpStatusCode.NotFound
                    ? "see whether the server is as new as this godwit" : "look into the server's log",
            });
        }
    }

    private static async Task<ApiError?> ReadProblemAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        if (answer.Content.Headers.ContentType?.MediaType is not ("application/problem+json" or "application/json"))
            return null;
        try
        {
            var problem = await answer.Content.ReadFromJsonAsync<Problem>(Wire, cancel);
            var cause = problem?.Cause ?? problem?.Detail ?? problem?.Title;
            return problem is null || cause is null ? null : new ApiError(problem.Code ?? "server-error", cause)
            {
                Phase = problem.Phase, Side = problem.Side, Vm = problem.Vm, From = problem.From, To = problem.To,
                Next = problem.Next, Reasons = problem.Reasons ?? [],
            };
        }
        catch (JsonException)
        {
            return null; // Not a problem document after all: the status line is what is left to report.
        }
    }

    /// <summary>Turns what the transport throws into an error that names the server and what to do.</summary>
    private async Task<T> HeardAsync<T>(Func<Task<T>> ask)
    {
        if (way.Unusable is { } unusable) throw new ApiException(unusable);
        try
        {
            return await ask();
        }
        catch (HttpRequestException reason) when (reason.HttpRequestError
            is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError)
        {
            throw new ApiException(way.NobodyListens(reason.InnerException?.Message ?? reason.Message), reason);
        }
        catch (HttpRequestException reason) when (reason.HttpRequestError == HttpRequestError.SecureConnectionError)
        {
            throw new ApiException(way.NotTrusted(reason.InnerException?.Message ?? reason.Message), reason);
        }
        catch (Exception reason) when (reason is HttpRequestException or IOException)
        {
            throw Garbled("the server closed the connection before it had answered", reason);
        }
        catch (JsonException reason)
        {
            throw Garbled("the server's answer is not the JSON this godwit knows", reason);
        }
    }

    private ApiException Garbled(string what, Exception? reason) =>
        new(new ApiError("server-answer-broken", $"{what} ({way.Place})")
        {
            Next = "see whether the server runs and is of the same version: its log says more",
        }, reason);

    /// <summary>The server's ApiProblem, of which a proxy's or an older server's answer may lack any member.</summary>
    private sealed record Problem(
        string? Code, string? Title, string? Detail, string? Cause, string? Phase, string? Side, string? Vm,
        string? From, string? To, string? Next, IReadOnlyList<Refusal>? Reasons);
}
