using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Server.Audit;

namespace Godwit.Cli.Commands;

/// <summary>Who did what: to be read, checked and taken elsewhere.</summary>
internal static class AuditCommands
{
    private const int ListDefault = 100;
    private static readonly string[] headings = ["ROW", "TIME", "ACTOR", "ROLE", "FROM", "ACTION", "OBJECT", "RESULT", "DETAIL"];

    public static Command Build(Verbs verbs)
    {
        var since = new Option<TimeSpan?>("--since")
        {
            Description = "Not older than this: 30m, 12h, 7d.", HelpName = "AGE", CustomParser = ParseAge,
        };
        var last = new Option<int>("--last")
        { Description = "How many rows at most.", HelpName = "COUNT", DefaultValueFactory = _ => ListDefault };
        var head = new Option<string?>("--head")
        { Description = "A head that an earlier verify showed: it must still be in the log.", HelpName = "ROW:HASH" };
        var file = new Option<FileInfo?>("--file") { Description = "Check a whole export instead, without any server.", HelpName = "FILE" };
        return Verbs.Group("audit", "The record of who did what.",
            verbs.Verb("list", "The newest rows.", async (session, parsed, cancel) =>
            {
                var rows = await session.Access.LastAuditAsync(Since(session, parsed.GetValue(since)), parsed.GetValue(last), cancel);
                if (session.Screen.IsJson) session.Screen.Document(rows);
                else session.Screen.Show(new Sheet(headings, [.. rows.Select(Row)], "Nothing was done or tried."));
                return ExitCode.All;
            }, since, last),
            verbs.Verb("export", "Every row as a line of JSON, oldest first.", async (session, parsed, cancel) =>
            {
                var from = Since(session, parsed.GetValue(since));
                for (long seq = 0; ;)
                {
                    var page = await session.Access.AuditAfterAsync(seq, from, cancel);
                    foreach (var row in page) session.Screen.DocumentLine(row);
                    if (page.Count < AccessApi.AuditPageRows) return ExitCode.All;
                    seq = page[^1].Seq;
                }
            }, since),
            verbs.Verb("verify", "Find rows that were changed, removed, reordered or cut off.", async (session, parsed, cancel) =>
            {
                var verdict = parsed.GetValue(file) is { } export
                    ? await VerifyFileAsync(export, Head(parsed.GetValue(head)), cancel)
                    : await session.Access.VerifyAuditAsync(parsed.GetValue(head), cancel);
                Show(session.Screen, verdict);
                return verdict.IsWhole ? ExitCode.All : ExitCode.Failed;
            }, head, file));
    }

    private static void Show(Screen screen, AuditVerdict verdict)
    {
        if (screen.IsJson) screen.Document(verdict);
        foreach (var problem in verdict.Problems) screen.Line($"{problem.Code}: {problem.Cause}", Tone.Bad);
        screen.Line(verdict.IsWhole
            ? $"Whole: {Words.Counted(verdict.Rows, "row")}, each follows the one before, and every head known is in it."
            : $"Not whole: {Words.Counted(verdict.Problems.Count, "problem")} in {Words.Counted(verdict.Rows, "row")}.",
            verdict.IsWhole ? Tone.Good : Tone.Bad);
        if (verdict is { IsWhole: true, Head: { } newest })
            screen.Note($"Head: {newest}  (keep it elsewhere; later: godwit audit verify --head {newest.Seq}:…)");
    }

    private static AuditHead? Head(string? text) => text is null ? null : AuditHead.Parse(text)
        ?? throw new ApiException(new ApiError("bad-head", $"'{text}' is no head") { Next = "give ROW:HASH as verify showed it" });

    private static async Task<AuditVerdict> VerifyFileAsync(FileInfo export, AuditHead? known, CancellationToken cancel)
    {
        var check = new AuditCheck(known is null ? [] : [known]);
        var number = 0;
        await foreach (var line in File.ReadLinesAsync(export.FullName, cancel))
        {
            number++;
            try
            {
                check.Take(JsonSerializer.Deserialize<AuditRow>(line, ApiJson.Wire) ?? throw new JsonException("it is null"));
            }
            catch (JsonException reason)
            {
                throw new ApiException(new ApiError("export-broken", $"line {number} of {export.Name} is no row: {reason.Message}")
                { Next = "export it again: godwit audit export > FILE" }, reason);
            }
        }
        var problems = check.End();
        return new AuditVerdict(problems.Count == 0, check.Rows, check.Head, known is null ? [] : [known], problems);
    }

    private static DateTimeOffset Since(Session session, TimeSpan? age) =>
        age is { } back ? session.Time.GetUtcNow() - back : DateTimeOffset.UnixEpoch;

    private static TimeSpan? ParseAge(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        if (text.Length is > 1 and < 7 && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            if (text[^1] == 'm') return TimeSpan.FromMinutes(count);
            if (text[^1] == 'h') return TimeSpan.FromHours(count);
            if (text[^1] == 'd') return TimeSpan.FromDays(count);
        }
        result.AddError($"'{text}' is not an age: give minutes, hours or days, such as 30m, 12h or 7d.");
        return null;
    }

    private static IReadOnlyList<Cell> Row(AuditRow row) =>
    [
        Amounts.Count(row.Seq), row.At.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture),
        new Cell(row.Entry.Actor, Tone.Strong), row.Entry.Role ?? "-", row.Entry.Source, row.Entry.Action, row.Entry.Object,
        new Cell(row.Entry.Result, row.Entry.Result switch
        {
            AuditResult.Done => Tone.Good,
            AuditResult.Begun => Tone.Dim,
            AuditResult.Unanswered => Tone.Warn,
            _ => Tone.Bad,
        }),
        row.Entry.Detail ?? "-",
    ];
}
