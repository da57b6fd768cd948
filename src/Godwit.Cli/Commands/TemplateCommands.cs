using System.CommandLine;
using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Server.Api;

namespace Godwit.Cli.Commands;

internal static class TemplateCommands
{
    private static readonly string[] headings = ["NAME", "FORMAT", "DISK", "FILE", "POOL", "HOSTS", "CLONES", "AGE", "SHA256"];

    public static Command Build(Verbs verbs)
    {
        var name = new Argument<string>("NAME");
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.OneOrMore };
        var file = new Argument<FileInfo>("FILE") { Description = "A disk image: qcow2, raw, VMDK, VHDX, VHD, or an OVA of one disk." };
        var format = new Option<string>("--format")
        {
            Description = "Form of the image, which its content must agree with; by default as the file's name ends, else as it is.",
        };
        format.AcceptOnlyFromAmong("auto", "raw", "qcow2", "vmdk", "vhdx", "vhd", "ova");
        var pool = new Option<string?>("--pool") { Description = "Where it is stored, if there is more than one." };
        return Verbs.Group("template", "Disk images that VMs are cloned from.",
            verbs.Verb("import", "Store a disk image under a name.", (session, parsed, cancel) => ImportAsync(session,
                parsed.GetValue(name)!, parsed.GetValue(file)!, parsed.GetValue(format), parsed.GetValue(pool), cancel),
                name, file, format, pool),
            verbs.Verb("list", "Every template.", async (session, _, cancel) =>
            {
                var templates = await session.Api.TemplatesAsync(cancel);
                if (session.Screen.IsJson) session.Screen.Document(templates);
                else session.Screen.Show(new Sheet(headings,
                    [.. templates.Select(template => Row(template, session.Time.GetUtcNow()))],
                    "No templates yet: godwit template import NAME FILE"));
                return ExitCode.All;
            }),
            verbs.Verb("show", "One template.", async (session, parsed, cancel) =>
            {
                var template = await session.Api.TemplateAsync(parsed.GetValue(name)!, cancel);
                if (session.Screen.IsJson) session.Screen.Document(template);
                else session.Screen.Show(new Sheet(headings, [Row(template, session.Time.GetUtcNow())], ""));
                return ExitCode.All;
            }, name),
            verbs.Verb("delete", "Delete templates that no VM is cloned from.", (session, parsed, cancel) =>
                Verbs.ForEachAsync(session, parsed.GetValue(names)!, async template =>
                {
                    await session.Api.DeleteTemplateAsync(template, cancel);
                    return template;
                }, template => $"{template} is deleted."), names));
    }

    private static async Task<int> ImportAsync(
        Session session, string name, FileInfo file, string? format, string? pool, CancellationToken cancel)
    {
        var form = format ?? file.Extension.ToLowerInvariant() switch
        {
            ".qcow2" => "qcow2", ".raw" => "raw", ".vmdk" => "vmdk", ".vhdx" => "vhdx", ".vhd" => "vhd", ".ova" => "ova", _ => "auto",
        };
        if (!file.Exists)
            throw new ApiException(new ApiError("file-missing", $"there is no file {file.FullName}") { Next = "check the path" });

        session.Screen.Note($"Importing {file.Name} ({Amounts.Bytes(file.Length)}) ...");
        await using var content = file.OpenRead();
        var template = await session.Api.ImportTemplateAsync(name, form, pool, content, cancel);
        if (session.Screen.IsJson) session.Screen.Document(template);
        if (template.ImportedAs is { Length: > 0 } kind)
            session.Screen.Line($"{file.Name} is {kind}; it is stored as {template.Format}.");
        session.Screen.Line($"{template.Name} is stored in pool {template.Pool} "
            + $"(disk of {Amounts.Bytes(template.VirtualBytes)}, sha256 {template.Sha256[..12]}…).");
        return ExitCode.All;
    }

    private static IReadOnlyList<Cell> Row(TemplateView template, DateTimeOffset now) =>
    [
        new Cell(template.Name, Tone.Strong), template.Format, Amounts.Bytes(template.VirtualBytes),
        Amounts.Bytes(template.FileBytes), template.Pool,
        string.Join(",", template.Hosts), Amounts.Count(template.Clones), Amounts.Age(now - template.CreatedAt),
        new Cell(template.Sha256[..12], Tone.Dim),
    ];
}
