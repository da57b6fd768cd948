using System.CommandLine;
using System.Security.Cryptography;
using Godwit.Cli.Api;
using Godwit.Cli.Demo;
using Godwit.Cli.Lab;
using Godwit.Cli.Screens;
using Godwit.Core.Access;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit lab` and `godwit demo`: whole clusters on one machine.</summary>
internal static class LabCommands
{
    private const string Tag = "lab", PersonName = "player";

    public static Command Demo(Verbs verbs) => verbs.Verb("demo",
        "Show it: two lab hosts, one real VM, live, quick and same-host moves with receipts; cleans up.",
        (session, _, cancel) => TellAsync(() => new DemoRun(session).RunAsync(cancel)));

    public static Command Lab(Verbs verbs)
    {
        var hosts = new Option<int>("--hosts") { Description = "How many hosts.", DefaultValueFactory = _ => 2 };
        hosts.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > LabPlan.HostCountMax)
                result.AddError($"A lab has 1 to {LabPlan.HostCountMax} hosts.");
        });
        return Verbs.Group("lab", "A cluster of network namespaces on this machine, to play with.",
            verbs.Verb("up", "Start a lab and leave it running.", (session, parsed, cancel) =>
                TellAsync(() => UpAsync(session, parsed.GetValue(hosts), cancel)), hosts),
            verbs.Verb("down", "Remove the lab: its VMs, hosts, networks and files.", (session, _, _) => TellAsync(async () =>
            {
                await new Steps(session.Screen, session.Time).RunAsync("Removing the lab's VMs, hosts, networks and files",
                    () => LabCluster.RemoveAsync(LabPlan.Of(Tag, 1)));
                return ExitCode.All;
            })));
    }

    private static async Task<int> UpAsync(Session session, int hostCount, CancellationToken cancel)
    {
        var plan = LabPlan.Of(Tag, hostCount) with { HasLegForPeople = true };
        if (await AnswersAsync(session.At(new ServerAddress(plan.ServerSocket, IsChosen: true)), cancel))
            throw new ApiException(new ApiError("lab-is-up", "a lab runs on this machine already")
            { Next = "use it, or remove it with its VMs: godwit lab down" });

        await using var lab = await new Steps(session.Screen, session.Time).RunAsync("Looking for what a former lab left",
            next => LabCluster.StartAsync(plan, new LabOptions
            {
                Tell = next, ServerArguments = ["--listen", $"{LabPlan.ServerAddress}:{ServerAddress.Port}"],
            }, cancel));
        lab.Keep();
        var password = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
        await lab.Access.AddUserAsync(new AddUserRequest(PersonName, Role.Admin, password), cancel);
        session.Screen.Line("");
        session.Screen.Line($"The lab is up: {Words.Counted(hostCount, "host")}, template {LabCluster.TemplateName}. Try:");
        foreach (var line in (string[])
            [
                "host list", $"vm create web1 --template {LabCluster.TemplateName} --host host1 --start",
                "vm migrate web1", "vm console web1", "lab down",
            ]) session.Screen.Line($"  godwit {line}", Tone.Strong);
        session.Screen.Line("");
        session.Screen.Line($"Console: https://{LabPlan.ServerAddress}:{ServerAddress.Port}/", Tone.Strong);
        session.Screen.Line($"  Log in as {PersonName} with {password}. "
            + "The browser does not know the lab's CA yet (godwit ca): go on all the same.");
        return ExitCode.All;
    }

    private static async Task<bool> AnswersAsync(Session lab, CancellationToken cancel)
    {
        using (lab)
        {
            try
            {
                await lab.Api.HostsAsync(cancel);
                return true;
            }
            catch (ApiException)
            {
                return false;
            }
        }
    }

    private static async Task<int> TellAsync(Func<Task<int>> act)
    {
        try
        {
            return await act();
        }
        catch (LabException reason)
        {
            throw new ApiException(new ApiError("lab-failed", reason.Message), reason);
        }
    }
}
