using System.Formats.Tar;
using System.IO.Compression;
using Godwit.Cli.Api;
using Godwit.Cli.Support;
using Godwit.Core.Access;
using Godwit.Core.Ports;
using Godwit.Tests.Cli;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Support;

/// <summary>What leaves the machine to who is to help: enough, bounded, and never a secret, wherever one was left lying.</summary>
public sealed class SupportBundleTests : IDisposable
{
    private const string Password = "correct-horse-battery-staple-42", KeyLine = "MIGkAgEBBDDuQ4Vb1nKplanted7sQhWv0o4Jr1mZb8nC2yTq";
    private const string JoinText = "gwj1.aaaa.bbbb.planted0join0secret", GuestSecret = "guest-root-password-77";
    private static readonly string cloudConfig = $"#cloud-config\nchpasswd:\n  list: |\n    root:{GuestSecret}\n  expire: false\n";

    private readonly string root = Directory.CreateTempSubdirectory("godwit-support-").FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public async Task Secrets_planted_everywhere_are_in_no_part_of_it_and_all_else_is()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var token = await server.TokenAsync(Role.Operator);
        var pem = $"-----BEGIN EC PRIVATE KEY-----\n{KeyLine}\n-----END EC PRIVATE KEY-----\n";
        Plant("etc/default/godwit-server", $"GODWIT_SERVER_OPTIONS=--listen 0.0.0.0:7445 --client-secret {Password}\n"
            + $"OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic {Password}\n"
            + $"OTEL_EXPORTER_OTLP_ENDPOINT=https://otel:{Password}@collector\n");
        Plant("var/lib/godwit/agent/identity.pem", pem);
        Plant("var/lib/godwit/agent/moves/mv-1.json", $$"""{ "Move": "mv-1", "Mark": "Kept", "Ticket": "{{KeyLine}}", "NewEpoch": 7 }""");
        Plant("var/lib/godwit/agent/vms/vm-1/owner.json", System.Text.Json.JsonSerializer.Serialize(
            new { vm = "vm-1", userData = cloudConfig, note = $"made by: {cloudConfig}", spec = new { password = new[] { Password } } }));
        Plant("server.log", $"10:00:00.000 info: a host joins with {JoinText}\n{pem}10:00:01.000 info: Authorization: Bearer {token}\n"
            + $"10:00:02.000 warn: password: {Password} was wrong\n{cloudConfig}10:00:03.000 info: the guest is up\n");
        Plant("agent.log", $"{KeyLine}\n-----END EC PRIVATE KEY-----\n10:00:04.000 info: a log that was cut in a key\n");

        var (parts, texts) = await BundleAsync(server.SocketPath, "server.log", "agent.log");

