using Godwit.Client;
using MudBlazor;

namespace Godwit.WebConsole.Live;

/// <summary>Short words in the corner: what was done, or what stood against it and what to do next.</summary>
public sealed class Notices(ISnackbar bar)
{
    public void Tell(string done) => bar.Add(done, Severity.Success);

    public void Tell(ApiError error) => bar.Add(
        error.Next is { Length: > 0 } next ? $"{Sentence(error.Cause)} Next: {next}" : Sentence(error.Cause),
        Severity.Error, options =>
        {
            options.RequireInteraction = true; // It is read before it goes.
            options.ShowCloseIcon = true;
        });

    private static string Sentence(string text) => text.Length > 0 && ".!?".Contains(text[^1]) ? text : text + ".";
}
