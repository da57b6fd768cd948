using System.CommandLine;
using System.CommandLine.Parsing;
using Godwit.Cli.Screens;
using Godwit.Core.Access;
using Godwit.Server.Access;

namespace Godwit.Cli.Commands;

/// <summary>Which issuer's people may log in to a server, and as what.</summary>
internal sealed class OidcOptions
{
    private readonly Option<string?> issuer = new("--oidc-issuer")
    { Description = "Let people log in through this OpenID Connect issuer: godwit login --oidc.", HelpName = "https://ISSUER" };
    private readonly Option<string?> client = new("--oidc-client")
    { Description = "What the issuer calls godwit: a public client that may come back to http://127.0.0.1.", HelpName = "ID" };
    private readonly Option<(string Group, Role Role)[]> roles = new("--oidc-role")
    {
        Description = "What people of a group there may do here; again for more, the first that fits counts.", HelpName = "GROUP=ROLE",
        CustomParser = Parse,
    };
    private readonly Option<string?> claim = new("--oidc-groups")
    { Description = "The claim that lists the groups; groups if not given.", HelpName = "CLAIM" };

    public IEnumerable<Option> All => [issuer, client, roles, claim];

    public OidcSettings? Of(ParseResult parsed) => parsed.GetValue(issuer) is { } url
        ? new OidcSettings(url, parsed.GetValue(client) ?? "", parsed.GetValue(roles) ?? [])
        { GroupsClaim = parsed.GetValue(claim) ?? "groups" }
        : null;

    private static (string, Role)[] Parse(ArgumentResult result)
    {
        var mapped = new List<(string, Role)>();
        foreach (var text in result.Tokens.Select(token => token.Value))
        {
            var equals = text.LastIndexOf('='); // Groups have names of all kinds.
            var role = Enum.GetValues<Role>().Where(role => equals > 0 && Words.Of(role) == text[(equals + 1)..]).ToList();
            if (role.Count == 1) mapped.Add((text[..equals], role[0]));
            else result.AddError($"'{text}' does not say GROUP=ROLE; roles are "
                + $"{string.Join(", ", Enum.GetValues<Role>().Select(Words.Of))}.");
        }
        return [.. mapped];
    }
}
