using System.Diagnostics;
using Godwit.Cli.Lab;

namespace Godwit.LabTests.Packaging;

/// <summary>
/// A Debian that systemd has booted, in namespaces of its own (systemd-nspawn): its network is one cable to <paramref name="wire"/>,
/// on which networkd puts a bridge, as the guides ask for. What it changes is in a layer of its own above <paramref name="tree"/>.
/// </summary>
internal sealed class BootedMachine(string name, string address, string tree, string work, string wire, params string[] binds)
    : IAsyncDisposable
{
    private static readonly TimeSpan bootMax = TimeSpan.FromSeconds(90), commandMax = TimeSpan.FromSeconds(180);
    private readonly string _root = Path.Combine(work, name);
    private Process? _container;
    private string _first = "";

    public string Name => name;
    public string Address => address;
    /// <summary>As its own programs see it, of a file that is put below <c>/root</c>.</summary>
    public string Put(string file)
    {
        File.Copy(file, Path.Combine(_root, "root", Path.GetFileName(file)), overwrite: true);
        return $"/root/{Path.GetFileName(file)}";
    }

    /// <summary>On, until systemd says that all units are up. Throws where one has failed.</summary>
    public async Task TurnOnAsync()
    {
        // Of a run that was ended from outside, or of the last time it was on: systemd-nspawn leaves its group as nobody else can use it.
        await CleanAsync();
        if (!Directory.Exists(_root)) await InstallAsync();
        await LabShell.RunAsync(["ip", "link", "add", Cable, "type", "veth", "peer", "name", Plug]);
        await LabShell.RunAsync(["ip", "link", "set", Cable, "master", wire, "up"]);
        // In a group of its own: two systemds in one would take each other's units for theirs.
        var script = $"""
            for tree in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
                [ -e $tree/cgroup.procs ] || continue
                mkdir -p {Group("$tree")} && echo $$ >{Group("$tree")}/cgroup.procs || exit 1
            done
            exec "$@"
            """;
        _container = LabShell.Start(["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "sh", "-c", script, "sh",
            "systemd-nspawn", "--quiet", $"--directory={_root}", $"--machine={name}", "--boot", "--register=no", "--keep-unit",
            "--private-network", "--capability=all", "--bind=/dev/net/tun", .. binds.Select(bind => $"--bind={bind}"),
            "--console=read-only"]);
        var (output, error) = (_container.StandardOutput.ReadToEndAsync(), _container.StandardError.ReadToEndAsync());
        for (var deadline = DateTime.UtcNow + bootMax; (_first = FirstProcess(_container.Id)).Length == 0; await Task.Delay(100))
            if (_container.HasExited || DateTime.UtcNow > deadline)
                throw new LabException($"{name} did not begin to boot: {(_container.HasExited ? await output + await error : "silence")}");
        await LabShell.RunAsync(["ip", "link", "set", Plug, "netns", _first]);
        for (var deadline = DateTime.UtcNow + bootMax; ; await Task.Delay(300))
        {
            var (state, told) = (await TryAsync("systemctl is-system-running"), await TryAsync($"ip -o -4 address show to {address}"));
            if (state.Output.Trim() == "running" && told.Output.Length > 0) return;
            if (DateTime.UtcNow > deadline || state.Output.Trim() == "degraded")
                throw new LabException($"{name} does not come up ({state.Output.Trim()}): {(await TryAsync("systemctl --failed")).Output}");
        }
    }

    public async Task TurnOffAsync()
    {
        await TryAsync("systemctl poweroff");
        await _container!.WaitForExitAsync().WaitAsync(bootMax);
        _container.Dispose();
        (_container, _first) = (null, "");
    }

    public Task<string> RunAsync(string line, string? input = null) => LabShell.RunAsync(Inside(line), input, commandMax);

    public Task<ShellResult> TryAsync(string line) => LabShell.TryAsync(Inside(line), deadline: commandMax);

    public async ValueTask DisposeAsync()
    {
        if (_container is { } container)
        {
            // Its namespace goes with the first process there, and what began it ends with that.
            if (!container.HasExited && _first.Length > 0) await LabShell.TryAsync(["kill", "-KILL", _first]);
            try { await container.WaitForExitAsync().WaitAsync(_first.Length > 0 ? bootMax : TimeSpan.Zero); }
            catch (TimeoutException) { container.Kill(entireProcessTree: true); }
            container.Dispose();
        }
        await LabShell.TryAsync(["umount", "--lazy", _root]);
        await CleanAsync();
    }

    /// <summary>The cable, and the group with all that is empty below it.</summary>
    private async Task CleanAsync()
    {
        await LabShell.TryAsync(["ip", "link", "delete", Cable]);
        foreach (var group in new[] { "unified", "systemd", "." }.Select(tree => Group($"/sys/fs/cgroup/{tree}")).Where(Directory.Exists))
            await LabShell.TryAsync(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
    }

    private string Cable => $"gwp-{name}";
    private string Plug => $"gwq-{name}";

    private string Group(string cgroups) => $"{cgroups}/godwit-packaging-{name}";

    private string[] Inside(string line) => ["nsenter", "--all", "--target", _first, "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
        "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", line];

    private async Task InstallAsync()
    {
        var (upper, scratch) = (Path.Combine(work, $"{name}.upper"), Path.Combine(work, $"{name}.work"));
        foreach (var directory in new[] { _root, upper, scratch }) Directory.CreateDirectory(directory);
        await LabShell.RunAsync(["mount", "-t", "overlay", "overlay", "-o", $"lowerdir={tree},upperdir={upper},workdir={scratch}", _root]);
        var networks = Directory.CreateDirectory(Path.Combine(_root, "etc/systemd/network")).FullName;
        await File.WriteAllTextAsync(Path.Combine(networks, "10-uplink.network"), $"[Match]\nName={Plug}\n[Network]\nBridge=br0\n");
        await File.WriteAllTextAsync(Path.Combine(networks, "10-br0.netdev"), "[NetDev]\nName=br0\nKind=bridge\n");
        await File.WriteAllTextAsync(Path.Combine(networks, "20-br0.network"),
            $"[Match]\nName=br0\n[Network]\nAddress={address}/24\nLinkLocalAddressing=no\n");
        await File.WriteAllTextAsync(Path.Combine(_root, "etc/hostname"), $"{name}\n");
        var wanted = Directory.CreateDirectory(Path.Combine(_root, "etc/systemd/system/multi-user.target.wants")).FullName;
        File.CreateSymbolicLink(Path.Combine(wanted, "systemd-networkd.service"), "/lib/systemd/system/systemd-networkd.service");
    }

    /// <summary>The child of <paramref name="container"/> that is number 1 of its own namespace; empty: not yet.</summary>
    private static string FirstProcess(int container)
    {
        try
        {
            foreach (var child in File.ReadAllText($"/proc/{container}/task/{container}/children").Split(' ',
                StringSplitOptions.RemoveEmptyEntries))
                if (File.ReadLines($"/proc/{child}/status").Any(line => line.StartsWith("NSpid:", StringComparison.Ordinal)
                        && line.Split('\t') is [_, _, "1"]) && File.ReadAllText($"/proc/{child}/comm").Trim() == "systemd")
                    return child;
        }
        catch (IOException) { } // It has ended between two looks.
        return "";
    }
}
