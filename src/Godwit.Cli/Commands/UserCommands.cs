using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class UserCommands
{
    private static readonly string[] headings = ["NAME", "ROLE", "CREATED", "CREATED BY"];

    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME") { Description = "The user's name." };
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore };
        var maybe = new Argument<string?>("NAME")
        { Arity = ArgumentArity.ZeroOrOne, Description = "A user; your own password if left out." };
        var role = TokenCommands.RoleOption();
        return Verbs.Group("user", "People who may use the API.",
            verbs.Verb("add", "Add a user; the password is asked for, or is a line on standard input.", async (session, parsed, cancel) =>
            {
                var user = parsed.GetValue(name)!;
                var password = NewPassword(session, user);
                var added = await session.Access.AddUserAsync(
                    new AddUserRequest(user, TokenCommands.Parse(parsed.GetValue(role)!), password), cancel);
                if (session.Screen.IsJson) session.Screen.Document(added);
                session.Screen.Line($"{added.Name} is {Words.Of(added.Role)}.");
                return ExitCode.All;
            }, name, role),
            verbs.Verb("list", "Every user.", async (session, _, cancel) =>
            {
                var users = await session.Access.UsersAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(users);
                else session.Screen.Show(new Sheet(headings, [.. users.Select(Row)], "No users yet: godwit user add NAME --role ROLE"));
                return ExitCode.All;
            }),
            verbs.Verb("remove", "Remove users; where they are logged in, that ends.", (session, parsed, cancel) =>
                Verbs.ForEachAsync(session, parsed.GetValue(names)!, async user =>
                {
                    await session.Access.RemoveUserAsync(user, cancel);
                    return user;
                }, user => $"{user} is removed."), names),
            verbs.Verb("password", "Set a new password; where the user is logged in, that ends.", async (session, parsed, cancel) =>
            {
                if (parsed.GetValue(maybe) is { } user)
                {
                    await session.Access.SetPasswordAsync(user, NewPassword(session, user), cancel);
                    session.Screen.Line($"{user} has a new password.");
                    return ExitCode.All;
                }
                var current = SessionCommands.Secret(session, "Present password: ");
                await session.Access.ChangePasswordAsync(current, NewPassword(session, "you"), cancel);
                session.Screen.Line("You have a new password. Log in again: godwit login NAME");
                return ExitCode.All;
            }, maybe));
    }

    /// <summary>Twice where it is typed unseen; from a pipe the same line need not come again.</summary>
    private static string NewPassword(Session session, string user)
    {
        var password = SessionCommands.Secret(session, $"New password of {user}: ");
        if (!Console.IsInputRedirected && session.Screen.IsTerminal && session.ReadSecret("Again: ") != password)
            throw new ApiException(new ApiError("password-mismatch", "the two are not the same") { Next = "run the command again" });
        return password;
    }

    private static IReadOnlyList<Cell> Row(UserView user) =>
        [new Cell(user.Name, Tone.Strong), Words.Of(user.Role), SessionCommands.Moment(user.CreatedAt), user.CreatedBy];
}
