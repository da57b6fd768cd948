using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Godwit.Cli.Screens;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class HostCommands
{
    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME") { Description = "The host's name in the cluster." };
        var address = new Option<string>("--address")
        {
            Description = "Where its agent listens for the server.", HelpName = "ADDRESS:PORT", Required = true,
        };
        return Verbs.Group("host", "The machines that run VMs.",
            verbs.Verb("add", "Dial a host that has joined: it moved, or was not reached.", async (session, parsed, cancel) =>
            {
                var host = await session.Api.AddHostAsync(
                    new AddHostRequest(parsed.GetValue(name)!, parsed.GetValue(address)!), cancel);
                if (session.Screen.IsJson) session.Screen.Document(host);
                session.Screen.Line($"{host.Id} is in the cluster ({Words.Of(host.State)}).");
                return ExitCode.All;
            }, name, address),
            verbs.Verb("list", "Every host, and what it offers.", ListAsync),
            verbs.Verb("show", "All that is known of one host.", async (session, parsed, cancel) =>
            {
                var host = await session.Api.HostAsync(parsed.GetValue(name)!, cancel);
                if (session.Screen.IsJson) session.Screen.Document(host);
                foreach (var (title, value) in HostSheet.Facts(host)) session.Screen.Line($"{title,-13} {value}");
                return ExitCode.All;
            }, name),
            Cordon(verbs, "cordon", "Place no new VMs on hosts; what runs there goes on."),
            Cordon(verbs, "uncordon", "Let hosts take new VMs again."),
            DrainCommands.Drain(verbs),
            DrainCommands.Restore(verbs),
            PowerCommands.Standby(verbs), PowerCommands.Wake(verbs),
            HostFenceCommands.Set(verbs, name), HostFenceCommands.Fence(verbs, name), HostFenceCommands.Recover(verbs, name),
            verbs.Verb("remove", "Take an empty host out of the cluster.", async (session, parsed, cancel) =>
            {
                await session.Api.RemoveHostAsync(parsed.GetValue(name)!, cancel);
                session.Screen.Line($"{parsed.GetValue(name)} is no longer in the cluster.");
                return ExitCode.All;
            }, name),
            Token(verbs),
            Revoke(verbs));
    }

    private static Command Token(Verbs verbs)
    {
        var name = new Option<string?>("--name")
        { Description = "The only name it lets in, also one that is known already.", HelpName = "HOST" };
        var expires = new Option<int?>("--expires")
        { Description = "How long it may be used: 15m (so if not given) to 24h.", HelpName = "TIME", CustomParser = ParseMinutes };
        return verbs.Verb("token", "Let one new host in, once.", async (session, parsed, cancel) =>
        {
            var wish = new CreateJoinTokenRequest(parsed.GetValue(name), parsed.GetValue(expires));
            var made = await session.Api.CreateJoinTokenAsync(wish, cancel);
            if (session.Screen.IsJson) session.Screen.Document(made);
            session.Screen.Line(made.Text);
            var here = session.Server.Url?.ToString() ?? "https://THIS-SERVER";
            session.Screen.Note($"For {made.Host ?? "one new host"}, once, until {SessionCommands.Moment(made.ExpiresAt)}. "
                + $"On that machine: godwit agent join TOKEN --server {here} --link ADDRESS:PORT");
            return ExitCode.All;
        }, name, expires);
    }

    private static Command Revoke(Verbs verbs)
    {
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore };
        return verbs.Verb("revoke", "Trust hosts' certificates no longer; their VMs go on, and they may join again.",
            (session, parsed, cancel) => Verbs.ForEachAsync(session, parsed.GetValue(names)!,
                name => session.Api.ActOnHostAsync(name, "revoke", cancel),
                host => $"Every certificate of {host.Id} is revoked. To let it back in: godwit host token --name {host.Id}"), names);
    }

    private static int? ParseMinutes(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        var minutesPerUnit = text.EndsWith('m') ? 1 : text.EndsWith('h') ? 60 : 0;
        if (minutesPerUnit > 0 && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            && count is > 0 and <= 1440 && count * minutesPerUnit <= 1440)
            return count * minutesPerUnit;
        result.AddError($"'{text}' is not a time a join token may live: give 1m to 24h.");
        return null;
    }

    private static Command Cordon(Verbs verbs, string act, string description)
    {
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore };
        return verbs.Verb(act, description, (session, parsed, cancel) => Verbs.ForEachAsync(session,
            parsed.GetValue(names)!, name => session.Api.ActOnHostAsync(name, act, cancel),
            host => $"{host.Id} is {Words.Of(host.State)}."), names);
    }

    private static async Task<int> ListAsync(Session session, ParseResult parsed, CancellationToken cancel)
    {
        var hosts = await session.Api.HostsAsync(cancel);
        if (session.Screen.IsJson) session.Screen.Document(hosts);
        else session.Screen.Show(HostSheet.Of(hosts));
        return ExitCode.All;
    }
}

/// <summary>Hosts as people see them. Pure.</summary>
internal static class HostSheet
{
    private static readonly string[] headings =
        ["NAME", "STATE", "FENCE", "VMS", "CPUS", "MEM ASSIGNED", "OFFERED", "TOTAL", "QEMU", "RUNS ON", "CPU MODEL", "LINK"];

    public static Sheet Of(IReadOnlyList<HostView> hosts) => new(headings,
        [.. hosts.OrderBy(host => host.Id.Value, StringComparer.Ordinal).Select(Row)],
        "No hosts yet: godwit host token, then on the new host: godwit agent join TOKEN");

