using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>
/// One libvirtd in a lab host's namespace, with /etc, /run, /var/lib, /var/cache and /var/log of its own and a host name
/// of its own, so that two of them and the machine's own do not meet. It ends with the namespace.
/// </summary>
internal sealed partial class LibvirtHost : IDisposable
{
    private static readonly TimeSpan StartMax = TimeSpan.FromSeconds(90);
    private readonly LabHost _host;
    private readonly ConcurrentQueue<(string Name, double AtMs)> _events = [];
    private Process? _daemon, _listener;

    private LibvirtHost(LabHost host) => _host = host;

    public string Uri => $"qemu+unix:///system?socket={Home}/run/libvirt-sock";
    public string MigrationUri => $"tcp://{_host.MigrationAddress}";
    private string Home => Path.Combine(_host.DataDirectory, "libvirt");

    public static async Task<LibvirtHost> StartAsync(LabHost host, CancellationToken cancel)
    {
        var libvirt = new LibvirtHost(host);
        await libvirt.StartDaemonAsync(cancel);
        libvirt.Listen();
        return libvirt;
    }

    public void ForgetEvents() => _events.Clear();

    /// <summary>QEMU's own time of its last event of this name, ms since 1970; null where none comes within 2 s.</summary>
    public async Task<double?> TimeOfAsync(string name, CancellationToken cancel)
    {
        const int triesMax = 100;
        for (var tries = 0; tries < triesMax; tries++)
        {
            var found = _events.Where(e => e.Name == name).ToList();
            if (found.Count > 0) return found[^1].AtMs;
            await Task.Delay(20, cancel);
        }
        return null;
    }

    public void Dispose()
    {
        foreach (var process in new[] { _listener, _daemon })
        {
            if (process is null) continue;
            try
            {
                process.Kill();
            }
            catch (InvalidOperationException)
            {
                // Ended already.
            }
            process.Dispose();
        }
    }

    private async Task StartDaemonAsync(CancellationToken cancel)
    {
        foreach (var part in (string[])["etc", "run", "lib", "cache", "log"])
            Directory.CreateDirectory(Path.Combine(Home, part));
        await File.WriteAllTextAsync(Path.Combine(Home, "etc", "libvirtd.conf"), $"""
            listen_tls = 0
            listen_tcp = 0
            auth_unix_ro = "none"
            auth_unix_rw = "none"
            unix_sock_group = "root"
            host_uuid = "00000000-0000-4000-8000-{_host.Number:d12}"
            log_outputs = "2:file:/var/log/libvirt/libvirtd.log"

            """, cancel);
        // Only what a machine without systemd, polkit, cgroups and a security module needs; no tuning of migrations.
        await File.WriteAllTextAsync(Path.Combine(Home, "etc", "qemu.conf"), """
            user = "root"
            group = "root"
            dynamic_ownership = 0
            remember_owner = 0
            security_driver = "none"
            namespaces = []
            cgroup_controllers = []
            stdio_handler = "file"

            """, cancel);
        await WriteUsersAsync(cancel);
        var script = $"""
            set -e
            mount --make-rprivate /
            hostname {_host.Namespace}
            mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
            mount --bind {Home}/etc /etc/libvirt
            mount --bind {Home}/run /run/libvirt
            mount --bind {Home}/lib /var/lib/libvirt
            mount --bind {Home}/cache /var/cache/libvirt
            mount --bind {Home}/log /var/log/libvirt
            mount --bind {Home}/etc/passwd /etc/passwd
            mount --bind {Home}/etc/group /etc/group
            exec libvirtd -f /etc/libvirt/libvirtd.conf -p /run/libvirt/libvirtd.pid >{Home}/log/output 2>&1 </dev/null
            """;
        // A session of its own: Ctrl-C must reach this program only, which then ends everything in order.
        _daemon = LabShell.Start(LabNetwork.Inside(_host.Namespace, "setsid", "unshare", "-m", "-u", "sh", "-c", script));
        var began = Stopwatch.StartNew();
        while ((await LabShell.TryAsync(["virsh", "-q", "-c", Uri, "list"], cancel: cancel)).ExitCode != 0)
        {
            if (_daemon.HasExited || began.Elapsed > StartMax)
                throw new LabException($"libvirtd of {_host.Name} does not answer: {LastWords()}");
            await Task.Delay(200, cancel);
        }
    }

    /// <summary>
    /// libvirtd wants to know Debian's user for VMs before it reads its settings, and only libvirt-daemon-system makes
    /// it: this daemon sees the machine's users and that one; the machine keeps its own.
    /// </summary>
    private async Task WriteUsersAsync(CancellationToken cancel)
    {
        const string user = "libvirt-qemu:x:64055:64055:libvirt:/nonexistent:/bin/false";
        (string File, string[] Lines)[] additions =
            [("passwd", [user]), ("group", ["libvirt-qemu:x:64055:", "kvm:x:64056:"])];
        foreach (var (file, lines) in additions)
        {
            var known = await File.ReadAllLinesAsync($"/etc/{file}", cancel);
            var names = known.Select(NameOf).ToHashSet();
            await File.WriteAllLinesAsync(Path.Combine(Home, "etc", file),
                known.Concat(lines.Where(line => !names.Contains(NameOf(line)))), cancel);
        }
    }

    private static string NameOf(string line) => line.Split(':')[0];

    private string LastWords() => string.Join('\n', Directory.EnumerateFiles(Path.Combine(Home, "log"))
        .SelectMany(file => File.ReadLines(file).Where(l => l.Contains("error", StringComparison.Ordinal))
            .TakeLast(5)));

    /// <summary>Begins before the move and hears both sides: <c>event STOP at 1700000000.123456 for domain …</c></summary>
    private void Listen()
    {
        _listener = LabShell.Start(["setsid", "stdbuf", "-oL", "virsh", "-c", Uri, "qemu-monitor-event", "--loop"]);
        _listener.OutputDataReceived += (_, line) =>
        {
            if (line.Data is not null && EventPattern().Match(line.Data) is { Success: true } match)
                _events.Enqueue((match.Groups[1].Value,
                    double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture) * 1000));
        };
        _listener.BeginOutputReadLine();
    }

    [GeneratedRegex("^event ([A-Z_]+) at ([0-9]+\\.[0-9]+) for domain")]
    private static partial Regex EventPattern();
}
