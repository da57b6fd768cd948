using System.Net.Sockets;
using System.Text;

namespace Godwit.Tests.Cli;

/// <summary>Answers HTTP on a unix socket word for word as told, right or wrong; remembers what it was asked.</summary>
internal sealed class ScriptedServer : IAsyncDisposable
{
    private readonly Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource stop = new();
    private readonly Dictionary<string, string> answers = [];
    private readonly List<(string Call, string Body)> heard = [];
    private readonly Task serving;

    public ScriptedServer()
    {
        SocketPath = Path.Combine(Path.GetTempPath(), $"godwit-{Guid.NewGuid():N}.sock");
        listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        listener.Listen(8);
        serving = ServeAsync();
    }

    public string SocketPath { get; }

    public IReadOnlyList<(string Call, string Body)> Heard
    {
        get { lock (heard) return [.. heard]; }
    }

    /// <param name="call">"GET /api/v1/vms".</param>
    public ScriptedServer On(string call, string json, string status = "200 OK", string type = "application/json") =>
        OnRaw(call, $"HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {Encoding.UTF8.GetByteCount(json)}"
            + $"\r\nConnection: close\r\n\r\n{json}");

    public ScriptedServer OnProblem(string call, string status, string json) =>
        On(call, json, status, "application/problem+json");

    /// <summary>Server-sent events, one a document; then the connection ends.</summary>
    public ScriptedServer OnEvents(string call, params string[] documents) =>
        OnRaw(call, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            + string.Concat(documents.Select((d, i) => $"id: {i + 1}\nevent: migration\ndata: {d}\n\n")));

    public ScriptedServer OnRaw(string call, string response)
    {
        answers[call] = response;
        return this;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Dispose();
        await serving;
        File.Delete(SocketPath);
    }

    private async Task ServeAsync()
    {
        var calls = new List<Task>();
        try
        {
            while (true) calls.Add(AnswerAsync(await listener.AcceptAsync(stop.Token)));
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
        await Task.WhenAll(calls);
    }

    private async Task AnswerAsync(Socket socket)
    {
        try
        {
            await using var stream = new NetworkStream(socket, ownsSocket: true);
            var (call, body) = await ReadRequestAsync(stream, stop.Token);
            lock (heard) heard.Add((call, body));
            var answer = answers.TryGetValue(call, out var told) ? told
                : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            await stream.WriteAsync(Encoding.UTF8.GetBytes(answer), stop.Token);
        }
        catch (Exception reason) when (reason is IOException or OperationCanceledException)
        {
            // The client left: what it makes of that is the test's business.
        }
    }

    private static async Task<(string Call, string Body)> ReadRequestAsync(Stream stream, CancellationToken cancel)
    {
        var text = "";
        var chunk = new byte[4096];
        while (!Complete(text))
        {
            var count = await stream.ReadAsync(chunk, cancel);
            if (count == 0) break;
            text += Encoding.Latin1.GetString(chunk, 0, count);
        }
        var parts = text.Split("\r\n\r\n", 2);
        var words = parts[0].Split("\r\n")[0].Split(' ');
        return ($"{words[0]} {words[1]}", Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(Unchunked(parts))));
    }

    private static bool Complete(string text)
    {
        var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0) return false;
        if (text.Contains("Transfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase))
            return text.EndsWith("0\r\n\r\n", StringComparison.Ordinal);
        var length = text.Split("\r\n").FirstOrDefault(l => l.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
        return text.Length - end - 4 >= (length is null ? 0 : int.Parse(length[15..]));
    }

    private static string Unchunked(string[] parts)
    {
        if (!parts[0].Contains("chunked", StringComparison.OrdinalIgnoreCase)) return parts[1];
        var lines = parts[1].Split("\r\n");
        return string.Concat(lines.Where((_, index) => index % 2 == 1));
    }
}
