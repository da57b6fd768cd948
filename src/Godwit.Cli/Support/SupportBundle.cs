using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Godwit.Cli.Api;
using Godwit.Core.Ports;

namespace Godwit.Cli.Support;

/// <summary>
/// What somebody needs who is to find out what went wrong: versions, settings, this machine, what the server says of the cluster,
/// logs. Each part is asked for by itself, in the time it has; one that cannot be had is named with its reason. Only what is
/// listed here is read: no key, no identity, no store, nothing of a guest.
/// </summary>
/// <param name="root">Before each path of this machine; <c>/</c> but in tests.</param>
internal sealed class SupportBundle(Session session, IProcesses processes, string root)
{
    private const int FilesMax = 50, EventsTold = 1_000, MovesTold = 200, LogLines = 5_000;
    private static readonly TimeSpan commandMax = TimeSpan.FromSeconds(20), answerMax = TimeSpan.FromSeconds(60);

    /// <summary>From the API, as it answers everybody who may see the cluster. The check asks every host.</summary>
    private static readonly (string Name, string Path)[] questions =
    [
        ("hosts", "hosts"), ("vms", "vms"), ("templates", "templates"), ("moves", $"migrations?limit={MovesTold}"),
        ("events", $"events?limit={EventsTold}"), ("placement", "placement"), ("rules", "rules"), ("balancer", "balancer"),
        ("power", "power"), ("links", "links"), ("load", "load"), ("promises", "stats/promises"), ("check", "check"),
    ];

    private static readonly string[] files =
    [
        "etc/default/godwit-server", "etc/default/godwit-agent", "etc/os-release", "proc/meminfo", "proc/cpuinfo", "proc/loadavg",
        "proc/pressure/cpu", "proc/pressure/memory", "proc/pressure/io", "proc/mounts", "proc/version",
    ];

    private static readonly (string Name, string[] Words)[] commands =
    [
        ("uname", ["uname", "-a"]), ("addresses", ["ip", "-brief", "address"]), ("links", ["ip", "-statistics", "-brief", "link"]),
        ("disks", ["df", "-hT"]), ("qemu", ["qemu-system-x86_64", "--version"]),
        ("processes", ["ps", "-eo", "pid,ppid,etimes,rss,stat,comm"]),
        ("packages", ["dpkg-query", "-W", "godwit", "qemu-system-x86", "qemu-utils"]),
    ];

    private static readonly (string Name, string[] Words)[] systemdCommands =
    [
        ("units", ["systemctl", "--no-pager", "--full", "status", "godwit-server", "godwit-agent"]),
        ("unit-files", ["systemctl", "--no-pager", "cat", "godwit-server", "godwit-agent"]),
        ("scopes", ["systemctl", "--no-pager", "list-units", "--type=scope"]),
    ];

    /// <param name="logs">Files to put in beside what the journal has.</param>
    public async Task<IReadOnlyList<BundlePart>> WriteAsync(
        Stream to, string directory, IReadOnlyList<FileInfo> logs, CancellationToken cancel)
    {
        await using var bundle = new BundleFile(to, directory, session.Time.GetUtcNow());
        await bundle.AddJsonAsync("about.json", About());
        await AskServerAsync(bundle, cancel);
        foreach (var file in files) await AddFileAsync(bundle, $"machine/{file.Replace('/', '-')}", Path.Combine(root, file), isLog: false);
        foreach (var (name, words) in commands) await RunAsync(bundle, $"machine/{name}.txt", words, cancel);
        await AddAgentJournalAsync(bundle);
        await AddLogsAsync(bundle, logs, cancel);
        return bundle.Parts;
    }

    private string About() => JsonSerializer.Serialize(new
    {
        Godwit = typeof(SupportBundle).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion,
        Runtime = RuntimeInformation.FrameworkDescription, System = RuntimeInformation.OSDescription,
        Machine = Environment.MachineName, Processors = Environment.ProcessorCount, At = session.Time.GetUtcNow(),
        AskedServer = session.Server.Place,
        Settings = new[] { ServerAddress.Variable, "GODWIT_FAILPOINTS", "OTEL_EXPORTER_OTLP_ENDPOINT", "DOTNET_gcServer" }
            .ToDictionary(name => name, name => Environment.GetEnvironmentVariable(name)),
    }, ApiJson.Indented);

