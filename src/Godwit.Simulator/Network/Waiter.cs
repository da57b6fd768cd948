namespace Godwit.Simulator.Network;

/// <summary>One party that waits for a thing to change. Two at once is a bug of the caller, as it is with TLS streams.</summary>
internal sealed class Waiter(string what)
{
    private TaskCompletionSource? _waiting;

    public async Task WaitAsync(CancellationToken cancel)
    {
        if (_waiting is not null) throw new NotSupportedException($"two at once wait to {what} one stream");
        cancel.ThrowIfCancellationRequested();
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting = waiting;
        try
        {
            using var registration = cancel.UnsafeRegister(
                static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), waiting);
            await waiting.Task;
        }
        finally
        {
            if (_waiting == waiting) _waiting = null;
        }
    }

    public void Wake()
    {
        var waiting = _waiting;
        _waiting = null;
        waiting?.TrySetResult();
    }
}
