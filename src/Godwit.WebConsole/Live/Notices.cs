using Godwit.Client;

namespace Godwit.WebConsole.Live;

/// <param name="Next">What to do; null where all is done.</param>
public sealed record Notice(int Number, string Text, string? Next, bool IsError);

/// <summary>
/// Short words in the corner: what was done, or what stood against it and what to do next. The newest few; what went wrong stays until
/// it is closed.
/// </summary>
public sealed class Notices(TimeProvider time)
{
    private const int ShownMax = 5;
    private static readonly TimeSpan doneFor = TimeSpan.FromSeconds(6);

    private readonly Lock one = new();
    private readonly List<Notice> shown = [];
    private int told;

    /// <summary>On any thread.</summary>
    public event Action? Changed;

    public IReadOnlyList<Notice> Shown
    {
        get
        {
            lock (one) return [.. shown];
        }
    }

    public void Tell(string done)
    {
        var notice = Add(done, null, isError: false);
        _ = ForgetLaterAsync(notice);
    }

    public void Tell(ApiError error) => Add(error.Cause, error.Next, isError: true);

    public void Close(Notice notice)
    {
        lock (one) shown.Remove(notice);
        Changed?.Invoke();
    }

    private Notice Add(string text, string? next, bool isError)
    {
        Notice notice;
        lock (one)
        {
            shown.Add(notice = new Notice(++told, text, next, isError));
            if (shown.Count > ShownMax) shown.RemoveAt(0);
        }
        Changed?.Invoke();
        return notice;
    }

    private async Task ForgetLaterAsync(Notice notice)
    {
        await Task.Delay(doneFor, time);
        Close(notice);
    }
}