    /// <summary>One question that nobody answers is enough: the others would wait as long.</summary>
    private async Task AskServerAsync(BundleFile bundle, CancellationToken cancel)
    {
        foreach (var (name, path) in questions)
        {
            try
            {
                await bundle.AddJsonAsync($"cluster/{name}.json",
                    await session.Client.TextAsync(path, "application/json", answerMax, cancel));
            }
            catch (ApiException refused)
            {
                bundle.Miss($"cluster/{name}.json", $"{refused.Error.Code}: {refused.Error.Cause}");
                if (refused.Error.Code is "server-not-reachable" or "server-not-trusted" or "token-missing" or "token-invalid") return;
            }
        }
        try
        {
            await bundle.AddTextAsync("cluster/metrics.txt", await session.Client.TextAsync("/metrics", "text/plain", answerMax, cancel));
        }
        catch (ApiException refused) { bundle.Miss("cluster/metrics.txt", $"{refused.Error.Code}: {refused.Error.Cause}"); }
    }

    /// <summary>This host's own records: whose VMs are, how its last moves stand. Never the identity, which is beside them.</summary>
    private async Task AddAgentJournalAsync(BundleFile bundle)
    {
        var state = Path.Combine(root, Services.ServiceDefaults.AgentState.TrimStart('/'));
        await AddRecordsAsync("moves", "*.json", file => file.Name);
        await AddRecordsAsync("vms", "owner.json", file => $"{file.Directory!.Name}.json");

        async Task AddRecordsAsync(string kind, string pattern, Func<FileInfo, string> nameOf)
        {
            try
            {
                var newest = new DirectoryInfo(Path.Combine(state, kind)).EnumerateFiles(pattern, SearchOption.AllDirectories)
                    .OrderByDescending(file => file.LastWriteTimeUtc).Take(FilesMax);
                foreach (var file in newest)
                    await AddFileAsync(bundle, $"agent/{kind}/{nameOf(file)}", file.FullName, isLog: false, isJson: true);
            }
            catch (DirectoryNotFoundException) { } // This machine is no host.
            catch (Exception closed) when (closed is IOException or UnauthorizedAccessException)
            {
                bundle.Miss($"agent/{kind}", closed.Message);
            }
        }
    }

    private async Task AddLogsAsync(BundleFile bundle, IReadOnlyList<FileInfo> logs, CancellationToken cancel)
    {
        if (Directory.Exists(Path.Combine(root, "run/systemd/system")))
        {
            foreach (var (name, words) in systemdCommands) await RunAsync(bundle, $"machine/{name}.txt", words, cancel);
            foreach (var unit in new[] { "godwit-server", "godwit-agent" })
                await RunAsync(bundle, $"logs/{unit}.txt", ["journalctl", "--no-pager", "--output=short-iso", "--unit", unit,
                    "--lines", LogLines.ToString(CultureInfo.InvariantCulture)], cancel);
        }
        else if (logs.Count == 0) bundle.Miss("logs", "systemd does not run here: name the logs by --log FILE");
        foreach (var (log, number) in logs.Select((log, i) => (log, i + 1)))
            await AddFileAsync(bundle, $"logs/{number}-{log.Name}", log.FullName, isLog: true);
    }

    private async Task RunAsync(BundleFile bundle, string name, string[] words, CancellationToken cancel)
    {
        try
        {
            var result = await processes.RunAsync(new Command(words[0], words[1..]), commandMax, cancel);
            await bundle.AddTextAsync(name, result.Error.Length == 0 ? result.Output : $"{result.Output}\n{result.Error}", keepEnd: true);
        }
        catch (IOException missing) { bundle.Miss(name, missing.Message); }
    }

    /// <summary>
    /// Of more than can be kept, only that much is read: of a log its end, from the next whole line on, so that no secret is cut into
    /// what does not look like one. Files below /proc have no length before they are read.
    /// </summary>
    private static async Task AddFileAsync(BundleFile bundle, string name, string path, bool isLog, bool isJson = false)
    {
        try
        {
            await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var isCut = isLog && file.Length > BundleFile.PartBytesMax;
            if (isCut) file.Seek(-BundleFile.PartBytesMax, SeekOrigin.End);
            using var content = new MemoryStream();
            var block = new byte[64 << 10];
            for (int read; content.Length < BundleFile.PartBytesMax && (read = await file.ReadAsync(block)) > 0;)
                content.Write(block, 0, read);
            var text = Encoding.UTF8.GetString(content.GetBuffer(), 0, (int)content.Length);
            if (isCut) text = text[(text.IndexOf('\n', StringComparison.Ordinal) + 1)..];
            if (isJson) await bundle.AddJsonAsync(name, text);
            else await bundle.AddTextAsync(name, text, isLog);
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException) { bundle.Miss(name, absent.Message); }
    }
}
