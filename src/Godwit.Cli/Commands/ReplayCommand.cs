using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Server.Replaying;

namespace Godwit.Cli.Commands;

/// <summary>`godwit cluster replay`: what each mode would have done with the load of the past.</summary>
internal static class ReplayCommand
{
    private static readonly string[] headings =
        ["POLICY", "MOVES", "THAT HURT", "BACK IN 1 H", "OVERLOAD MIN", "NOT GIVEN", "HOSTS ON", "KWH"];

    public static Command Build(Verbs verbs)
    {
        var hours = new Option<int>("--hours")
        { Description = "So far back; beyond 24 by hours instead of five minutes.", HelpName = "N", DefaultValueFactory = _ => 24 };
        var idle = new Option<double>("--idle-watts")
        { Description = "What a host draws without work.", HelpName = "W", DefaultValueFactory = _ => 100 };
        var full = new Option<double>("--full-watts")
        { Description = "What a host draws at full load.", HelpName = "W", DefaultValueFactory = _ => 200 };
        return verbs.Verb("replay", "What each balancer mode would have done with the recorded load. Moves nothing.",
            async (session, parsed, cancel) =>
            {
                var found = await session.Api.ReplayAsync(
                    new ReplayWish(parsed.GetValue(hours), parsed.GetValue(idle), parsed.GetValue(full)), cancel);
                if (session.Screen.IsJson) session.Screen.Document(found);
                else Tell(session.Screen, found);
                return ExitCode.All;
            }, hours, idle, full);
    }

    private static void Tell(Screen screen, ClusterReplay found)
    {
        screen.Show(new Sheet(headings, [.. found.Modes.Select(Row)], "Nothing was replayed."));
        screen.Line($"{Words.Counted(found.Vms, "VM")} on {Words.Counted(found.Hosts, "host")}, {found.From:yyyy-MM-dd HH:mm} to "
            + $"{found.To:yyyy-MM-dd HH:mm} UTC, a value each {found.StepSeconds / 60:0} min; "
            + $"a host draws {found.IdleWatts:0} to {found.FullWatts:0} W.");
        if (found.Unrecorded > 0)
            screen.Note($"{Words.Counted(found.Unrecorded, "VM")} left out: nothing is recorded of them in this time.");
        if (found.StepSeconds > 300)
            screen.Note("Means of hours hide what lasts for minutes: up to --hours 24 is told more finely.");
    }

    private static IReadOnlyList<Cell> Row(ReplayedMode mode) =>
    [
        new Cell(Name(mode.Policy), Tone.Strong), Amounts.Count(mode.Moves),
        new Cell(mode.MovesThatHurt.ToString(CultureInfo.InvariantCulture), mode.MovesThatHurt > 0 ? Tone.Warn : Tone.Plain),
        Amounts.Count(mode.Returns), Number(mode.OverloadMinutes, "0"), Number(mode.LostShare * 100, "0.00") + " %",
        Number(mode.MeanHostsOn, "0.0"), Number(mode.EnergyKwh, "0.0"),
    ];

    private static string Name(ReplayedPolicy policy) => policy switch
    {
        ReplayedPolicy.Off => "off",
        ReplayedPolicy.Partial => "partial",
        ReplayedPolicy.Automatic => "automatic",
        _ => "consolidation",
    };

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
