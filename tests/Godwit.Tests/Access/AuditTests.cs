using System.Net;
using System.Net.Http.Json;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Tests.Control;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>The record of who did what: complete, before the deed, and telling on whoever changes it.</summary>
public sealed class AuditTests
{
    [Fact]
    public async Task What_is_done_has_a_row_before_and_a_row_after_with_everything_in_them()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<HostView>("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        using var ci = await server.RemoteAsync(await server.TokenAsync(Role.VmAdmin, "ci"));
        using var made = await ci.PostAsJsonAsync("vms", new CreateVmRequest("web"), ApiJson.Lenient);
        var id = Assert.Single(made.Headers.GetValues(GateHeaders.Request));

        var rows = (await RowsAsync(server)).Where(row => row.Entry.Request == id).ToList();
        Assert.Equal([AuditResult.Begun, AuditResult.Done], rows.Select(row => row.Entry.Result));
        var token = (await server.OkAsync<TokenView[]>("GET", "tokens")).Single();
        Assert.All(rows, row => Assert.Equal(
            ("ci", "vm-admin", "127.0.0.1", token.Id, "POST vms", "vms"),
            (row.Entry.Actor, row.Entry.Role, row.Entry.Source, row.Entry.Token, row.Entry.Action, row.Entry.Object)));
        Assert.Contains("\"name\":\"web\"", rows[0].Entry.Detail);
        Assert.Equal("201", rows[1].Entry.Detail);
        Assert.True((await server.OkAsync<AuditVerdict>("GET", "audit/verify")).IsWhole);
    }

