using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Access;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class TokenCommands
{
    private static readonly string[] headings = ["ID", "NAME", "USER", "ROLE", "EXPIRES", "LAST USED", "CREATED BY"];

    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME") { Description = "What the token is for." };
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore, Description = "Names or ids." };
        var role = RoleOption();
        var expires = new Option<int?>("--expires")
        {
            Description = "How long it lives: 30d, or never. 90 days if not given.", HelpName = "DAYSd", CustomParser = ParseDays,
        };
        return Verbs.Group("token", "Keys of programs to the API.",
            verbs.Verb("create", "Make a token. It is shown once and kept nowhere.", async (session, parsed, cancel) =>
            {
                var days = parsed.GetValue(expires);
                var made = await session.Access.CreateTokenAsync(new CreateTokenRequest(
                    parsed.GetValue(name)!, Parse(parsed.GetValue(role)!), days > 0 ? days : null, Never: days == Never), cancel);
                if (session.Screen.IsJson) session.Screen.Document(made);
                session.Screen.Line(made.Text);
                session.Screen.Note($"{made.Token.Name} ({made.Token.Id}) is {Words.Of(made.Token.Role)}, "
                    + $"expires {SessionCommands.Moment(made.Token.ExpiresAt)}. This is the only time the token is shown.");
                return ExitCode.All;
            }, name, role, expires),
            verbs.Verb("list", "Every token, without its secret.", async (session, _, cancel) =>
            {
                var tokens = await session.Access.TokensAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(tokens);
                else session.Screen.Show(new Sheet(headings, [.. tokens.Select(token => Row(token, session.Time.GetUtcNow()))],
                    "No tokens yet: godwit token create NAME --role ROLE"));
                return ExitCode.All;
            }),
            verbs.Verb("revoke", "Take tokens back, at once; also what a login made, by its id.", (session, parsed, cancel) =>
                Verbs.ForEachAsync(session, parsed.GetValue(names)!, async token =>
                {
                    await session.Access.RevokeTokenAsync(token, cancel);
                    return token;
                }, token => $"{token} lets nobody in any more."), names));
    }

    public static Option<string> RoleOption()
    {
        var option = new Option<string>("--role") { Description = "What it may do; see docs/design/access.md.", Required = true };
        option.AcceptOnlyFromAmong([.. Enum.GetValues<Role>().Select(Words.Of)]);
        return option;
    }

    public static Role Parse(string word) => Enum.GetValues<Role>().Single(role => Words.Of(role) == word);

    private const int Never = -1;

    private static int? ParseDays(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        if (text == "never") return Never;
        if (text.EndsWith('d') && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var days) && days > 0)
            return days;
        result.AddError($"'{text}' is not a time to live: give days, such as 30d, or never.");
        return null;
    }

    private static IReadOnlyList<Cell> Row(TokenView token, DateTimeOffset now) =>
    [
        token.Id, new Cell(token.Name ?? "-", Tone.Strong), token.User ?? "-", Words.Of(token.Role),
        new Cell(SessionCommands.Moment(token.ExpiresAt), token.ExpiresAt <= now ? Tone.Bad : Tone.Plain),
        token.LastUsedAt is { } used ? SessionCommands.Moment(used) : "-", token.CreatedBy,
    ];
}
