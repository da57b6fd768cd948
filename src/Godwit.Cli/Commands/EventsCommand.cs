using System.CommandLine;
using System.Globalization;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class EventsCommand
{
    public static Command Build(Verbs verbs)
    {
        var after = new Option<long?>("--after") { Description = "Begin after the event of this number.", HelpName = "SEQ" };
        return verbs.Verb("events", "Follow what happens in the cluster. Ctrl-C leaves.", async (session, parsed, cancel) =>
        {
            try
            {
                var from = parsed.GetValue(after)?.ToString(CultureInfo.InvariantCulture);
                await foreach (var happened in session.Api.EventsAsync(from, cancel))
                {
                    if (session.Screen.IsJson) session.Screen.DocumentLine(happened);
                    else session.Screen.Line(Line(happened));
                }
            }
            catch (OperationCanceledException) when (cancel.IsCancellationRequested)
            {
                return ExitCode.All; // Leaving is how this command ends.
            }
            session.Screen.Note("The server ended the stream.");
            return ExitCode.Failed;
        }, after);
    }

    internal static string Line(EventView happened) =>
        $"{happened.Seq,6}  {happened.At.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture)}  "
        + $"{happened.Kind,-16}  {happened.Text}";
}
