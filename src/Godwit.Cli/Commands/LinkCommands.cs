using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit link`: how fast memory can cross between hosts.</summary>
internal static class LinkCommands
{
    public static Command Build(Verbs verbs)
    {
        var source = new Argument<string>("FROM") { Description = "The host that sends." };
        var target = new Argument<string>("TO") { Description = "The host that receives." };
        return Verbs.Group("link", "What memory crosses on: rate and round trip between hosts.",
            verbs.Verb("test", "Send noise for a second, through the link that moves use, and tell what arrived.",
                async (session, parsed, cancel) =>
                {
                    var view = await session.Api.TestLinkAsync(
                        new LinkTestRequest(parsed.GetValue(source), parsed.GetValue(target)), cancel);
                    if (session.Screen.IsJson) session.Screen.Document(view);
                    else Show(session, [view]);
                    return ExitCode.All;
                }, source, target),
            verbs.Verb("list", "The newest test of each pair; each is tested when a host joins, and once a day.",
                async (session, _, cancel) =>
                {
                    var links = await session.Api.LinksAsync(cancel);
                    if (session.Screen.IsJson) session.Screen.Document(links);
                    else Show(session, links);
                    return ExitCode.All;
                }));
    }

    private static void Show(Session session, IReadOnlyList<LinkView> links) => session.Screen.Show(new Sheet(
        ["FROM", "TO", "RATE", "GBIT/S", "ROUND TRIP", "TESTED"],
        [
            .. links.Select(link => (IReadOnlyList<Cell>)
            [
                link.Source.Value, link.Target.Value, Amounts.Rate(link.Figures.BytesPerSecond),
                (link.Figures.BytesPerSecond * 8 / 1e9).ToString("0.00", CultureInfo.InvariantCulture),
                Amounts.Milliseconds(link.Figures.RoundTripMs), Amounts.Age(session.Time.GetUtcNow() - link.Figures.At),
            ]),
        ],
        "No link was tested yet: godwit link test HOST HOST"));
}
