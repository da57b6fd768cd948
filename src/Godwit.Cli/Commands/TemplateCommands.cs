using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class TemplateCommands
{
    private const int NoteCharsShown = 40;

    private static readonly string[] headings =
        ["NAME", "LATEST", "VERSIONS", "FORMAT", "DISK", "FILE", "POOL", "HOSTS", "CLONES", "AGE", "SHA256"];
    private static readonly string[] versionHeadings =
        ["VERSION", "AGE", "BY", "FORMAT", "DISK", "FILE", "POOL", "HOSTS", "CLONES", "SHA256", "NOTE"];

    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        return Verbs.Group("template", "Disk images that VMs are cloned from.",
            Import(verbs),
            verbs.Verb("list", "Every template, by its latest version.", async (session, _, cancel) =>
            {
                var templates = await session.Api.TemplatesAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(templates);
                else session.Screen.Show(new Sheet(headings,
                    [.. templates.Select(template => Row(template, session.Time.GetUtcNow()))],
                    "No templates yet: godwit template import NAME FILE"));
                return ExitCode.All;
            }),
            Show(verbs),
            verbs.Verb("versions", "Every version of one template, the newest first.", async (session, parsed, cancel) =>
            {
                var versions = await session.Api.TemplateVersionsAsync(parsed.GetValue(name)!, cancel);
                if (session.Screen.IsJson) session.Screen.Document(versions);
                else session.Screen.Show(new Sheet(versionHeadings,
                    [.. versions.Select(template => VersionRow(template, session.Time.GetUtcNow()))], ""));
                return ExitCode.All;
            }, name),
            Delete(verbs));
    }

    /// <summary>Of a verb that takes one <c>NAME</c> or <c>NAME:VERSION</c>.</summary>
    public static Option<int?> VersionOption(string description)
    {
        var version = new Option<int?>("--version") { Description = description, HelpName = "N" };
        version.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1) result.AddError("A version is 1 or more.");
        });
        return version;
    }

    /// <summary>What the two ways of naming a version say together.</summary>
    public static TemplateChoice Choice(string text, int? version)
    {
        var choice = TemplateChoice.Parse(text);
        if (choice.Version is { } named && version is { } said && named != said)
            throw new ApiException(new ApiError("bad-template", $"{text} and --version {said} are two versions") { Next = "say one" });
        return choice with { Version = version ?? choice.Version };
    }

    private static Command Import(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        var file = new Argument<FileInfo>("FILE") { Description = "A disk image: qcow2, raw, VMDK, VHDX, VHD, or an OVA of one disk." };
        var format = new Option<string>("--format")
        {
            Description = "Form of the image, which its content must agree with; by default as the file's name ends, else as it is.",
        };
        format.AcceptOnlyFromAmong("auto", "raw", "qcow2", "vmdk", "vhdx", "vhd", "ova");
        var pool = new Option<string?>("--pool") { Description = "Where it is stored, if there is more than one." };
        var newVersion = new Option<bool>("--new-version")
        { Description = "Where the name is taken: make it the next version, which clones take from then on." };
        var note = new Option<string?>("--note")
        { Description = $"A line to be kept with it, up to {PersonsNote.CharsMax} characters.", HelpName = "TEXT" };
        return verbs.Verb("import", "Store a disk image under a name.", (session, parsed, cancel) => ImportAsync(session,
            new Upload(parsed.GetValue(name)!, parsed.GetValue(file)!, parsed.GetValue(format), parsed.GetValue(pool),
                parsed.GetValue(newVersion), parsed.GetValue(note)), cancel), name, file, format, pool, newVersion, note);
    }

    private static Command Show(Verbs verbs)
    {
        var name = new Argument<string>("NAME") { Description = "A template: NAME, its latest version, or NAME:VERSION." };
        var version = VersionOption("This version of it.");
        return verbs.Verb("show", "One version of a template; the latest, if none is said.", async (session, parsed, cancel) =>
        {
            var template = await session.Api.TemplateAsync(Choice(parsed.GetValue(name)!, parsed.GetValue(version)), cancel);
            if (session.Screen.IsJson) session.Screen.Document(template);
            foreach (var (title, value) in Facts(template)) session.Screen.Line($"{title,-9} {value}");
            return ExitCode.All;
        }, name, version);
    }

    private static Command Delete(Verbs verbs)
    {
        var names = new Argument<string[]>("NAME")
        { Arity = ArgumentArity.OneOrMore, Description = "Templates: NAME, with all its versions, or NAME:VERSION." };
        var version = VersionOption("This version only.");
        return verbs.Verb("delete", "Delete templates, or versions of them, that no VM is cloned from.", (session, parsed, cancel) =>
            Verbs.ForEachAsync(session, parsed.GetValue(names)!, async text =>
            {
                var choice = Choice(text, parsed.GetValue(version));
                await session.Api.DeleteTemplateAsync(choice, cancel);
                return choice;
            }, choice => choice.Version is { } one ? $"Version {one} of {choice.Name} is deleted."
                : $"{choice.Name} is deleted, with all its versions."), names, version);
    }

    private static async Task<int> ImportAsync(Session session, Upload upload, CancellationToken cancel)
    {
        var file = upload.File;
        var form = upload.Format ?? file.Extension.ToLowerInvariant() switch
        {
            ".qcow2" => "qcow2", ".raw" => "raw", ".vmdk" => "vmdk", ".vhdx" => "vhdx", ".vhd" => "vhd", ".ova" => "ova", _ => "auto",
        };
        if (!file.Exists)
            throw new ApiException(new ApiError("file-missing", $"there is no file {file.FullName}") { Next = "check the path" });
        if (PersonsNote.WhyNot(upload.Note) is { } bad) // Before the bytes are on their way.
            throw new ApiException(new ApiError(bad.Code, bad.Cause) { Next = bad.Fix });

        session.Screen.Note($"Importing {file.Name} ({Amounts.Bytes(file.Length)}) ...");
        await using var content = file.OpenRead();
        var template = await session.Api.ImportTemplateAsync(
            upload.Name, form, upload.Pool, content, cancel, upload.IsNewVersion, upload.Note);
        if (session.Screen.IsJson) session.Screen.Document(template);
        if (template.ImportedAs is { Length: > 0 } kind)
            session.Screen.Line($"{file.Name} is {kind}; it is stored as {template.Format}.");
        session.Screen.Line($"{template.Name} version {template.Version} is stored in pool {template.Pool} "
            + $"(disk of {Amounts.Bytes(template.VirtualBytes)}, sha256 {template.Sha256[..12]}…).");
        return ExitCode.All;
    }

    private static IEnumerable<(string Title, string Value)> Facts(TemplateView template)
    {
        yield return ("name", template.Name);
        yield return ("version", template.Versions == 1 ? $"{template.Version}"
            : $"{template.Version} of {template.Versions}: godwit template versions {template.Name}");
        if (template.Note is { } note) yield return ("note", note);
        yield return ("imported", $"{template.CreatedAt:yyyy-MM-dd HH:mm:ss} UTC{(template.By is null ? "" : $", by {template.By}")}");
        yield return ("disk", $"{Amounts.Bytes(template.VirtualBytes)} {template.Format}, file of {Amounts.Bytes(template.FileBytes)}");
        yield return ("pool", $"{template.Pool}, {template.File}");
        yield return ("hosts", template.Hosts.Count == 0 ? "none that answers" : string.Join(", ", template.Hosts));
        yield return ("sha256", template.Sha256);
        yield return ("clones", Amounts.Count(template.Clones));
    }

    private static IReadOnlyList<Cell> Row(TemplateView template, DateTimeOffset now) =>
    [
        new Cell(template.Name, Tone.Strong), Amounts.Count(template.Version), Amounts.Count(template.Versions), template.Format,
        Amounts.Bytes(template.VirtualBytes), Amounts.Bytes(template.FileBytes), template.Pool,
        string.Join(",", template.Hosts), Amounts.Count(template.ClonesOfAll), Amounts.Age(now - template.CreatedAt),
        new Cell(template.Sha256[..12], Tone.Dim),
    ];

    private static IReadOnlyList<Cell> VersionRow(TemplateView template, DateTimeOffset now) =>
    [
        new Cell(TemplateChoice.Text(template.Name, template.Version), Tone.Strong), Amounts.Age(now - template.CreatedAt),
        template.By ?? "-", template.Format, Amounts.Bytes(template.VirtualBytes), Amounts.Bytes(template.FileBytes), template.Pool,
        string.Join(",", template.Hosts), Amounts.Count(template.Clones), new Cell(template.Sha256[..12], Tone.Dim),
        template.Note is { Length: > NoteCharsShown } note ? note[..(NoteCharsShown - 1)] + "…" : template.Note ?? "-",
    ];

    private sealed record Upload(string Name, FileInfo File, string? Format, string? Pool, bool IsNewVersion, string? Note);
}