    [Fact]
    public async Task Looking_leaves_no_row_and_a_console_does()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        var before = (await RowsAsync(server)).Count;
        await server.OkAsync<VmView[]>("GET", "vms");
        Assert.Equal(before, (await RowsAsync(server)).Count);
        using (await server.ConsoleAsync("web")) { }
        var rows = (await RowsAsync(server)).Skip(before).Select(row => (row.Entry.Action, row.Entry.Object, row.Entry.Result));
        Assert.Equal([("GET vms/{vm}/console", "vms/web/console", "begun"), ("GET vms/{vm}/console", "vms/web/console", "done")], rows);
    }

    [Fact]
    public async Task A_display_leaves_rows_as_a_console_does()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.OkAsync<VmView>("POST", "vms", new { name = "web", display = "vnc", start = true });
        var before = (await RowsAsync(server)).Count;
        using (await server.ConsoleAsync("web", "display")) { }
        var rows = (await RowsAsync(server)).Skip(before).Select(row => (row.Entry.Action, row.Entry.Object, row.Entry.Result));
        Assert.Equal([("GET vms/{vm}/display", "vms/web/display", "begun"), ("GET vms/{vm}/display", "vms/web/display", "done")], rows);
    }

    [Fact]
    public async Task Refused_and_failed_attempts_are_recorded_without_any_secret()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "ann", role = "viewer", password = "seven godwits over the sea" });
        using var nobody = await server.RemoteAsync(null);
        using var viewer = await server.RemoteAsync(await server.TokenAsync(Role.Viewer, "ci"));
        using var invalid = await server.RemoteAsync("gwt_of-nobody");
        await nobody.DeleteAsync("vms/web?force=true");
        await invalid.GetAsync("hosts");
        await viewer.DeleteAsync("vms/web");
        await nobody.PostAsJsonAsync("login", new { name = "ann", password = "hunter2 hunter2" }, ApiJson.Strict);
        await nobody.PostAsJsonAsync("login", new { name = "hunter3-hunter3", password = "x" }, ApiJson.Strict);
        await nobody.PostAsJsonAsync("login", new { name = "ann", password = "seven godwits over the sea" }, ApiJson.Strict);
        await server.ProblemAsync("POST", "vms/none/start");

        var rows = await RowsAsync(server);
        Assert.Equal(
            [
                ("-", "DELETE vms/{vm}", "vms/web?force=true", "refused"), ("-", "GET hosts", "hosts", "refused"),
                ("ci", "DELETE vms/{vm}", "vms/web", "refused"),
                ("-", "POST login", "users/ann", "refused"), ("-", "POST login", "(no such user)", "refused"),
                ("-", "POST login", "users/ann", "begun"), ("-", "POST login", "users/ann", "done"),
            ],
            rows.Skip(4).SkipLast(2).Select(row => (row.Entry.Actor, row.Entry.Action, row.Entry.Object, row.Entry.Result)));
        Assert.Equal((AuditResult.Failed, "404 vm-not-found"), (rows[^1].Entry.Result, rows[^1].Entry.Detail));
        var all = string.Join('\n', rows.Select(row => row.ToString()));
        foreach (var secret in new[] { "godwits", "hunter", "gwt_" }) Assert.DoesNotContain(secret, all);
    }

    [Fact]
    public async Task Knocking_without_end_fills_no_disk_and_is_counted()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await ServerUnderTest.StartRemoteAsync(time);
        using var nobody = await server.RemoteAsync(null);
        for (var i = 0; i < AuditTrail.RefusedPerMinuteMax; i++) await nobody.GetAsync("vms");
        for (var i = 0; i < 40; i++) await nobody.PostAsJsonAsync("login", new { name = "ann", password = "x" }, ApiJson.Strict);
        Assert.Equal(AuditTrail.RefusedPerMinuteMax, (await RowsAsync(server)).Count);
        time.Advance(TimeSpan.FromMinutes(1));
        await nobody.GetAsync("vms");
        var rows = await RowsAsync(server);
        Assert.Equal(AuditTrail.RefusedPerMinuteMax + 2, rows.Count);
        Assert.Contains(rows, row => row.Entry.Detail == $"40 more, over {AuditTrail.RefusedPerMinuteMax} a minute");
    }

    [Fact]
    public async Task What_cannot_be_recorded_is_not_done_but_resume_and_cancel_are()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        await server.OkAsync<VmView>("POST", "vms/web/pause");
        await server.OkAsync<UserView>("POST", "users", new { name = "ann", role = "admin", password = "seven godwits over the sea" });
        Sql(server.StorePath, "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");

        foreach (var call in new[] { "POST vms/web/stop", "DELETE vms/web", "POST hosts/h2/cordon", "DELETE hosts/h2" })
            Assert.Equal(("audit-failed", 503), Both(await server.ProblemAsync(call.Split(' ')[0], call.Split(' ')[1])));
        var login = new { name = "ann", password = "seven godwits over the sea" };
        Assert.Equal(("audit-failed", 503), Both(await server.ProblemAsync("POST", "login", login)));
        Assert.Empty(await server.OkAsync<TokenView[]>("GET", "tokens"));
        Assert.Equal(0, server.Cluster["h1"].Count("StopVm"));
        Assert.Equal(2, (await server.OkAsync<HostView[]>("GET", "hosts")).Length);
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/resume")).State);
        Assert.Equal("migration-not-found", (await server.ProblemAsync("POST", "migrations/mv-1/cancel")).Code); // Let through.
    }

    [Theory]
    [InlineData("UPDATE audit SET object = 'hosts/h9' WHERE seq = 3", 3, "changed")]
    [InlineData("UPDATE audit SET at = at + 1 WHERE seq = 3", 3, "changed")]
    [InlineData("UPDATE audit SET result = 'nonsense' WHERE seq = 3", 3, "changed")]
    [InlineData("UPDATE audit SET token = '' WHERE seq = 3", 3, "changed")]
    [InlineData("DELETE FROM audit WHERE seq = 3", 4, "missing")]
    [InlineData("DELETE FROM audit WHERE seq = 1", 2, "missing")]
    [InlineData("DELETE FROM audit WHERE seq IN (3, 4)", 5, "missing")]
    [InlineData("UPDATE audit SET seq = -seq WHERE seq IN (3, 4); UPDATE audit SET seq = 7 + seq WHERE seq < 0", 3, "out-of-order")]
    [InlineData("DELETE FROM audit WHERE seq = 8", 8, "cut-off")]
    [InlineData("DELETE FROM audit WHERE seq >= 5", 8, "cut-off")]
    [InlineData("DELETE FROM audit", 8, "cut-off")]
    public async Task A_row_changed_removed_or_moved_is_found_and_named(string tampering, long seq, string code)
    {
        using var store = new StoreUnderTest();
        var trail = new AuditTrail(store.Stores.Audit, store.Time, NullLogger<AuditTrail>.Instance);
        for (var i = 1; i <= 8; i++) await trail.EndAsync(new AuditEntry($"rq-{i}", "ann", "admin", "::1", null, "POST hosts", "hosts"));
        Assert.True((await trail.VerifyAsync()).IsWhole);
        Sql(store.Path, tampering);
        var verdict = await trail.VerifyAsync();
        Assert.False(verdict.IsWhole);
        Assert.Contains(verdict.Problems, problem => problem.Seq == seq && problem.Code == code);
    }

    [Fact]
    public async Task Rows_cut_off_together_with_the_stores_own_head_are_found_by_the_head_kept_outside()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.StopAsync(); // Keeps the head in its file.
        var kept = AuditHead.Parse((await File.ReadAllTextAsync(Path.Combine(server.Directory, "audit-head"))).Trim());
        Assert.Equal(4, kept!.Seq);
        Sql(server.StorePath, "DELETE FROM audit WHERE seq > 2");
        Sql(server.StorePath, "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)");
        await server.StartAgainAsync();

        Assert.Equal((4L, "cut-off"), Only(await server.OkAsync<AuditVerdict>("GET", "audit/verify")));
        // What is written now takes the numbers again, and still is not what was known; the witness is not overwritten.
        await server.OkAsync<HostView>("POST", "hosts/h1/cordon");
        await server.OkAsync<HostView>("POST", "hosts/h1/uncordon");
        await server.StopAsync();
        await server.StartAgainAsync();
        Assert.Equal((4L, "changed"), Only(await server.OkAsync<AuditVerdict>("GET", "audit/verify")));

        static (long, string) Only(AuditVerdict verdict) => (Assert.Single(verdict.Problems).Seq, verdict.Problems[0].Code);
    }

    [Fact]
    public async Task A_log_computed_anew_is_found_by_a_head_that_somebody_wrote_down()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var noted = (await server.OkAsync<AuditVerdict>("GET", "audit/verify")).Head!;
        await server.OkAsync<HostView>("POST", "hosts/h1/cordon");
        Assert.True((await server.OkAsync<AuditVerdict>("GET", $"audit/verify?head={noted}")).IsWhole);
        var other = noted with { Hash = new string('a', AuditChain.HashChars) };
        Assert.False((await server.OkAsync<AuditVerdict>("GET", $"audit/verify?head={other}")).IsWhole);
        Assert.Equal("bad-head", (await server.ProblemAsync("GET", "audit/verify?head=nonsense")).Code);
    }

    [Fact]
    public async Task No_method_of_the_API_changes_a_row()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        foreach (var method in new[] { "POST", "PUT", "PATCH", "DELETE" })
        foreach (var path in new[] { "audit", "audit/1", "audit/verify" })
            Assert.Contains((await server.ProblemAsync(method, path)).Status, new[] { 404, 405 });
        Assert.True((await server.OkAsync<AuditVerdict>("GET", "audit/verify")).IsWhole);
    }

    [Fact]
    public async Task A_move_is_on_record_with_who_asked_for_it_and_what_it_became()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var move = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2" });
        var rows = (await RowsAsync(server)).TakeLast(2).ToList();
        Assert.Equal(["{\"to\":\"h2\"}", $"202 /api/v1/migrations/{move.Id}"], rows.Select(row => row.Entry.Detail));
        await server.EndOfAsync(move.Id);
    }

    [Fact]
    public async Task A_store_of_the_version_before_is_brought_up_with_everything_in_it()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.StopAsync();
        var newer = Directory.CreateDirectory(Path.Combine(server.Directory, "newer")).FullName;
        foreach (var file in Directory.GetFiles(server.Directory, "godwit.db*"))
            File.Move(file, Path.Combine(newer, Path.GetFileName(file)));
        Sql(server.StorePath, FirstSchema());
        Sql(server.StorePath, $"ATTACH '{Path.Combine(newer, "godwit.db")}' AS newer;"
            + "INSERT INTO meta (name, value) VALUES ('schema', '1'); INSERT INTO hosts SELECT"
            + " id, endpoint, reachable, cordoned, memory_bytes, facts"
            + " FROM newer.hosts");
        File.Delete(Path.Combine(server.Directory, "audit-head"));
        await server.StartAgainAsync();
        Assert.Equal("h1", Assert.Single(await server.OkAsync<HostView[]>("GET", "hosts")).Id.Value);
        await server.TokenAsync(Role.Viewer);
        Assert.Equal(2, (await server.OkAsync<AuditVerdict>("GET", "audit/verify")).Rows);
    }

    private static string FirstSchema()
    {
        using var stream = typeof(Godwit.Server.Store.SqliteDatabase).Assembly.GetManifestResourceStream("Godwit.Server.Store.Schema.sql")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static async Task<IReadOnlyList<AuditRow>> RowsAsync(ServerUnderTest server) =>
        await server.OkAsync<AuditRow[]>("GET", "audit?after=0&limit=1000");

    private static (string, int) Both(ApiProblem problem) => (problem.Code, problem.Status);

    private static void Sql(string path, string sql)
    {
        using var file = new SqliteConnection($"Data Source={path};Pooling=False");
        file.Open();
        using var command = file.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
