using System.Diagnostics;
using System.Text.Json;

namespace Godwit.Cli.Lab;

/// <summary>
/// The listener on the guests' LAN: a C program, because a garbage collection must not look like a pause. One order is
/// under way at a time; its answer is the next line that is no event.
/// </summary>
public sealed class Prober : IAsyncDisposable
{
    private const int EventsMax = 1000;
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(10);
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private readonly Process _process;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Queue<ProberEvent> _events = [];
    private readonly TaskCompletionSource _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile TaskCompletionSource<string>? _answer;
    private readonly Task _reading;

    private Prober(Process process)
    {
        _process = process;
        _reading = ReadLinesAsync();
    }

    /// <param name="gapMs">Silences longer than this become events.</param>
    public static async Task<Prober> StartAsync(LabPlan plan, LabFolder folder, int gapMs = 20)
    {
        var prober = new Prober(LabShell.Start(
            LabNetwork.Inside(plan.LanNamespace, folder.Prober, "listen", $"{gapMs}")));
        await prober._listening.Task.WaitAsync(AnswerMax);
        return prober;
    }

    /// <summary>The last events, oldest first; at most 1000 are kept.</summary>
    public IReadOnlyList<ProberEvent> Events
    {
        get { lock (_events) return [.. _events]; }
    }

    /// <summary>Counting begins (again) under this name: letters, digits, dot, dash, underscore; 32 names at most.</summary>
    public Task MarkAsync(string name) => AskAsync($"mark {name}");

    public async Task<ProberReport> ReportAsync(string name) =>
        JsonSerializer.Deserialize<ProberReport>(await AskAsync($"report {name}"), Json)!;

    public Task ForgetAsync(string name) => AskAsync($"forget {name}");

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close(); // End of orders: it ends by itself.
        try
        {
            await _process.WaitForExitAsync().WaitAsync(AnswerMax);
        }
        catch (TimeoutException)
        {
            _process.Kill();
        }
        await _reading;
        _process.Dispose();
        _turn.Dispose();
    }

    private async Task<string> AskAsync(string order)
    {
        await _turn.WaitAsync();
        try
        {
            var answer = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
            _answer = answer;
            if (_reading.IsCompleted) throw new LabException("the prober has ended");
            await _process.StandardInput.WriteLineAsync(order);
            await _process.StandardInput.FlushAsync();
            var line = await answer.Task.WaitAsync(AnswerMax);
            return line.StartsWith("{\"error\"", StringComparison.Ordinal)
                ? throw new LabException($"prober, asked to {order}: {line}")
                : line;
        }
        finally
        {
            _answer = null;
            _turn.Release();
        }
    }

    private async Task ReadLinesAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("{\"event\"", StringComparison.Ordinal)) Note(line);
            else _answer?.TrySetResult(line);
        }
        var ended = new LabException($"the prober ended: {(await _process.StandardError.ReadToEndAsync()).Trim()}");
        _answer?.TrySetException(ended);
        _listening.TrySetException(ended);
    }

    private void Note(string line)
    {
        var happened = JsonSerializer.Deserialize<ProberEvent>(line, Json)!;
        if (happened.Event == "listening")
        {
            _listening.TrySetResult();
            return;
        }
        lock (_events)
        {
            if (_events.Count == EventsMax) _events.Dequeue();
            _events.Enqueue(happened);
        }
    }
}
