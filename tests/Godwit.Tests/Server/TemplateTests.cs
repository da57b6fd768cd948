using System.Net;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Agent.Host;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Rebuild;
using Godwit.Server.Store;
using Godwit.Server.Templates;
using Microsoft.Data.Sqlite;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Templates and their versions: how they are numbered, chosen, cloned, deleted, and found again.</summary>
public sealed class TemplateTests : IDisposable
{
    private readonly StoreUnderTest _store = new();
    private TemplateStore Templates => _store.Stores.Templates;

    [Theory]
    [InlineData("debian", "debian", null)]
    [InlineData("debian:2", "debian", 2)]
    [InlineData("debian:0", "debian:0", null)]
    [InlineData("debian:-1", "debian:-1", null)]
    [InlineData("debian:9999999999", "debian:9999999999", null)]
    [InlineData(":2", ":2", null)]
    [InlineData("", "", null)]
    public void What_is_typed_is_a_name_or_a_name_with_a_version(string text, string name, int? version) =>
        Assert.Equal(new TemplateChoice(name, version), TemplateChoice.Parse(text));

    [Fact]
    public async Task A_file_goes_with_the_last_name_and_version_that_stands_on_it()
    {
        var (aa, bb) = (Made('a'), Made('b'));
        Assert.Equal(1, await AddAsync(aa));
        Assert.Equal(1, await AddAsync(aa)); // Again: as if once.
        var refusal = (await Templates.AddAsync(bb, isNewVersion: false)).Refusal;
        Assert.Equal("name-taken", refusal?.Code);
        Assert.Contains("--new-version", refusal?.Fix);
        Assert.Equal(2, await AddAsync(bb));
        Assert.Equal(2, await AddAsync(bb));
        Assert.Equal(3, await AddAsync(aa)); // Back to what it was: newest again, the same file.
        Assert.Equal(1, await AddAsync(aa with { Name = "twin" }));

        Assert.Equal([], await RemoveAsync(new("base", 1)));
        Assert.Equal(["template-bb.raw"], await RemoveAsync(new("base", 2)));
        Assert.Equal([], await RemoveAsync(new("base", null)));
        Assert.Equal(["template-aa.raw"], await RemoveAsync(new("twin", null)));
        Assert.Equal("template-not-found", (await Templates.RemoveAsync(new("twin", null))).Refusal?.Code);
    }

    [Fact]
    public async Task A_number_is_given_once_while_its_name_lives()
    {
        foreach (var content in "abc") await AddAsync(Made(content));
        await RemoveAsync(new("base", 3));
        Assert.Equal(2, (await Templates.FindAsync(new("base", null)))?.Version); // The latest that is left.
        Assert.Equal(4, await AddAsync(Made('c')));
        await RemoveAsync(new("base", null));
        Assert.Equal(1, await AddAsync(Made('d')));
    }

    [Fact]
    public async Task A_version_with_clones_stays_and_the_others_may_go()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        Assert.Equal(HttpStatusCode.Created, await ImportAsync(server, "base", 1));
        Assert.Equal(HttpStatusCode.Conflict, await ImportAsync(server, "base", 2));
        Assert.Equal(HttpStatusCode.Created, await ImportAsync(server, "base", 2, "&newVersion=true&note=with%20a%20shell"));

        var latest = await server.OkAsync<VmView>("POST", "vms", new { name = "new", template = "base" });
        var first = await server.OkAsync<VmView>("POST", "vms", new { name = "old", template = "base:1" });
        Assert.Equal(("base:2", "base:1"), (latest.Spec.TemplateText(), first.Spec.TemplateText()));
        Assert.NotEqual(latest.Spec.Disks[0].BackingFile, first.Spec.Disks[0].BackingFile);
        Assert.Equal("template-not-found", (await server.ProblemAsync("POST", "vms", new { name = "none", template = "base:3" })).Code);

        var view = Assert.Single(await server.OkAsync<TemplateView[]>("GET", "templates"));
        Assert.Equal((2, 2, 1, 2, "with a shell"), (view.Version, view.Versions, view.Clones, view.ClonesOfAll, view.Note));
        Assert.StartsWith("uid ", view.By);
        Assert.Equal([2, 1], (await server.OkAsync<TemplateView[]>("GET", "templates/base/versions")).Select(t => t.Version));
        Assert.Equal(2, (await server.OkAsync<TemplateView[]>("GET", "templates?all=true")).Length);
        Assert.Null((await server.OkAsync<TemplateView>("GET", "templates/base?version=1")).Note);