    public static IEnumerable<(string Title, string Value)> Facts(HostView host)
    {
        yield return ("name", host.Id.ToString());
        yield return ("state", DrainText.StateOf(host) + (host.SilentSeconds is { } silent
            ? $", silent for {Amounts.Milliseconds(silent * 1000)}" : ""));
        if (host.Drain is { Reason: { } reason }) yield return ("drain", reason);
        if (host.Fenced is { } proof) yield return ("fenced", $"{SessionCommands.Moment(proof.At)} {proof.Sentence}");
        if (host.Tags.Count > 0) yield return ("tags", string.Join(", ", host.Tags));
        if (host.Fence is not null) yield return ("fence", HostFenceCommands.FenceOf(host));
        foreach (var line in PowerText.Facts(host.Power)) yield return line;
        if (host.Recovery is { } recovery)
        {
            yield return ("recovery", $"{recovery.Id}, {SessionCommands.Moment(recovery.CreatedAt)}, for {recovery.By}: "
                + HostFenceCommands.Sentence(recovery));
            foreach (var vm in recovery.Vms ?? []) yield return ("", $"{vm.Name} {vm.Outcome ?? "waits"}");
        }
        yield return ("agent", host.Endpoint + (host.Facts is null ? "" : $", version {host.Facts.AgentVersion}"));
        if (host.Facts is not { } facts) yield break;
        if (facts.Certificate is { } certificate)
            yield return ("certificate", $"until {SessionCommands.Moment(certificate.NotAfter)}, "
                + $"renewed from {SessionCommands.Moment(certificate.Life.RenewAt)} on");
        if (facts.Watchdog is { } watchdog) yield return ("watchdog", HostFenceCommands.Sentence(watchdog));
        yield return ("kernel", facts.KernelVersion);
        yield return ("vms", Amounts.Count(host.Vms));
        yield return ("cpu", $"{facts.Cpus} × {facts.CpuModelName}");
        yield return ("runs on", $"{Words.Of(facts.Accelerator)}: {facts.AcceleratorReason}");
        yield return ("memory", $"{Amounts.Bytes(host.MemoryAssignedBytes)} assigned of {Amounts.Bytes(host.MemoryOfferedBytes)} "
            + $"offered; {Amounts.Bytes(facts.MemoryBytes)} in all");
        foreach (var qemu in facts.Qemus)
            yield return ("qemu", $"{qemu.Version} at {qemu.Path}; CPU models {Few(qemu.UsableCpuModels)}");
        yield return ("networks", facts.Bridges.Count == 0 ? "none" : string.Join(", ", facts.Bridges));
        foreach (var pool in facts.Pools)
            yield return ("pool", $"{pool.Name} at {pool.Path}: {Amounts.Bytes(pool.FreeBytes)} free of "
                + Amounts.Bytes(pool.SizeBytes) + Shared(host, pool) + (pool.Writable ? "" : ", NOT WRITABLE"));
        foreach (var link in facts.Links) yield return ("link", $"{link.Interface} {link.Address}, {Speed(link)}, MTU {link.Mtu}");
        if (facts.JournalSilentSeconds > 0)
            yield return ("journal",
                $"has not answered for {facts.JournalSilentSeconds:0} s: its disk hangs; the host takes and gives no VM");
        foreach (var note in facts.Notes) yield return ("note", note);
    }

    private static IReadOnlyList<Cell> Row(HostView host)
    {
        var state = new Cell(DrainText.StateOf(host), host.State == HostState.Ready ? Tone.Good
            : host.State == HostState.Cordoned ? Tone.Warn : host.State == HostState.Standby ? Tone.Dim : Tone.Bad);
        Cell[] head = [new Cell(host.Id.ToString(), Tone.Strong), state, Fence(host), Amounts.Count(host.Vms)];
        if (host.Facts is not { } facts)
            return [.. head, .. Enumerable.Repeat(new Cell("?", Tone.Dim), headings.Length - head.Length)];
        return
        [
            .. head, Amounts.Count(facts.Cpus), Amounts.Bytes(host.MemoryAssignedBytes),
            Amounts.Bytes(host.MemoryOfferedBytes), Amounts.Bytes(facts.MemoryBytes),
            facts.Qemus.Count == 0 ? new Cell("none", Tone.Bad) : string.Join(" ", facts.Qemus.Select(q => q.Version)),
            Words.Of(facts.Accelerator), facts.CpuModelName,
            facts.Links.Count == 0 ? "?" : Speed(facts.Links.MaxBy(link => link.SpeedBitsPerSecond)!),
        ];
    }

    private static Cell Fence(HostView host) => host switch
    {
        { Fence: null } => new Cell("none", Tone.Dim),
        { Fence: WatchdogRules.FenceName, Watchdog: not { Confirmed: true } } => new Cell("watchdog, not armed", Tone.Warn),
        { Fence: WatchdogRules.FenceName } => $"watchdog, {host.Watchdog!.TimeoutSeconds} s",
        _ => host.Fence,
    };

    private static string Shared(HostView host, PoolFacts pool) =>
        host.SharedPools.TryGetValue(pool.Name, out var others) && others.Count > 0
            ? $", shared with {string.Join(", ", others)}" : ", on this host only";

    private static string Speed(LinkFacts link) => link.SpeedBitsPerSecond switch
    {
        0 => "speed unknown",
        >= 1_000_000_000 => FormattableString.Invariant($"{link.SpeedBitsPerSecond / 1e9:0.#} Gbit/s"),
        _ => FormattableString.Invariant($"{link.SpeedBitsPerSecond / 1e6:0.#} Mbit/s"),
    };

    private static string Few(IReadOnlyList<string> names) =>
        names.Count <= 4 ? string.Join(", ", names) : $"{string.Join(", ", names.Take(4))} and {names.Count - 4} more";
}
