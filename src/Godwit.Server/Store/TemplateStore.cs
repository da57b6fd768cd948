using System.Data.Common;
using Godwit.Core;
using Godwit.Server.Templates;

namespace Godwit.Server.Store;

public sealed class TemplateStore(Database database, TimeProvider time)
{
    public const int TemplatesMax = 1_000;

    public Task<List<Template>> ListAsync() => database.RunAsync(work =>
        work.Query($"{Select} ORDER BY t.name LIMIT {TemplatesMax}", Read));

    public Task<Template?> FindAsync(string name) => database.RunAsync(work => Find(work, name));

    /// <summary>Null, or why not: a template of this name and other content is there.</summary>
    public Task<Refusal?> AddAsync(Template template) => database.RunAsync<Refusal?>(work =>
    {
        if (Find(work, template.Name) is { } old)
            return old.Sha256 == template.Sha256 && old.Share == template.Share ? null
                : new Refusal("name-taken", $"there is a template {template.Name} with other content (sha256 {old.Sha256[..12]}…)",
                    "choose another name: a template never changes under its clones");
        if (work.Number("SELECT COUNT(*) FROM templates") >= TemplatesMax)
            return new Refusal("too-many-templates", $"there are {TemplatesMax} templates", "delete one with 'godwit template delete'");
        Put(work, template);
        EventStore.Append(work, new Happening("template-imported",
            $"template {template.Name}: {template.VirtualBytes >> 20} MiB, sha256 {template.Sha256[..12]}…"), time.GetUtcNow());
        return null;
    });

    /// <summary>Forgets it; says whether its file is to be deleted too (no other template is the same content).</summary>
    public Task<(Refusal? Refusal, bool LastOfItsFile)> RemoveAsync(string name) => database.RunAsync(work =>
    {
        if (Find(work, name) is not { } template)
            return (new Refusal("template-not-found", $"there is no template {name}", "see 'godwit template list'"), false);
        var clones = work.Query(
            "SELECT name FROM vms WHERE template = @name ORDER BY name LIMIT 5", r => r.GetString(0), ("@name", name));
        if (clones.Count > 0)
            return (new Refusal("template-has-clones",
                $"{string.Join(", ", clones)}{(clones.Count == 5 ? " …" : "")} read from {name}",
                "delete the clones first: 'godwit vm list' shows the template of each"), false);
        work.Execute("DELETE FROM templates WHERE name = @name", ("@name", name));
        EventStore.Append(work, new Happening("template-deleted", $"template {name} deleted"), time.GetUtcNow());
        var left = work.Number("SELECT COUNT(*) FROM templates WHERE share = @share AND file = @file",
            ("@share", template.Share), ("@file", template.File));
        return ((Refusal?)null, left == 0);
    });

    internal static void Put(Work work, Template template) => work.Execute(
        "INSERT INTO templates (name, pool, share, file, created_at, doc) VALUES (@name, @pool, @share, @file, @at, @doc)",
        ("@name", template.Name), ("@pool", template.Pool), ("@share", template.Share), ("@file", template.File),
        ("@at", Fields.Time(template.CreatedAt)), ("@doc", Fields.Doc(template)));

    private static Template? Find(Work work, string name) =>
        work.Query($"{Select} WHERE t.name = @name", Read, ("@name", name)).FirstOrDefault();

    private const string Select =
        "SELECT t.doc, (SELECT COUNT(*) FROM vms WHERE vms.template = t.name) FROM templates t";

    private static Template Read(DbDataReader row) => row.Doc<Template>(0) with { Clones = (int)row.GetInt64(1) };
}