        Assert.Equal("template-has-clones", (await server.ProblemAsync("DELETE", "templates/base?version=1")).Code);
        Assert.Equal("template-has-clones", (await server.ProblemAsync("DELETE", "templates/base")).Code);
        using var vm = await server.SendAsync("DELETE", "vms/old");
        using var one = await server.SendAsync("DELETE", "templates/base?version=1");
        Assert.Equal(HttpStatusCode.NoContent, one.StatusCode);
        Assert.Equal(["base:2"], await NamesAsync(server));
        Assert.DoesNotContain(first.Spec.Disks[0].BackingFile!, server.Cluster["h1"].Files.Keys);
        Assert.Contains(latest.Spec.Disks[0].BackingFile!, server.Cluster["h1"].Files.Keys);
        Assert.Equal("template-not-found", (await server.ProblemAsync("DELETE", "templates/base?version=1")).Code);
    }

    [Theory]
    [InlineData("a%0Ab")]
    [InlineData("long")]
    public async Task A_note_is_one_short_line(string note)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var query = $"&note={(note == "long" ? new string('x', PersonsNote.CharsMax + 1) : note)}";
        Assert.Equal("bad-note", (await server.ProblemAsync("PUT", $"templates/base?format=raw&pool=default{query}")).Code);
        Assert.Empty(server.Cluster["h1"].Files);
    }

    [Fact]
    public async Task Versions_and_their_notes_come_back_from_the_hosts_and_clones_find_their_own()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await ImportAsync(server, "base", 1, "&note=the%20first");
        await ImportAsync(server, "base", 2, "&newVersion=true");
        var clone = await server.OkAsync<VmView>("POST", "vms", new { name = "web", template = "base:1", start = true });
        await server.Control.Notes.RoundAsync(default);
        await server.StopAsync();
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*")) File.Delete(file);

        await RebuildRun.RunAsync(
            new RebuildOptions(server.Directory, new RebuildWish([(new HostId("h1"), "h1:7443")], []), Lost: false, DryRun: false),
            new ServerPorts(new RealDisk(), new RealRandomness(), TimeProvider.System, server.Cluster), CancellationToken.None);
        await server.StartAgainAsync();
        Assert.Equal(["base:2", "base:1"], await NamesAsync(server));
        var first = await server.OkAsync<TemplateView>("GET", "templates/base?version=1");
        Assert.Equal(("the first", 1), (first.Note, first.Clones));
        Assert.StartsWith("uid ", first.By);
        Assert.Equal("base:1", (await server.OkAsync<VmView>("GET", "vms/web")).Spec.TemplateText());
        Assert.Equal(clone.Spec.Disks[0].BackingFile, first.File);
    }

    [Fact]
    public async Task Templates_of_an_older_store_are_first_versions_and_hold_their_clones()
    {
        var path = Path.Combine(Path.GetDirectoryName(_store.Path)!, "older.db");
        using (var older = new SqliteConnection($"Data Source={path};Pooling=False"))
        {
            older.Open();
            for (var version = 1; version <= 13; version++) Run(Script(version == 1 ? "Schema.sql" : $"Schema.{version}.sql"));
            Run("""
                INSERT INTO meta (name, value) VALUES ('schema', '13');
                INSERT INTO hosts (id, endpoint, reachable, cordoned, memory_bytes, facts) VALUES ('h1', 'h1:1', 0, 0, 1, '{}');
                INSERT INTO templates (name, pool, share, file, created_at, doc) VALUES ('base', 'default', 's', 'template-aa.raw', 5,
                  '{"name":"base","pool":"default","share":"s","file":"template-aa.raw","format":"raw","sha256":"aaaaaaaaaaaaaaaa",
                    "virtualBytes":1048576,"fileBytes":1,"createdAt":"2026-01-01T00:00:00Z"}');
                INSERT INTO vms (id, name, owner, epoch, state, rev, memory_bytes, uid, template, created_at, spec)
                  VALUES ('vm-1', 'web', 'h1', 1, 'stopped', 1, 1, 1, 'base', 5, '{}');
                INSERT INTO vms (id, name, owner, epoch, state, rev, memory_bytes, uid, template, created_at, spec)
                  VALUES ('vm-2', 'blank', 'h1', 1, 'stopped', 1, 1, 2, NULL, 5, '{}');
                """);

            void Run(string sql)
            {
                using var command = older.CreateCommand();
                command.CommandText = sql;
                command.ExecuteNonQuery();
            }
        }
        using var database = new SqliteDatabase(path, _ => { });
        var templates = new TemplateStore(database, _store.Time);
        var first = await templates.FindAsync(new("base", null));
        Assert.Equal((1, 1, "template-aa.raw"), (first?.Version, first?.Clones, first?.File));
        Assert.Equal("template-has-clones", (await templates.RemoveAsync(new("base", null))).Refusal?.Code);
        Assert.Equal(2, (await templates.AddAsync(Made('b'), isNewVersion: true)).Kept?.Version);
    }

    private static string Script(string name)
    {
        using var stream = typeof(SqliteDatabase).Assembly.GetManifestResourceStream($"Godwit.Server.Store.{name}")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static async Task<HttpStatusCode> ImportAsync(ServerUnderTest server, string name, byte content, string query = "")
    {
        using var body = new ByteArrayContent([content]);
        using var answer = await server.Http.PutAsync($"templates/{name}?format=raw&pool=default{query}", body);
        return answer.StatusCode;
    }

    private static async Task<IEnumerable<string>> NamesAsync(ServerUnderTest server) =>
        (await server.OkAsync<TemplateView[]>("GET", "templates?all=true")).Select(t => TemplateChoice.Text(t.Name, t.Version));

    private async Task<int> AddAsync(Template template)
    {
        var (kept, refusal) = await Templates.AddAsync(template, isNewVersion: true);
        Assert.Null(refusal);
        return kept!.Version;
    }

    private async Task<IEnumerable<string>> RemoveAsync(TemplateChoice choice)
    {
        var (refusal, files) = await Templates.RemoveAsync(choice);
        Assert.Null(refusal);
        return files.Select(t => t.File);
    }

    private static Template Made(char content) => new()
    {
        Name = "base", Pool = "default", Share = "s", File = $"template-{content}{content}.raw", Format = "raw",
        Sha256 = new string(content, 64), VirtualBytes = 1 << 20, FileBytes = 1, CreatedAt = FakeCluster.Now,
    };

    public void Dispose() => _store.Dispose();
}
