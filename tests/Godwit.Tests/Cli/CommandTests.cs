using System.Text.Json;
using Godwit.Cli;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Cli;

public sealed class CommandTests
{
    private const string Api = "/api/v1";

    [Fact]
    public async Task Tables_in_a_pipe_are_plain_aligned_lines()
    {
        await using var server = new ScriptedServer()
            .On($"GET {Api}/hosts", JsonList(Examples.Host("host2", HostState.Cordoned),
                Examples.Host("host1"), Examples.Host("h3", HostState.Unreachable)))
            .On($"GET {Api}/vms", JsonList(Examples.Vm("web1"), Examples.Vm("db", "host2", VmState.Saved)))
            .On($"GET {Api}/templates", JsonList(new TemplateView("lab", "default", "f.raw", "raw",
                new string('a', 64), 64L << 20, 9L << 20, GodwitRun.Now.AddDays(-3), 1, [new HostId("host1"), new HostId("host2")])
            { Version = 3, Versions = 2, ClonesOfAll = 2 }))
            .On($"GET {Api}/migrations", JsonList(Examples.Done(), Examples.Refused(),
                Examples.Move(Phase.Memory) with { Progress = Examples.Progress(etaSeconds: null) }));
        var text = "";
        foreach (var line in new[] { "host list", "vm list", "template list", "migration list" })
        {
            var run = await GodwitRun.OfAsync(server, line);
            Assert.Equal((ExitCode.All, ""), (run.ExitCode, run.Error));
            text += $"$ godwit {line}\n{run.Output}\n";
        }
        Approval.Check(text);
    }

    [Fact]
    public async Task One_VM_host_and_move_in_full()
    {
        await using var server = new ScriptedServer()
            .On($"GET {Api}/hosts/host1", Json(Examples.Host("host1"))).On($"GET {Api}/vms/web1", Json(Examples.Vm("web1")))
            .On($"GET {Api}/migrations/mv-1", Json(Examples.Done())).On($"GET {Api}/migrations/mv-2", Json(Examples.Stuck()));
        var text = "";
        foreach (var line in new[] { "host show host1", "vm show web1", "migration show mv-1", "migration show mv-2" })
            text += $"$ godwit {line}\n{(await GodwitRun.OfAsync(server, line)).Output}\n";
        Approval.Check(text);
    }

    [Fact]
    public async Task Json_of_a_list_is_one_document_the_API_could_have_sent()
    {
        await using var server = new ScriptedServer().On($"GET {Api}/vms", JsonList(Examples.Vm("web1")));
        var run = await GodwitRun.OfAsync(server, "vm list --json");
        Approval.Check(run.Output);
    }

    [Fact]
    public async Task An_empty_list_says_how_to_get_a_first_one()
    {
        await using var server = new ScriptedServer().On($"GET {Api}/vms", "[]");
        var run = await GodwitRun.OfAsync(server, "vm list");
        Assert.Equal("", run.Output);
        Assert.Contains("godwit vm create", run.Error);
        Assert.Equal("[]", (await GodwitRun.OfAsync(server, "vm list --json")).Output.Trim());
    }

    [Fact]
    public async Task Without_a_server_the_error_says_what_to_start()
    {
        var run = await GodwitRun.WithoutServerAsync("vm list");
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("no godwit server runs on this machine", run.Error);
        Assert.Contains("Next: sudo ./godwit up", run.Error);
    }

    [Theory]
    [InlineData("vm create")]
    [InlineData("vm create web1")]
    [InlineData("vm create web1 --template lab --disk 1G")]
    [InlineData("vm create web1 --template lab --memory 512")]
    [InlineData("vm create web1 --template lab --display spice")]
    [InlineData("vm migrate")]
    [InlineData("vm migrate web1 --mode warp")]
    [InlineData("vm migrate web1 --max-pause 0")]
    [InlineData("vm migrate web1 --bwlimit -1")]
    [InlineData("vm migrate web1 --max-pause 60001")]
    [InlineData("template import lab lab.img --format vdi")]
    [InlineData("template delete lab --version 0")]
    [InlineData("vm clone lab:2 web1 --version 3")]
    [InlineData("host add host1")]
    [InlineData("sing")]
    public async Task A_line_that_makes_no_sense_is_refused_before_anybody_is_asked(string line)
    {
        await using var server = new ScriptedServer();
        var run = await GodwitRun.OfAsync(server, line);
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.NotEqual("", run.Error);
        Assert.Empty(server.Heard);
    }

