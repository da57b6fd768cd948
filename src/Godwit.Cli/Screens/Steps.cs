using Spectre.Console;

namespace Godwit.Cli.Screens;

/// <summary>
/// Things done one after the other: what goes on now, and how long each took once the next begins. A spinner and
/// check marks on a terminal, a line each in a pipe.
/// </summary>
internal sealed class Steps(Screen screen, TimeProvider time)
{
    private string? current;
    private long began;

    /// <param name="act">Is given the way to say that the next step begins.</param>
    public async Task<T> RunAsync<T>(string first, Func<Action<string>, Task<T>> act)
    {
        Begin(first);
        var result = screen.IsTerminal
            ? await screen.Rich.Status().Spinner(Spinner.Known.Dots).SpinnerStyle(new Style(Color.Yellow))
                .StartAsync(Doing(first), status => act(next =>
                {
                    End();
                    Begin(next);
                    status.Status(Doing(next));
                }))
            : await act(next =>
            {
                End();
                Begin(next);
            });
        End();
        return result;
    }

    public Task RunAsync(string step, Func<Task> act) => RunAsync(step, async _ =>
    {
        await act();
        return true;
    });

    private static string Doing(string step) => $"{Markup.Escape(step)} …";

    private void Begin(string step) => (current, began) = (step, time.GetTimestamp());

    private void End()
    {
        var took = Amounts.Milliseconds(time.GetElapsedTime(began).TotalMilliseconds);
        if (screen.IsTerminal)
            screen.Rich.MarkupLine($"[green]✓[/] {Markup.Escape(current!)}  {Screen.Markup(took, Tone.Dim)}");
        else screen.Line($"* {current} ({took})");
    }
}
