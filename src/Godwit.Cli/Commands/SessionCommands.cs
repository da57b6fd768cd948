using System.CommandLine;
using System.Security.Cryptography.X509Certificates;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Cli.Services;
using Godwit.Core.Identity;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>Who one is to the server, and which server it is.</summary>
internal static class SessionCommands
{
    public static Command LogIn(Verbs verbs)
    {
        var name = new Argument<string?>("NAME") { Description = "A user's name; none with --oidc.", Arity = ArgumentArity.ZeroOrOne };
        var oidc = new Option<bool>("--oidc") { Description = "Log in at the issuer the server trusts, in a browser on this machine." };
        var login = verbs.Verb("login", "Exchange a name and password, or a log-in elsewhere, for a token that lives 8 hours.",
            async (session, parsed, cancel) =>
            {
                var made = parsed.GetValue(name) is { } user
                    ? await session.Access.LogInAsync(user, Secret(session, $"Password of {user}: "), cancel)
                    : await LogInAtIssuerAsync(session, cancel);
                session.Remote.SaveToken(made.Text);
                if (session.Screen.IsJson) session.Screen.Document(made.Token);
                session.Screen.Line($"{made.Token.User} is logged in as {Words.Of(made.Token.Role)} until {Moment(made.Token.ExpiresAt)}; "
                    + $"the token is in {session.Remote.TokenFile}.");
                if (session.Remote.Token is not null)
                    session.Screen.Note($"{RemoteSettings.TokenVariable} is set and goes before that file: unset it.");
                return ExitCode.All;
            }, name, oidc);
        login.Validators.Add(result =>
        {
            if (result.GetValue(oidc) == (result.GetValue(name) is not null)) result.AddError("Give a user's NAME, or --oidc.");
        });
        return login;
    }

    private static async Task<NewTokenView> LogInAtIssuerAsync(Session session, CancellationToken cancel)
    {
        var issuer = await session.Access.BeginOidcAsync(cancel);
        var idToken = await new BrowserLogIn(issuer, session.Screen.Note, session.Time).RunAsync(cancel);
        return await session.Access.LogInOidcAsync(idToken, cancel);
    }

    public static Command LogOut(Verbs verbs) =>
        verbs.Verb("logout", "End what login began.", async (session, _, cancel) =>
        {
            await session.Access.LogOutAsync(cancel);
            session.Remote.ForgetToken();
            session.Screen.Line("Logged out.");
            return ExitCode.All;
        });

    public static Command WhoAmI(Verbs verbs) =>
        verbs.Verb("whoami", "Whom the server takes you for.", async (session, _, cancel) =>
        {
            var me = await session.Access.WhoAmIAsync(cancel);
            if (session.Screen.IsJson) session.Screen.Document(me);
            session.Screen.Line($"{me.Name}, {Words.Of(me.Role)}, from {me.Source}"
                + (me.Token is null ? "" : $", token {me.Token}{(me.ExpiresAt is null ? "" : $" until {Moment(me.ExpiresAt)}")}"));
            return ExitCode.All;
        });

    public static Command Ca(Verbs verbs)
    {
        var file = new Option<FileInfo?>("--out") { Description = "Write it to this file.", HelpName = "FILE" };
        return verbs.Verb("ca", "The cluster's CA certificate: what clients elsewhere know it by.", async (session, parsed, cancel) =>
        {
            var pem = await session.Access.CaAsync(cancel);
            var fingerprint = ApiCertificate.Fingerprint(X509Certificate2.CreateFromPem(pem));
            if (parsed.GetValue(file) is { } to) await File.WriteAllTextAsync(to.FullName, pem, cancel);
            if (session.Screen.IsJson) session.Screen.Document(new { fingerprint, certificate = pem });
            else if (parsed.GetValue(file) is null) session.Screen.Output.Write(pem);
            session.Screen.Note($"Fingerprint: {fingerprint}");
            return ExitCode.All;
        }, file);
    }

    /// <summary>Throws where nothing was typed.</summary>
    public static string Secret(Session session, string prompt) => session.ReadSecret(prompt) is { Length: > 0 } secret ? secret
        : throw new ApiException(new ApiError("password-missing", "no password was given")
        { Next = "type it, or give it as a line on standard input" });

    public static string Moment(DateTimeOffset? time) =>
        time?.ToString("yyyy-MM-dd HH:mm'Z'", System.Globalization.CultureInfo.InvariantCulture) ?? "never";
}
