using System.Threading.Channels;
using Godwit.Client;
using Godwit.Server.Api;
using Microsoft.AspNetCore.Components;

namespace Godwit.WebConsole.Live;

/// <summary>
/// A page that shows what is now: it reads as it opens, again soon after an event that concerns it, and every so often besides. One
/// reading at a time, with a pause between two, so that a storm of events costs no more than a few readings a second.
/// </summary>
public abstract class LivePage : ComponentBase, IDisposable
{
    private static readonly TimeSpan pauseMin = TimeSpan.FromMilliseconds(300);

    private readonly CancellationTokenSource stop = new();
    private readonly Channel<bool> wakes = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    [Inject] protected PersonsApi Api { get; set; } = null!;
    [Inject] protected LiveFeed Feed { get; set; } = null!;
    [Inject] protected Person Person { get; set; } = null!;
    [Inject] protected Notices Notices { get; set; } = null!;
    [Inject] protected TimeProvider Time { get; set; } = null!;
    [Inject] protected NavigationManager Navigation { get; set; } = null!;

    /// <summary>Why the last reading failed; what was read before is still shown.</summary>
    protected ApiError? Problem { get; private set; }
    /// <summary>Something was read: before that there is nothing to show, and nothing to say about it.</summary>
    protected bool IsRead { get; private set; }
    /// <summary>Ends as the page is left.</summary>
    protected CancellationToken Left => stop.Token;
    /// <summary>For loads and what else has no event.</summary>
    protected virtual TimeSpan ReadEvery => TimeSpan.FromSeconds(10);

    /// <summary>Reads all that is shown, through the API. Runs on the circuit: it may set fields.</summary>
    protected abstract Task ReadAsync(CancellationToken cancel);

    /// <summary>False: this event changes nothing here.</summary>
    protected virtual bool Concerns(EventView happened) => true;

    protected override void OnInitialized()
    {
        Feed.Happened += OnHappened;
        Feed.Begin();
        _ = RunAsync();
    }

    /// <summary>Read again at once: something was done here.</summary>
    protected void ReadSoon() => wakes.Writer.TryWrite(true);

    /// <summary>Does what a person asked for; what stands against it is told as the API tells it.</summary>
    /// <returns>True where it was done.</returns>
    protected async Task<bool> DoAsync(Func<Task> act, string? done = null)
    {
        try
        {
            await act();
            if (done is not null) Notices.Tell(done);
            return true;
        }
        catch (ApiException reason)
        {
            Notices.Tell(reason.Error);
            return false;
        }
        finally
        {
            ReadSoon();
        }
    }

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        Feed.Happened -= OnHappened;
        stop.Cancel();
        stop.Dispose();
    }

    private void OnHappened(EventView happened)
    {
        if (Concerns(happened)) ReadSoon();
    }

    private async Task RunAsync()
    {
        var leave = stop.Token;
        try
        {
            while (!leave.IsCancellationRequested)
            {
                await ReadOnceAsync(leave);
                await Task.Delay(pauseMin, Time, leave);
                await WaitAsync(leave);
            }
        }
        catch (OperationCanceledException)
        {
            // The page was left.
        }
    }

    private async Task ReadOnceAsync(CancellationToken leave)
    {
        try
        {
            await Person.KnowAsync(leave);
            await ReadAsync(leave);
            (Problem, IsRead) = (null, true);
        }
        catch (ApiException reason)
        {
            Problem = reason.Error;
        }
        leave.ThrowIfCancellationRequested();
        StateHasChanged();
    }

    private async Task WaitAsync(CancellationToken leave)
    {
        using var timer = Time.CreateTimer(_ => ReadSoon(), null, ReadEvery, Timeout.InfiniteTimeSpan);
        await wakes.Reader.ReadAsync(leave);
    }
}
