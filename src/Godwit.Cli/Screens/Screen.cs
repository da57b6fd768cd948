using System.Text;
using System.Text.Json;
using Godwit.Cli.Api;
using Spectre.Console;

namespace Godwit.Cli.Screens;

/// <summary>
/// Where a command writes. Colours, tables that fit and live views on a terminal; plain aligned lines in a pipe;
/// nothing but JSON on the output with --json. Sentences about what goes on are for people and go to the error
/// stream when the output is for a machine.
/// </summary>
internal sealed class Screen(TextWriter output, TextWriter error, bool isTerminal, int width, bool json = false)
{
    private IAnsiConsole? rich;

    public bool IsTerminal => isTerminal && !json;
    public bool IsJson => json;
    public int Width => width;
    public TextWriter Output => output;
    public TextWriter Error => error;

    /// <summary>For tables, panels and live views; only where <see cref="IsTerminal"/>.</summary>
    public IAnsiConsole Rich => rich ??= MakeRich();

    public Screen AsJson() => new(output, error, isTerminal, width, json: true);

    /// <summary>One line of result; dropped with --json, whose result is the document.</summary>
    public void Line(string text, Tone tone = Tone.Plain)
    {
        if (json) return;
        if (IsTerminal) Rich.MarkupLine(Markup(text, tone));
        else output.WriteLine(text);
    }

    /// <summary>What is going on, beside the result.</summary>
    public void Note(string text) => error.WriteLine(text);

    public void Document<T>(T value) => output.WriteLine(JsonSerializer.Serialize(value, ApiJson.Indented));

    /// <summary>One document a line, for streams.</summary>
    public void DocumentLine<T>(T value)
    {
        output.WriteLine(JsonSerializer.Serialize(value, ApiJson.Compact));
        output.Flush();
    }

    public void Show(Sheet sheet)
    {
        if (sheet.Rows.Count == 0) Note(sheet.WhenEmpty);
        else if (IsTerminal) Rich.Write(RichTable(sheet));
        else WritePlain(sheet);
    }

    public static string Markup(string text, Tone tone)
    {
        var safe = Spectre.Console.Markup.Escape(text);
        return tone switch
        {
            Tone.Strong => $"[bold]{safe}[/]",
            Tone.Dim => $"[grey62]{safe}[/]",
            Tone.Good => $"[green]{safe}[/]",
            Tone.Warn => $"[yellow]{safe}[/]",
            Tone.Bad => $"[red]{safe}[/]",
            _ => safe,
        };
    }

    private static Table RichTable(Sheet sheet)
    {
        var table = new Table().NoBorder();
        foreach (var heading in sheet.Headings)
            table.AddColumn(new TableColumn(new Markup(Markup(heading, Tone.Dim))).PadLeft(0).PadRight(2));
        foreach (var row in sheet.Rows) table.AddRow(row.Select(cell => new Markup(Markup(cell.Text, cell.Tone))));
        return table;
    }

    private void WritePlain(Sheet sheet)
    {
        var lines = new List<IReadOnlyList<string>> { sheet.Headings };
        lines.AddRange(sheet.Rows.Select(row => row.Select(cell => cell.Text).ToArray()));
        var widths = Enumerable.Range(0, sheet.Headings.Count).Select(c => lines.Max(line => line[c].Length)).ToArray();
        foreach (var line in lines)
        {
            var text = new StringBuilder();
            for (var c = 0; c < line.Count; c++) text.Append(line[c].PadRight(widths[c])).Append("  ");
            output.WriteLine(text.ToString().TrimEnd());
        }
    }

    private IAnsiConsole MakeRich()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Yes,
            Out = new AnsiConsoleOutput(output),
            ColorSystem = Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 }
                ? ColorSystemSupport.NoColors : ColorSystemSupport.Standard,
        });
        console.Profile.Width = width;
        return console;
    }
}
