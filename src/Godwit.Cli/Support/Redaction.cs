using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Godwit.Cli.Support;

/// <summary>
/// Takes secrets out of text that leaves the machine: keys, tokens, passwords, what a guest is set up with. The second of two walls:
/// files that hold secrets are never read at all. What is in doubt goes: a bundle with a word too few can be asked for again.
/// </summary>
internal static partial class Redaction
{
    public const string Removed = "(removed)";
    /// <summary>Longer lines are cut: no log of ours has one, and patterns are to end.</summary>
    public const int LineCharsMax = 8 << 10;
    /// <summary>Of a key or a guest's set-up that never ends, as where a log was cut.</summary>
    private const int BlockLinesMax = 500;

    /// <summary>A log, a settings file, what a command printed.</summary>
    public static string Text(string text)
    {
        var kept = new StringBuilder(text.Length);
        // A log may be cut in the middle of a key: then its first line is one of the key.
        var block = KeyEnd().Match(text) is { Success: true } end && !PrivateKey().IsMatch(text[..end.Index]) ? Block.Key : Block.None;
        var blockLines = 0;
        foreach (var whole in text.Split('\n'))
        {
            var line = whole.Length > LineCharsMax ? whole[..LineCharsMax] + "…" : whole;
            if (block != Block.None && (++blockLines > BlockLinesMax || EndsBefore(block, line))) block = Block.None;
            if (block == Block.None)
            {
                block = Begins(line);
                blockLines = 0;
                kept.Append(block == Block.None ? Line(line) : Removed).Append('\n');
            }
            if (block == Block.Key && line.Contains("-----END", StringComparison.Ordinal)) block = Block.None;
        }
        kept.Length--; // The last line ends where the text did.
        return kept.ToString();
    }

    /// <summary>JSON by its names, then each string as text; what is no JSON, because it was cut, as text.</summary>
    public static string Json(string json)
    {
        try
        {
            if (JsonNode.Parse(json) is not { } document) return "null";
            Clean(document);
            return document.ToJsonString(indented);
        }
        catch (JsonException) { return Text(json); }
    }

    private static readonly JsonSerializerOptions indented = new()
    { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>In its place. Numbers stay, whatever their name: those of receipts tell how long a token took.</summary>
    private static void Clean(JsonNode node)
    {
        if (node is JsonObject members)
            foreach (var (name, value) in members.ToList())
            {
                if (value is null || value.GetValueKind() is JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False) continue;
                if (SecretName().IsMatch(name)) members[name] = Removed;
                else if (value.GetValueKind() == JsonValueKind.String) members[name] = Text(value.GetValue<string>());
                else Clean(value);
            }
        else if (node is JsonArray items)
            for (var i = 0; i < items.Count; i++)
            {
                if (items[i] is { } text && text.GetValueKind() == JsonValueKind.String) items[i] = Text(text.GetValue<string>());
                else if (items[i] is { } item) Clean(item);
            }
    }

    private static string Line(string line)
    {
        line = Token().Replace(line, Removed);
        line = UserInfo().Replace(line, $"://{Removed}@");
        line = Bearer().Replace(line, $"$1 {Removed}");
        line = Assigned().Replace(line, $"$1{Removed}");
        return Option().Replace(line, $"$1{Removed}");
    }

    private static Block Begins(string line) =>
        PrivateKey().IsMatch(line) ? Block.Key
        : SetUp().IsMatch(line) ? Block.SetUp : Block.None;

    /// <summary>A guest's set-up goes on as long as lines look like one, behind what a journal writes before each.</summary>
    private static bool EndsBefore(Block block, string line) =>
        block == Block.SetUp && !SetUpLine().IsMatch(JournalStamp().Replace(line, ""));

    private const string SecretWords = "password|passwd|passphrase|secret|token|ticket|credential|private[-_]?key|api[-_]?key"
        + "|cookie|authorization|_HEADERS|user[-_]?data";
    /// <summary>Quoted, or up to what ends a sentence: passwords have spaces. What was removed before is no value.</summary>
    private const string Value = """(?!\(removed\))(?:"(?:\\.|[^"\\])*"|'[^']*'|[^,;}\]]+)""";

    private enum Block { None, Key, SetUp }

    [GeneratedRegex(SecretWords + "|cloud[-_]?(?:init|config)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex SecretName();

    /// <summary>Of users, and of hosts that join.</summary>
    [GeneratedRegex(@"gwt_[A-Za-z0-9_-]+|gwj\d+\.[0-9A-Za-z.]+")]
    private static partial Regex Token();

    [GeneratedRegex(@"://[^/\s@]+@")]
    private static partial Regex UserInfo();

    [GeneratedRegex(@"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Bearer();

    /// <summary>name=value, name: value, "name": "value"; OpenTelemetry's headers are how one logs in at a collector.</summary>
    [GeneratedRegex("(\\b[\\w.-]{0,64}(?:" + SecretWords + ")[\\w.-]{0,64}[\"']?\\s*[:=]\\s*)" + Value,
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Assigned();

    [GeneratedRegex("(--[\\w-]{0,64}(?:" + SecretWords + ")[\\w-]{0,64}[ =])(?:\"[^\"]*\"|'[^']*'|\\S+)",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Option();

    [GeneratedRegex("-----BEGIN [A-Z ]*PRIVATE KEY-----")]
    private static partial Regex PrivateKey();

    [GeneratedRegex("#cloud-config|Content-Type: multipart/mixed")]
    private static partial Regex SetUp();

    [GeneratedRegex("-----END [A-Z ]*PRIVATE KEY-----")]
    private static partial Regex KeyEnd();

    /// <summary>"2026-03-01T12:00:00+0000 host1 godwit[12]: ", and the time our own logs begin with.</summary>
    [GeneratedRegex(@"^\S+ \S+ [\w.@-]+\[\d+\]: ?")]
    private static partial Regex JournalStamp();

    [GeneratedRegex(@"^(\s|-|#|\}|\]|[\w""'-]+:(\s|$)|$)")]
    private static partial Regex SetUpLine();
}
