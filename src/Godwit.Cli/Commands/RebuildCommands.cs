using System.CommandLine;
using System.CommandLine.Parsing;
using Godwit.Agent.Host;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Cli.Services;
using Godwit.Core;
using Godwit.Core.Rebuild;
using Godwit.Server.Identity;
using Godwit.Server.Rebuild;

namespace Godwit.Cli.Commands;

/// <summary>`godwit server rebuild` and `backup-identity`: for the day the server's disk dies. No server runs meanwhile.</summary>
internal static class RebuildCommands
{
    private const int HostsFileBytesMax = 256 << 10;

    public static Command Rebuild(Verbs verbs)
    {
        var state = ServiceCommands.Directory("--state", "The server's directory, with the cluster's CA in it.",
            ServiceDefaults.ServerState);
        var hosts = new Option<(string Name, string Endpoint)[]>("--host")
        {
            Description = "A host of the cluster and where its agent listens; again for more.", HelpName = "NAME=ADDRESS:PORT",
            CustomParser = result => ParseHosts(result, result.Tokens.Select(t => t.Value)),
        };
        var file = new Option<FileInfo?>("--hosts") { Description = "The same from a file, a line each.", HelpName = "FILE" };
        var gone = new Option<string[]>("--gone")
        { Description = "A host that is off for good: what it may know counts no longer. Again for more.", HelpName = "NAME" };
        var lost = new Option<bool>("--lost") { Description = "Read nothing of the store that is there: it is damaged." };
        var dry = new Option<bool>("--dry-run") { Description = "Ask the hosts and show what would be written." };
        return verbs.Verb("rebuild", "Make the store anew from what the hosts have written down; no server may run.",
            async (session, parsed, cancel) =>
            {
                FileModes.AsAsked();
                var named = (parsed.GetValue(hosts) ?? []).Concat(await FromFileAsync(parsed.GetValue(file), cancel))
                    .Select(h => (new HostId(h.Name), h.Endpoint)).ToList();
                var off = (parsed.GetValue(gone) ?? []).Select(g => new HostId(g)).ToList();
                Check(named, off);
                var options = new RebuildOptions(
                    parsed.GetValue(state)!, new RebuildWish(named, off), parsed.GetValue(lost), parsed.GetValue(dry));
                var outcome = await RebuildRun.RunAsync(options, MachineUp.Ports(), cancel);
                RebuildSheet.Show(session.Screen, outcome, options.DryRun);
                return outcome.Plan.Vms.Any(v => v.Frozen.Count > 0) || outcome.Plan.Hosts.Any(h => h.IsSilent) ? ExitCode.Failed
                    : ExitCode.All;
            }, state, hosts, file, gone, lost, dry);
    }

    public static Command BackUpIdentity(Verbs verbs)
    {
        var state = ServiceCommands.Directory("--state", "The server's directory.", ServiceDefaults.ServerState);
        var to = new Argument<FileInfo>("FILE") { Description = "Where to; must not be there yet. Keep it off this machine, and secret." };
        return verbs.Verb("backup-identity", "Copy the cluster's CA, without which no rebuilt server is obeyed by its hosts.",
            async (session, parsed, cancel) =>
            {
                FileModes.AsAsked();
                var (directory, target) = (parsed.GetValue(state)!, parsed.GetValue(to)!.FullName);
                var disk = new RealDisk();
                var pem = await ClusterCa.ReadFileAsync(directory, disk, cancel)
                    ?? throw new RefusedException("ca-missing",
                        $"there is no CA in {directory}", "name the server's directory with --state");
                if (disk.SizeOf(target) is not null)
                    throw new RefusedException("file-exists",
                        $"{target} is there already", "name another file: a backup is never overwritten");
                await disk.WriteDurablyAsync(target, pem, cancel);
                session.Screen.Line($"{target} holds the cluster's CA and its key. "
                    + "Whoever has it can act as this server: keep it secret, elsewhere.");
                return ExitCode.All;
            }, state, to);
    }

    private static void Check(List<(HostId Host, string Endpoint)> named, List<HostId> gone)
    {
        if (named.GroupBy(h => h.Host).FirstOrDefault(g => g.Select(h => h.Endpoint).Distinct().Count() > 1) is { } twice)
            throw new RefusedException("host-named-twice", $"{twice.Key} is given two addresses", "say where its agent listens now");
        if (gone.FirstOrDefault(g => named.Any(h => h.Host == g)) is { Value: not null } both)
            throw new RefusedException("host-gone", $"{both} is given an address and said to be off for good", "leave one of the two out");
    }