        var all = string.Concat(texts.Values);
        foreach (var secret in new[] { Password, KeyLine, JoinText, GuestSecret, token })
            Assert.Equal([], texts.Where(t => t.Value.Contains(secret, StringComparison.Ordinal)).Select(t => t.Key));
        Assert.Contains("--listen 0.0.0.0:7445", all, StringComparison.Ordinal);
        Assert.Contains("\"NewEpoch\": 7", texts["agent/moves/mv-1.json"], StringComparison.Ordinal);
        Assert.Contains("the guest is up", texts["logs/1-server.log"], StringComparison.Ordinal);
        Assert.Contains("was cut in a key", texts["logs/2-agent.log"], StringComparison.Ordinal);
        Assert.Contains("\"web\"", texts["cluster/vms.json"], StringComparison.Ordinal);
        Assert.Contains("godwit_vms", texts["cluster/metrics.txt"], StringComparison.Ordinal);
        Assert.StartsWith("[", texts["cluster/events.json"], StringComparison.Ordinal); // A list that ends, not the stream.
        foreach (var name in new[] { "about.json", "cluster/moves.json", "cluster/check.json", "machine/etc-default-godwit-server" })
            Assert.True(texts.ContainsKey(name), $"{name} is missing: {string.Join('\n', parts)}");
        Assert.DoesNotContain(texts.Keys, name => name.Contains("identity", StringComparison.Ordinal));
        Assert.Equal(parts.Where(p => p.Bytes > 0).Select(p => p.Name).Order(), texts.Keys.Order());
    }

    [Fact]
    public async Task Without_a_server_it_says_so_once_and_has_the_machine()
    {
        Plant("etc/os-release", "ID=debian\n");
        var (parts, texts) = await BundleAsync("/nowhere/godwit.sock");
        Assert.Contains("server-not-reachable", Assert.Single(parts, p => p.Name.StartsWith("cluster/", StringComparison.Ordinal)).Note,
            StringComparison.Ordinal);
        Assert.Equal("ID=debian\n", texts["machine/etc-os-release"]);
    }

    [Fact]
    public async Task A_log_without_end_is_kept_from_a_whole_line_near_its_end_and_the_bundle_has_a_size()
    {
        var line = $"10:00:00.000 info: token: {Password} and so on, {new string('x', 80)}\n";
        var lines = 2 * BundleFile.PartBytesMax / line.Length;
        Plant("long.log", string.Concat(Enumerable.Repeat(line, lines)) + "the last line\n");
        var names = Enumerable.Repeat("long.log", 12).ToArray();

        var (parts, texts) = await BundleAsync("/nowhere/godwit.sock", names);

        var log = texts["logs/1-long.log"];
        Assert.EndsWith("the last line\n", log, StringComparison.Ordinal);
        Assert.StartsWith("10:00:00.000 info: token: ", log, StringComparison.Ordinal);
        Assert.DoesNotContain(Password, log, StringComparison.Ordinal);
        Assert.InRange(parts.Sum(p => p.Bytes), BundleFile.PartBytesMax, BundleFile.BytesMax);
        Assert.Contains(parts, p => p.Bytes == 0 && p.Note!.Contains("full", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_file_that_is_there_is_left_alone()
    {
        Plant("there.tar.gz", "mine");
        var run = await GodwitRun.WithoutServerAsync($"support-bundle {Path.Combine(root, "there.tar.gz")}");
        Assert.Equal(Godwit.Cli.ExitCode.Refused, run.ExitCode);
        Assert.Contains("is there", run.Error, StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(Path.Combine(root, "there.tar.gz")));
    }

    [Fact]
    public async Task The_command_writes_a_file_for_its_owner_alone_and_lists_what_is_in_it()
    {
        var file = Path.Combine(root, "bundle.tar.gz");
        var run = await GodwitRun.WithoutServerAsync($"support-bundle {file}");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("about.json", run.Output, StringComparison.Ordinal);
        Assert.Contains("server-not-reachable", run.Output, StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.All(Unpack(File.ReadAllBytes(file)).Keys, name => Assert.DoesNotContain("..", name, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("PASSWORD=a b c", "PASSWORD=(removed)")]
    [InlineData("{\"password\":\"a\\\"b\",\"name\":\"web\"}", "{\"password\":(removed),\"name\":\"web\"}")]
    [InlineData("godwit login --client-secret s3cret --server https://h", "godwit login --client-secret (removed) --server https://h")]
    [InlineData("https://ann:pw@h:7445/x", "https://(removed)@h:7445/x")]
    [InlineData("the token came; the move goes on", "the token came; the move goes on")]
    [InlineData("2026-03-01T12:00:00 moved web from h1 to h2 in 12 ms", "2026-03-01T12:00:00 moved web from h1 to h2 in 12 ms")]
    public void Of_a_line_the_secret_goes_and_the_rest_stays(string line, string kept) => Assert.Equal(kept, Redaction.Text(line));

    [Fact]
    public void In_a_journal_a_guests_set_up_goes_line_by_line_and_what_comes_after_it_stays()
    {
        const string stamp = "2026-03-01T12:00:00+0000 host1 godwit[12]: ", after = stamp + "12:00:00.123 info: web is up";
        var text = string.Concat(cloudConfig.TrimEnd('\n').Split('\n').Select(line => stamp + line + "\n")) + after;
        Assert.Equal($"{Redaction.Removed}\n{after}", Redaction.Text(text));
    }

    private async Task<(IReadOnlyList<BundlePart> Parts, Dictionary<string, string> Texts)> BundleAsync(string socket, params string[] logs)
    {
        using var session = new Godwit.Cli.Session(new Godwit.Cli.Surroundings
        {
            Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 120, Time = TimeProvider.System,
            Server = new ServerAddress(socket, IsChosen: true),
        }, json: false);
        using var file = new MemoryStream();
        var parts = await new SupportBundle(session, new NoPrograms(), root).WriteAsync(
            file, "bundle", [.. logs.Select(log => new FileInfo(Path.Combine(root, log)))], CancellationToken.None);
        return (parts, Unpack(file.ToArray()));
    }

    private static Dictionary<string, string> Unpack(byte[] packed)
    {
        using var tar = new TarReader(new GZipStream(new MemoryStream(packed), CompressionMode.Decompress));
        var texts = new Dictionary<string, string>();
        while (tar.GetNextEntry() is { } entry)
            texts.Add(entry.Name[(entry.Name.IndexOf('/', StringComparison.Ordinal) + 1)..],
                entry.DataStream is { } content ? new StreamReader(content).ReadToEnd() : "");
        return texts;
    }

    private void Plant(string path, string text)
    {
        var file = new FileInfo(Path.Combine(root, path));
        file.Directory!.Create();
        File.WriteAllText(file.FullName, text);
    }

    private sealed class NoPrograms : IProcesses
    {
        public Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel) =>
            throw new IOException($"{command.Program} is not here");
        public Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel) =>
            throw new NotSupportedException();
        public bool IsAlive(ProcessHandle process) => false;
        public Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout) => throw new NotSupportedException();
        public Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel) => throw new NotSupportedException();
    }
}
