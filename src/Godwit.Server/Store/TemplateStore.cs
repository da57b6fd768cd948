using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Server.Templates;

namespace Godwit.Server.Store;

/// <summary>Templates, version by version.</summary>
public sealed class TemplateStore(Database database, TimeProvider time)
{
    /// <summary>All versions of all templates together.</summary>
    public const int VersionsMax = 1_000;

    /// <summary>Every version, the newest of each name first.</summary>
    public Task<List<Template>> ListAsync() => database.RunAsync(work =>
        work.Query($"{Select} ORDER BY t.name, t.version DESC LIMIT {VersionsMax}", Read));

    /// <summary>Null where there is none. Without a version: the latest.</summary>
    public Task<Template?> FindAsync(TemplateChoice choice) => database.RunAsync(work => Find(work, choice));

    /// <summary>
    /// As the next version of its name. What the latest version is already, by content and place, is that version, so that an
    /// import can be repeated. Without <paramref name="isNewVersion"/> a name that is taken stays as it is: then the reason.
    /// </summary>
    public Task<(Template? Kept, Refusal? Refusal)> AddAsync(Template template, bool isNewVersion) =>
        database.RunAsync<(Template?, Refusal?)>(work =>
        {
            if (Find(work, new(template.Name, null)) is { } latest)
            {
                if (latest.Sha256 == template.Sha256 && latest.Share == template.Share) return (latest, null);
                if (!isNewVersion)
                    return (null, new Refusal("name-taken", $"there is a template {template.Name} with other content "
                        + $"(version {latest.Version}, sha256 {latest.Sha256[..12]}…)",
                        "keep both with --new-version, or choose another name: a version never changes under its clones"));
            }
            if (work.Number("SELECT COUNT(*) FROM template_versions") >= VersionsMax)
                return (null, new Refusal("too-many-templates", $"there are {VersionsMax} versions of templates",
                    "delete what nobody needs: 'godwit template delete NAME --version N'"));
            template = template with { Version = LastVersion(work, template.Name) + 1 };
            Put(work, template);
            EventStore.Append(work, new Happening("template-imported", $"template {template}: {template.VirtualBytes >> 20} MiB, "
                + $"sha256 {template.Sha256[..12]}…{(template.By is null ? "" : $", by {template.By}")}"), time.GetUtcNow());
            return (template, null);
        });

    /// <summary>Forgets one version, or all; says which files nothing else stands on, which are to be deleted too.</summary>
    /// <param name="choice">Without a version: all of them.</param>
    public Task<(Refusal? Refusal, List<Template> LastOfTheirFiles)> RemoveAsync(TemplateChoice choice) => database.RunAsync(work =>
    {
        var removed = work.Query($"{Select} WHERE t.name = @name ORDER BY t.version", Read, ("@name", choice.Name))
            .Where(t => choice.Version is null || t.Version == choice.Version).ToList();
        if (removed.Count == 0) return (NotFound(choice), new List<Template>());
        if (removed.FirstOrDefault(t => t.Clones > 0) is { } needed) return (HasClones(work, needed), []);
        foreach (var template in removed)
        {
            work.Execute("DELETE FROM template_versions WHERE name = @name AND version = @version",
                ("@name", template.Name), ("@version", template.Version));
            EventStore.Append(work, new Happening("template-deleted", $"template {template} deleted"), time.GetUtcNow());
        }
        if (work.Number("SELECT COUNT(*) FROM template_versions WHERE name = @name", ("@name", choice.Name)) == 0)
            work.Execute("DELETE FROM template_names WHERE name = @name", ("@name", choice.Name));
        var last = removed.DistinctBy(t => (t.Share, t.File)).Where(t => work.Number(
            "SELECT COUNT(*) FROM template_versions WHERE share = @share AND file = @file", ("@share", t.Share), ("@file", t.File)) == 0);
        return ((Refusal?)null, last.ToList());
    });

    public static Refusal NotFound(TemplateChoice choice) => choice.Version is { } version
        ? new("template-not-found", $"there is no version {version} of a template {choice.Name}",
            $"see 'godwit template versions {choice.Name}'")
        : new("template-not-found", $"there is no template {choice.Name}", "see 'godwit template list'");

    internal static bool Has(Work work, string name, int version) => work.Number(
        "SELECT COUNT(*) FROM template_versions WHERE name = @name AND version = @version", ("@name", name), ("@version", version)) > 0;

    internal static void Put(Work work, Template template)
    {
        work.Execute(
            """
            INSERT INTO template_versions (name, version, pool, share, file, created_at, doc)
            VALUES (@name, @version, @pool, @share, @file, @at, @doc)
            """,
            ("@name", template.Name), ("@version", template.Version), ("@pool", template.Pool), ("@share", template.Share),
            ("@file", template.File), ("@at", Fields.Time(template.CreatedAt)), ("@doc", Fields.Doc(template)));
        var last = Math.Max(LastVersion(work, template.Name), template.Version);
        work.Execute("DELETE FROM template_names WHERE name = @name", ("@name", template.Name));
        work.Execute("INSERT INTO template_names (name, last_version) VALUES (@name, @last)", ("@name", template.Name), ("@last", last));
    }

    /// <summary>Given out last, be it deleted since; 0: none.</summary>
    private static int LastVersion(Work work, string name) => work.Query(
        "SELECT last_version FROM template_names WHERE name = @name", row => (int)row.GetInt64(0), ("@name", name)).FirstOrDefault();

    private static Refusal HasClones(Work work, Template needed)
    {
        var clones = work.Query("SELECT name FROM vms WHERE template = @name AND template_version = @version ORDER BY name LIMIT 5",
            row => row.GetString(0), ("@name", needed.Name), ("@version", needed.Version));
        return new Refusal("template-has-clones", $"{string.Join(", ", clones)}{(clones.Count == 5 ? " …" : "")} read from {needed}",
            "delete the clones first: 'godwit vm list' shows the template of each");
    }

    private static Template? Find(Work work, TemplateChoice choice) => choice.Version is { } version
        ? work.Query($"{Select} WHERE t.name = @name AND t.version = @version", Read, ("@name", choice.Name), ("@version", version))
            .FirstOrDefault()
        : work.Query($"{Select} WHERE t.name = @name ORDER BY t.version DESC LIMIT 1", Read, ("@name", choice.Name)).FirstOrDefault();

    private const string Select =
        """
        SELECT t.doc, (SELECT COUNT(*) FROM vms WHERE vms.template = t.name AND vms.template_version = t.version)
        FROM template_versions t
        """;

    private static Template Read(DbDataReader row) => row.Doc<Template>(0) with { Clones = (int)row.GetInt64(1) };
}
