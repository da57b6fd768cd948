using Godwit.Client;
using Godwit.Server.Power;

namespace Godwit.Cli.Upgrade;

/// <summary>
/// From its making to its end the server turns no host off by itself. The server forgets it within minutes where it is not asked
/// again, so a window that is closed holds nothing; a mode that was switched off here might stay off.
/// </summary>
internal sealed class PowerHolding : IAsyncDisposable
{
    private static readonly TimeSpan againEvery = TimeSpan.FromMinutes(1);
    /// <summary>Two that get lost do not end it.</summary>
    private static readonly PowerHoldWish wish = new(Seconds: 210, "a rolling upgrade");

    private readonly CancellationTokenSource ends = new();
    private readonly Task loop;

    private PowerHolding(Session session) => loop = RepeatAsync(session);

    /// <summary>Throws <see cref="ApiException"/> where the server does not hold.</summary>
    public static async Task<PowerHolding> BeginAsync(Session session, CancellationToken cancel)
    {
        await session.Api.HoldPowerAsync(wish, cancel);
        return new PowerHolding(session);
    }

    public async ValueTask DisposeAsync()
    {
        await ends.CancelAsync();
        await loop;
        ends.Dispose();
    }

    private async Task RepeatAsync(Session session)
    {
        try
        {
            while (true)
            {
                await Task.Delay(againEvery, session.Time, ends.Token);
                try { await session.Api.HoldPowerAsync(wish, ends.Token); }
                catch (ApiException) { } // Whoever does not answer hears it in a minute again.
            }
        }
        catch (OperationCanceledException) when (ends.IsCancellationRequested) { }
    }
}
