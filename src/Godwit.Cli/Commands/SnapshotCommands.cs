using System.CommandLine;
using Godwit.Cli.Screens;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

/// <summary>`godwit vm snapshot`: states of a VM's disks, kept in their files.</summary>
internal static class SnapshotCommands
{
    private const int NoteCharsShown = 60;

    private static readonly string[] headings = ["NAME", "AGE", "BY", "KIND", "NOTE"];

    public static Command Build(Verbs verbs)
    {
        var vm = new Argument<string>("VM") { Description = "The VM's name." };
        var snapshot = new Argument<string>("SNAPSHOT") { Description = "The snapshot's name." };
        return Verbs.Group("snapshot", "States of a VM's disks, kept in their files.",
            Create(verbs),
            verbs.Verb("list", "Every snapshot of a VM, the newest first.", async (session, parsed, cancel) =>
            {
                var name = parsed.GetValue(vm)!;
                var snapshots = await session.Api.SnapshotsAsync(name, cancel);
                if (session.Screen.IsJson) session.Screen.Document(snapshots);
                else session.Screen.Show(new Sheet(headings, [.. snapshots.Select(one => Row(one, session.Time.GetUtcNow()))],
                    $"No snapshots yet: godwit vm snapshot create {name}"));
                return ExitCode.All;
            }, vm),
            verbs.Verb("revert", "Make the disks of a stopped VM what they were: what was written since is lost.",
                async (session, parsed, cancel) =>
                {
                    var view = await session.Api.RevertAsync(parsed.GetValue(vm)!, parsed.GetValue(snapshot)!, cancel);
                    if (session.Screen.IsJson) session.Screen.Document(view);
                    session.Screen.Line($"The disks of {view.Spec.Name} are as in {parsed.GetValue(snapshot)}.");
                    session.Screen.Note($"Start it: godwit vm start {view.Spec.Name}");
                    return ExitCode.All;
                }, vm, snapshot),
            verbs.Verb("delete", "Delete a snapshot: the disks stay as they are, going back to it is no longer possible.",
                async (session, parsed, cancel) =>
                {
                    await session.Api.DeleteSnapshotAsync(parsed.GetValue(vm)!, parsed.GetValue(snapshot)!, cancel);
                    session.Screen.Line($"Snapshot {parsed.GetValue(snapshot)} of {parsed.GetValue(vm)} is deleted.");
                    return ExitCode.All;
                }, vm, snapshot));
    }

    private static Command Create(Verbs verbs)
    {
        var vm = new Argument<string>("VM") { Description = "The VM's name." };
        var name = new Option<string?>("--name") { Description = $"Its name: {Names.Rule}; by default snapshot-1, and so on." };
        var note = new Option<string?>("--note")
        { Description = $"A line to be kept with it, up to {PersonsNote.CharsMax} characters.", HelpName = "TEXT" };
        const string description = "Keep the state of a VM's disks, while it runs or where it is stopped.";
        return verbs.Verb("create", description, async (session, parsed, cancel) =>
        {
            var wish = new SnapshotRequest(parsed.GetValue(name), parsed.GetValue(note));
            var view = await session.Api.MakeSnapshotAsync(parsed.GetValue(vm)!, wish, cancel);
            if (session.Screen.IsJson) session.Screen.Document(view);
            var made = (await session.Api.SnapshotsAsync(view.Spec.Name, cancel))
                .FirstOrDefault(one => wish.Name is null || one.Name == wish.Name);
            session.Screen.Line($"Snapshot {made?.Name ?? wish.Name} of {view.Spec.Name} is made" + (made?.IsCrashConsistent == true
                ? ", crash-consistent: its guest was not asked, so the disk is as after a power cut." : "."));
            return ExitCode.All;
        }, vm, name, note);
    }

    private static IReadOnlyList<Cell> Row(VmSnapshot snapshot, DateTimeOffset now) =>
    [
        new Cell(snapshot.Name, Tone.Strong), Amounts.Age(now - snapshot.CreatedAt), snapshot.By ?? "-",
        !snapshot.IsWhole ? new Cell("unfinished", Tone.Bad) : snapshot.IsCrashConsistent ? "crash-consistent" : "stopped",
        snapshot.Note is { Length: > NoteCharsShown } note ? note[..(NoteCharsShown - 1)] + "…" : snapshot.Note ?? "-",
    ];
}