    private static (string, string)[] ParseHosts(ArgumentResult result, IEnumerable<string> texts)
    {
        var parsed = texts.Select(Parse).ToArray();
        if (parsed.Any(h => h is null))
            result.AddError($"--host takes NAME=ADDRESS:PORT, such as host1=10.0.0.5:{ServiceDefaults.AgentPort}.");
        return [.. parsed.OfType<(string, string)>()];
    }

    private static async Task<IEnumerable<(string Name, string Endpoint)>> FromFileAsync(FileInfo? file, CancellationToken cancel)
    {
        if (file is null) return [];
        if (file.Length > HostsFileBytesMax)
            throw new ApiException(new ApiError("hosts-file-broken", $"{file.Name} is too long") { Next = "give a line a host" });
        var hosts = new List<(string, string)>();
        await foreach (var line in File.ReadLinesAsync(file.FullName, cancel))
        {
            var text = line.Split('#')[0].Trim();
            if (text.Length == 0) continue;
            hosts.Add(Parse(text) ?? throw new ApiException(new ApiError("hosts-file-broken",
                $"'{text}' in {file.Name} is not NAME=ADDRESS:PORT")
            { Next = $"write a line a host, such as host1=10.0.0.5:{ServiceDefaults.AgentPort}" }));
        }
        return hosts;
    }

    private static (string Name, string Endpoint)? Parse(string text)
    {
        var equals = text.IndexOf('=');
        return equals > 0 && Names.IsValid(text[..equals]) && text.LastIndexOf(':') > equals
            ? (text[..equals], text[(equals + 1)..]) : null;
    }
}

/// <summary>A rebuilt store as people see it. Pure but for the screen.</summary>
internal static class RebuildSheet
{
    private static readonly string[] vmHeadings = ["VM", "HOST", "EPOCH", "STATE", "MOVE", "FROZEN"];

    public static void Show(Screen screen, RebuildOutcome outcome, bool dryRun)
    {
        var plan = outcome.Plan;
        if (screen.IsJson) screen.Document(View(outcome, dryRun));
        foreach (var host in plan.Hosts.Where(h => h.Inventory is null))
            screen.Line($"{host.Host} at {host.Endpoint} said nothing: {host.Silence}", Tone.Bad);
        if (!screen.IsJson) screen.Show(new Sheet(vmHeadings, [.. plan.Vms.Select(Row)], "No host knows a VM."));
        foreach (var vm in plan.Vms)
            foreach (var reason in vm.Frozen)
            {
                screen.Line($"{vm.Vm.Spec.Name} is frozen ({reason.Code}): {reason.Cause}", Tone.Warn);
                screen.Line($"  next: {reason.Fix}");
            }
        foreach (var template in plan.Templates) screen.Line($"template {template.Name}: {template.Pool}/{template.File}");
        foreach (var left in plan.LeftOut) screen.Line($"not rebuilt: {left.Thing}: {left.Why}", Tone.Dim);
        screen.Line(dryRun ? "Nothing was written."
            : outcome.Kept is null ? "The store is made; start the server."
                : $"The store is made; the one before is {outcome.Kept}. Start the server.");
    }

    private static object View(RebuildOutcome outcome, bool dryRun) => new
    {
        DryRun = dryRun,
        outcome.Kept,
        Hosts = outcome.Plan.Hosts.Select(h => new
        {
            Host = h.Host.Value, h.Endpoint, Answered = h.Inventory is not null, h.Silence, h.IsGone,
        }),
        Vms = outcome.Plan.Vms.Select(v => new
        {
            Id = v.Vm.Spec.Id.Value, v.Vm.Spec.Name, Host = v.Vm.Owner.Value, Epoch = v.Vm.Epoch.Value, State = Words.Of(v.Vm.State),
            v.Frozen,
            Moves = v.Moves.Select(m => new
            {
                Id = m.Id.Value, Source = m.Source.Value, Target = m.Target.Value, m.Reason, GoesOn = m.End is null,
            }),
        }),
        Templates = outcome.Plan.Templates.Select(t => new { t.Name, t.Pool, t.File }),
        NotRebuilt = outcome.Plan.LeftOut,
    };

    private static IReadOnlyList<Cell> Row(PlannedVm planned) =>
    [
        new Cell(planned.Vm.Spec.Name, Tone.Strong), planned.Vm.Owner.ToString(), planned.Vm.Epoch.ToString(), Words.Of(planned.Vm.State),
        planned.Moves.Count == 0 ? "-" : string.Join(" ", planned.Moves.Select(m => m.Id.Value)),
        planned.Frozen.Count == 0 ? "-" : new Cell(string.Join(" ", planned.Frozen.Select(r => r.Code)), Tone.Warn),
    ];
}
