using Godwit.Client;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Live;

/// <summary>
/// What happens in the cluster, by the same stream of events the command line reads: one a circuit, whatever its pages show.
/// It takes up again after the last event it saw when the server was away.
/// </summary>
public sealed class LiveFeed(PersonsApi api, TimeProvider time) : IDisposable
{
    private const int KeptMax = 200;
    private static readonly TimeSpan againMin = TimeSpan.FromSeconds(1), againMax = TimeSpan.FromSeconds(15);

    private readonly CancellationTokenSource stop = new();
    private readonly LinkedList<EventView> kept = [];
    private Task? running;

    /// <summary>On whatever thread heard it.</summary>
    public event Action<EventView>? Happened;
    /// <summary>Connected, cut off, or logged out.</summary>
    public event Action? Changed;

    public bool IsConnected { get; private set; }
    /// <summary>The token is not taken any more: only a new log-in helps.</summary>
    public bool IsLoggedOut { get; private set; }

    /// <summary>The newest first, since this circuit began.</summary>
    public IReadOnlyList<EventView> Newest
    {
        get
        {
            lock (kept) return [.. kept];
        }
    }

    /// <summary>Listens from now on; once is enough.</summary>
    public void Begin() => running ??= ListenAsync();

    public void Dispose()
    {
        stop.Cancel();
        stop.Dispose();
    }

    private async Task ListenAsync()
    {
        var leave = stop.Token;
        string? after = null;
        for (var wait = againMin; !leave.IsCancellationRequested && !IsLoggedOut;)
        {
            try
            {
                Set(connected: true);
                await foreach (var happened in api.Calls.EventsAsync(after, leave))
                {
                    wait = againMin;
                    after = happened.Seq.ToString(System.Globalization.CultureInfo.InvariantCulture);
                    Keep(happened);
                    Happened?.Invoke(happened);
                }
            }
            catch (ApiException reason)
            {
                IsLoggedOut = reason.Error.Code is "token-invalid" or "token-missing";
            }
            catch (OperationCanceledException)
            {
                return;
            }
            Set(connected: false);
            try
            {
                await Task.Delay(wait, time, leave);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            wait = wait * 2 < againMax ? wait * 2 : againMax;
        }
    }

    private void Keep(EventView happened)
    {
        lock (kept)
        {
            kept.AddFirst(happened);
            if (kept.Count > KeptMax) kept.RemoveLast();
        }
    }

    private void Set(bool connected)
    {
        if (IsConnected == connected && !IsLoggedOut) return;
        IsConnected = connected;
        Changed?.Invoke();
    }
}
