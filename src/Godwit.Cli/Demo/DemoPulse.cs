using Godwit.Cli.Lab;
using Godwit.Cli.Screens;

namespace Godwit.Cli.Demo;

/// <summary>The guest's heartbeat while it is moved, asked of the prober a few times a second.</summary>
internal sealed class DemoPulse : IAsyncDisposable
{
    private static readonly TimeSpan between = TimeSpan.FromMilliseconds(200);

    private readonly CancellationTokenSource stop = new();
    private readonly Task asking;

    private DemoPulse(DemoGuest guest, string mark, TimeProvider time) => asking = AskAsync(guest, mark, time);

    /// <summary>Null until it was first heard.</summary>
    public string? Text { get; private set; }

    public static DemoPulse Start(DemoGuest guest, string mark, TimeProvider time) => new(guest, mark, time);

    public async ValueTask DisposeAsync()
    {
        stop.Cancel();
        await asking;
        stop.Dispose();
    }

    private async Task AskAsync(DemoGuest guest, string mark, TimeProvider time)
    {
        try
        {
            while (!stop.IsCancellationRequested)
            {
                var tally = (await guest.Lab.Prober.ReportAsync(mark)).Of(guest.Address);
                Text = $"♥ {Amounts.Count(tally.Beats)} beats heard, longest silence {Amounts.Milliseconds(tally.GapMs)}";
                await Task.Delay(between, time, stop.Token);
            }
        }
        catch (Exception reason) when (reason is OperationCanceledException or LabException)
        {
            // Only for show: the figures that count are read after the move, and fail loudly there.
        }
    }
}