    [Theory]
    [InlineData("disk.vmdk", "vmdk")]
    [InlineData("disk.OVA", "ova")]
    [InlineData("disk.img", "auto")]
    public async Task An_import_says_what_the_file_is_called_and_tells_what_it_was(string file, string format)
    {
        var path = Path.Combine(Directory.CreateTempSubdirectory("godwit-test-").FullName, file);
        await File.WriteAllBytesAsync(path, new byte[512]);
        var made = new TemplateView("lab", "default", "f.qcow2", "qcow2", new string('a', 64), 64 << 20, 1 << 20, GodwitRun.Now, 0, [])
        {
            ImportedAs = "VMDK streamOptimized",
        };
        await using var server = new ScriptedServer().On($"PUT {Api}/templates/lab?format={format}", Json(made), "201 Created");
        var run = await GodwitRun.OfAsync(server, $"template import lab {path}");
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        Assert.Equal((ExitCode.All, ""), (run.ExitCode, run.Error.Replace($"Importing {file} (512 B) ...\n", "",
            StringComparison.Ordinal)));
        Assert.StartsWith($"{file} is VMDK streamOptimized; it is stored as qcow2.\nlab version 1 is stored in pool default", run.Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Versions_of_a_template_are_made_shown_and_deleted_by_their_number()
    {
        var path = Path.Combine(Directory.CreateTempSubdirectory("godwit-test-").FullName, "lab.raw");
        await File.WriteAllBytesAsync(path, new byte[512]);
        var made = new TemplateView("lab", "default", "f.raw", "raw", new string('a', 64), 64 << 20, 1 << 20, GodwitRun.Now, 1,
            [new HostId("host1")]) { Version = 2, Versions = 2, By = "ann", Note = "newer kernel" };
        var old = made with { Version = 1, Clones = 0, By = null, Note = null, Sha256 = new string('b', 64) };
        await using var server = new ScriptedServer()
            .On($"PUT {Api}/templates/lab?format=raw&newVersion=true&note=newer%20kernel", Json(made), "201 Created")
            .On($"GET {Api}/templates/lab/versions", JsonList(made, old)).On($"GET {Api}/templates/lab?version=1", Json(old))
            .On($"DELETE {Api}/templates/lab?version=1", "", "204 No Content")
            .On($"POST {Api}/vms", Json(Examples.Vm("web1")));
        var import = await GodwitRun.OfAsync(server, $"template import lab {path} --new-version --note \"newer kernel\"");
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        Assert.Equal("lab version 2 is stored in pool default (disk of 64 MiB, sha256 aaaaaaaaaaaa…).\n", import.Output);
        Assert.Equal(
            """
            VERSION  AGE  BY   FORMAT  DISK    FILE   POOL     HOSTS  CLONES  SHA256        NOTE
            lab:2    0s   ann  raw     64 MiB  1 MiB  default  host1  1       aaaaaaaaaaaa  newer kernel
            lab:1    0s   -    raw     64 MiB  1 MiB  default  host1  0       bbbbbbbbbbbb  -

            """, (await GodwitRun.OfAsync(server, "template versions lab")).Output);
        Assert.Contains("version   1 of 2: godwit template versions lab\n",
            (await GodwitRun.OfAsync(server, "template show lab:1")).Output, StringComparison.Ordinal);
        Assert.Equal("Version 1 of lab is deleted.\n", (await GodwitRun.OfAsync(server, "template delete lab --version 1")).Output);
        await GodwitRun.OfAsync(server, "vm clone lab web1 --version 1");
        Assert.Equal("lab:1", JsonDocument.Parse(server.Heard[^1].Body).RootElement.GetProperty("template").GetString());
    }

    [Fact]
    public async Task Snapshots_are_made_listed_gone_back_to_and_deleted()
    {
        var whole = new VmSnapshot("before", "before.0123456789ab", GodwitRun.Now.AddHours(-2))
        { IsWhole = true, IsCrashConsistent = true, By = "ann", Note = "the upgrade" };
        var broken = new VmSnapshot("odd", "odd.0123456789ab", GodwitRun.Now.AddDays(-2));
        await using var server = new ScriptedServer()
            .On($"POST {Api}/vms/web1/snapshots", Json(Examples.Vm("web1")), "201 Created")
            .On($"GET {Api}/vms/web1/snapshots", JsonList(whole, broken))
            .On($"POST {Api}/vms/web1/snapshots/before/revert", Json(Examples.Vm("web1", state: VmState.Stopped)))
            .On($"DELETE {Api}/vms/web1/snapshots/before", "", "204 No Content");
        Assert.Equal(
            "Snapshot before of web1 is made, crash-consistent: its guest was not asked, so the disk is as after a power cut.\n",
            (await GodwitRun.OfAsync(server, "vm snapshot create web1 --name before --note \"the upgrade\"")).Output);
        Assert.Equal("the upgrade", JsonDocument.Parse(server.Heard[0].Body).RootElement.GetProperty("note").GetString());
        Assert.Equal(
            """
            NAME    AGE  BY   KIND              NOTE
            before  2h   ann  crash-consistent  the upgrade
            odd     2d   -    unfinished        -

            """, (await GodwitRun.OfAsync(server, "vm snapshot list web1")).Output);
        Assert.Equal("The disks of web1 are as in before.\n", (await GodwitRun.OfAsync(server, "vm snapshot revert web1 before")).Output);
        Assert.Equal("Snapshot before of web1 is deleted.\n", (await GodwitRun.OfAsync(server, "vm snapshot delete web1 before")).Output);
    }

    [Fact]
    public async Task Create_sends_what_was_typed()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/vms", Json(Examples.Vm("web1")));
        var run = await GodwitRun.OfAsync(server,
            "vm create web1 --template lab --memory 2G --cpus 4 --host host2 --network lan --display vnc --start");
        Assert.Equal("web1 is running on host1.\n", run.Output);
        var sent = JsonDocument.Parse(server.Heard[0].Body).RootElement;
        Assert.Equal(2L << 30, sent.GetProperty("memoryBytes").GetInt64());
        Assert.Equal("lab", sent.GetProperty("template").GetString());
        Assert.Equal("host2", sent.GetProperty("host").GetString());
        Assert.Equal("lan", sent.GetProperty("bridges")[0].GetString());
        Assert.Equal("vnc", sent.GetProperty("display").GetString());
        Assert.True(sent.GetProperty("start").GetBoolean());
    }

    [Fact]
    public async Task Several_VMs_of_which_one_fails_are_a_partial_success()
    {
        await using var server = new ScriptedServer()
            .On($"POST {Api}/vms/web1/start", Json(Examples.Vm("web1")))
            .OnProblem($"POST {Api}/vms/web2/start", "404 Not Found", """{"code":"vm-unknown","detail":"there is no VM web2"}""");
        var run = await GodwitRun.OfAsync(server, "vm start web2 web1");
        Assert.Equal(ExitCode.Partial, run.ExitCode);
        Assert.Equal("web1 is running on host1.\n", run.Output);
        Assert.Contains("there is no VM web2", run.Error);
    }

    [Fact]
    public async Task Events_are_lines_and_a_stream_that_ends_is_told()
    {
        var happened = new EventView(7, GodwitRun.Now, "move-ended", "web1 moved to host2", "web1", null, "mv-1");
        await using var server = new ScriptedServer().OnEvents($"GET {Api}/events", Json(happened));
        var run = await GodwitRun.OfAsync(server, "events");
        Assert.Equal("     7  2026-03-01 12:00:00Z  move-ended        web1 moved to host2\n", run.Output);
        Assert.Equal((ExitCode.Failed, "The server ended the stream.\n"), (run.ExitCode, run.Error));
    }

    [Theory]
    [InlineData(2, 0, 0, 0)]
    [InlineData(0, 1, 0, 1)]
    [InlineData(1, 1, 0, 2)]
    [InlineData(1, 0, 1, 2)]
    [InlineData(0, 0, 2, 3)]
    [InlineData(0, 1, 1, 1)]
    [InlineData(0, 0, 0, 0)]
    public void Exit_codes_sum_up_what_happened(int done, int failed, int refused, int code) =>
        Assert.Equal(code, ExitCode.Of(done, failed, refused));

    internal static string JsonList<T>(params T[] values) => JsonSerializer.Serialize(values, ApiJson.Strict);
    internal static string Json<T>(T value) => JsonSerializer.Serialize(value, ApiJson.Strict);
}
