using System.CommandLine;
using System.Globalization;
using Godwit.Agent.Host;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Cli.Support;
using Godwit.Core;

namespace Godwit.Cli.Commands;

/// <summary>`godwit support-bundle`: one file for who is to help, without secrets, and a list of what is in it.</summary>
internal static class SupportCommand
{
    private static readonly string[] headings = ["PART", "SIZE", "NOTE"];

    public static Command Build(Verbs verbs)
    {
        var file = new Argument<FileInfo?>("FILE")
        {
            Description = "Where it is written, as tar.gz; godwit-support-TIME.tar.gz here if not given.", Arity = ArgumentArity.ZeroOrOne,
        };
        var logs = new Option<FileInfo[]>("--log")
        { Description = "A log to put in beside those of systemd's journal; again for more.", HelpName = "FILE" };
        return verbs.Verb("support-bundle", "Collect what somebody needs to help: versions, settings, events, moves, logs; no secrets.",
            async (session, parsed, cancel) =>
            {
                var directory = $"godwit-support-{session.Time.GetUtcNow().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture)}";
                var to = parsed.GetValue(file) ?? new FileInfo(directory + ".tar.gz");
                var parts = await WriteAsync(session, to, directory, parsed.GetValue(logs) ?? [], cancel);
                to.Refresh();
                if (session.Screen.IsJson) session.Screen.Document(new { File = to.FullName, Bytes = to.Length, Parts = parts });
                else session.Screen.Show(new Sheet(headings, [.. parts.Select(Row)], "Nothing is in it."));
                session.Screen.Line($"{to.FullName} ({Amounts.Bytes(to.Length)}). Names of hosts, VMs and addresses are in it; keys, "
                    + "tokens and passwords are not. Look into it before you pass it on.");
                return ExitCode.All;
            }, file, logs);
    }

    /// <summary>Its owner's alone, and never over a file that is there.</summary>
    private static async Task<IReadOnlyList<BundlePart>> WriteAsync(
        Session session, FileInfo to, string directory, IReadOnlyList<FileInfo> logs, CancellationToken cancel)
    {
        if (to.Exists) throw new RefusedException("file-there", $"{to.FullName} is there", "name another file");
        try
        {
            await using var stream = new FileStream(to.FullName, new FileStreamOptions
            {
                Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
            return await new SupportBundle(session, new RealProcesses(), "/").WriteAsync(stream, directory, logs, cancel);
        }
        catch (OperationCanceledException)
        {
            to.Delete(); // Half of one would be taken for all there is.
            throw;
        }
    }

    private static IReadOnlyList<Cell> Row(BundlePart part) =>
        [new Cell(part.Name, part.Bytes > 0 ? Tone.Plain : Tone.Dim), part.Bytes > 0 ? Amounts.Bytes(part.Bytes) : "-", part.Note ?? ""];
}
