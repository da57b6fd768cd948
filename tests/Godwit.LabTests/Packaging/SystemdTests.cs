using System.Text.Json;
using Godwit.Cli.Lab;
using Xunit;

namespace Godwit.LabTests.Packaging;

/// <summary>
/// Two freshly installed Debians with real apt, dpkg and systemd, made cluster hosts by the very lines of the guides (install, first
/// move, upgrade). Each line is taken from the page it stands on; names of places are filled in, the pool is named, the guest is smaller.
/// </summary>
[Collection(PackageCollection.Name)]
public sealed class SystemdTests(BuiltPackage package)
{
    private const string Wire = "gwp-wire", Upgraded = "9.9.9~upgraded", Release = "bookworm";
    private static readonly TimeSpan treeMax = TimeSpan.FromMinutes(4), settleMax = TimeSpan.FromSeconds(60);

    [PackageFact]
    public async Task Two_machines_installed_by_the_guide_move_a_vm_and_keep_it_through_restarts_and_an_upgrade()
    {
        var lab = LabFolder.Find();
        await lab.BuildAsync(default);
        var tree = await InstallDebianAsync();
        var pool = Directory.CreateDirectory(Path.Combine(package.Work, "pool")).FullName;
        await LabShell.TryAsync(["ip", "link", "delete", Wire]); // Of a run that was ended from outside.
        await LabShell.RunAsync(["ip", "link", "add", Wire, "type", "bridge"]);
        try
        {
            await LabShell.RunAsync(["ip", "link", "set", Wire, "up"]);
            await using var host1 = new BootedMachine("host1", "10.77.0.1", tree, package.Work, Wire, $"{pool}:/mnt/vms");
            await using var host2 = new BootedMachine("host2", "10.77.0.2", tree, package.Work, Wire, $"{pool}:/mnt/vms");
            await Task.WhenAll(host1.TurnOnAsync(), host2.TurnOnAsync());
            await InstallAsync(host1, host2);
            await FirstMoveAsync(host1, host2, lab.Template);
            await RestartsAsync(host1, host2);
            await UpgradeAsync(host1, host2);
            await PowerAsync(host1, host2);
            await RemovalAsync(host1);
        }
        finally { await LabShell.TryAsync(["ip", "link", "delete", Wire]); }
    }

    private async Task InstallAsync(BootedMachine host1, BootedMachine host2)
    {
        var (server, token, host) = (Lines("install", 0), Lines("install", 1).Single(), Lines("install", 2));
        foreach (var line in server) await host1.RunAsync(Filled(line, host1));
        foreach (var machine in new[] { host1, host2 })
        {
            // Ready as soon as systemctl says so.
            var once = await host1.RunAsync(token.Replace("host1", machine.Name, StringComparison.Ordinal));
            foreach (var line in host) await machine.RunAsync(Filled(line, machine), input: once);
        }
        await ReadyAsync(host1, hosts: 2);
        Assert.Contains("the API listens", await host1.RunAsync("journalctl -u godwit-server -p info -o cat"), StringComparison.Ordinal);
        Assert.DoesNotContain("the API listens", await host1.RunAsync("journalctl -u godwit-server -p warning -o cat"),
            StringComparison.Ordinal);

        string Filled(string line, BootedMachine machine) => line
            .Replace("./godwit_0.1.0_amd64.deb", machine.Put(package.File), StringComparison.Ordinal)
            .Replace("//SERVER", $"//{host1.Address}", StringComparison.Ordinal)
            .Replace("10.0.0.1", machine.Address, StringComparison.Ordinal)
            .Replace("--service", "--service --pool default=/mnt/vms", StringComparison.Ordinal);
    }

    private static async Task FirstMoveAsync(BootedMachine host1, BootedMachine host2, string template)
    {
        var image = host1.Put(template);
        foreach (var line in Enumerable.Range(0, 3).SelectMany(block => Lines("first-move", block)))
            await host1.RunAsync(line.Replace("debian-12-generic-amd64.qcow2", image, StringComparison.Ordinal)
                .Replace("2G", "128M", StringComparison.Ordinal));
        Assert.Equal("host2", await WhereAsync(host1));
        var move = Assert.Single(JsonDocument.Parse(await host1.RunAsync("godwit migration list --json")).RootElement.EnumerateArray());
        Assert.Equal("done", move.GetProperty("end").GetString());
        Assert.Empty(await QemusAsync(host1));
        Assert.Single(await QemusAsync(host2)); // In a scope below godwit.slice, not in the agent's unit.
    }

    private static async Task RestartsAsync(BootedMachine host1, BootedMachine host2)
    {
        var qemu = await QemusAsync(host2);
        await host2.RunAsync("systemctl restart godwit-agent");
        await host1.RunAsync("systemctl restart godwit-server");
        await ReadyAsync(host1, hosts: 2);
        await host2.RunAsync("systemctl kill --signal=KILL --kill-whom=main godwit-agent");
        await host1.RunAsync("systemctl kill --signal=KILL --kill-whom=main godwit-server");
        for (var deadline = DateTime.UtcNow + settleMax; ; await Task.Delay(200)) // systemd brings both back.
            if ((await host2.TryAsync("systemctl is-active godwit-agent")).Output.Trim() == "active"
                && (await host1.TryAsync("systemctl is-active godwit-server")).Output.Trim() == "active") break;
            else Assert.True(DateTime.UtcNow < deadline, "systemd did not start what was killed");
        await ReadyAsync(host1, hosts: 2);
        Assert.Equal(qemu, await QemusAsync(host2));
    }

    /// <summary>The server first, then each host: the upgrade page.</summary>
    private async Task UpgradeAsync(BootedMachine host1, BootedMachine host2)
    {
        var newer = await NewerAsync();
        var qemu = await QemusAsync(host2);
        var before = await host2.RunAsync("systemctl show --property MainPID godwit-agent");
        foreach (var machine in new[] { host1, host2 })
        {
            await machine.RunAsync($"apt-get install -y {machine.Put(newer)}");
            Assert.Equal(Upgraded, await machine.RunAsync("dpkg-query -W -f '${Version}' godwit"));
        }
        Assert.NotEqual(before, await host2.RunAsync("systemctl show --property MainPID godwit-agent"));
        await ReadyAsync(host1, hosts: 2);
        Assert.Equal(qemu, await QemusAsync(host2));
        await host1.RunAsync("godwit vm migrate web1 --to host1");
        Assert.Equal("host1", await WhereAsync(host1));
        await host1.RunAsync("godwit cluster check");
    }

    /// <summary>A host that is turned off and on is a host again, without a word from anybody.</summary>
    private static async Task PowerAsync(BootedMachine host1, BootedMachine host2)
    {
        await host2.TurnOffAsync();
        await host2.TurnOnAsync();
        await ReadyAsync(host1, hosts: 2);
        await host1.RunAsync("godwit vm migrate web1 --to host2 && godwit vm migrate web1 --to host1");
    }

    private static async Task RemovalAsync(BootedMachine host1)
    {
        var qemu = await QemusAsync(host1);
        await host1.RunAsync("apt-get remove -y godwit");
        Assert.Equal("inactive", (await host1.TryAsync("systemctl is-active godwit-agent")).Output.Trim());
        Assert.Equal(qemu, await QemusAsync(host1));
    }

    private static async Task ReadyAsync(BootedMachine server, int hosts)
    {
        var said = new ShellResult(1, "", "");
        for (var deadline = DateTime.UtcNow + settleMax; DateTime.UtcNow < deadline; await Task.Delay(300))
        {
            said = await server.TryAsync("godwit host list --json");
            if (said.ExitCode == 0 && JsonDocument.Parse(said.Output).RootElement.EnumerateArray()
                    .Count(host => host.GetProperty("state").GetString() == "ready") == hosts) return;
        }
        Assert.Fail($"{hosts} hosts are not ready: {said.Output}{said.Error}");
    }

    private static async Task<string?> WhereAsync(BootedMachine server)
    {
        var vm = JsonDocument.Parse(await server.RunAsync("godwit vm show web1 --json")).RootElement;
        Assert.Equal("running", vm.GetProperty("state").GetString());
        return vm.GetProperty("owner").GetString();
    }

    /// <summary>Pids of guests' QEMUs: in their slice, a new agent asks one without a machine what it can do.</summary>
    private static async Task<string[]> QemusAsync(BootedMachine machine) =>
        (await machine.RunAsync("for pid in $(cat /sys/fs/cgroup/godwit.slice/*.scope/cgroup.procs 2>/dev/null); do "
            + "tr '\\0' ' ' 2>/dev/null </proc/$pid/cmdline | grep -q -e '-name guest=' && echo $pid; done; true"))
        .Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Debian with systemd and what the package recommends; from this machine's own mirrors where it is the same Debian.</summary>
    private async Task<string> InstallDebianAsync()
    {
        var tree = Path.Combine(package.Work, "debian");
        var isSame = (await File.ReadAllLinesAsync("/etc/os-release")).Contains($"VERSION_CODENAME={Release}");
        string[] sources = isSame ? [.. new[] { "/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list" }.Where(file =>
            new FileInfo(file) is { Exists: true, Length: > 0 }).Take(1)] : [];
        await LabShell.RunAsync(["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--include=systemd,systemd-sysv,dbus,iproute2,ca-certificates,qemu-system-x86,qemu-utils", Release, tree, .. sources],
            deadline: treeMax);
        return tree;
    }

    /// <summary>The same, with a version that apt takes for a newer one.</summary>
    private async Task<string> NewerAsync()
    {
        var (raw, file) = (Path.Combine(package.Work, "newer"), Path.Combine(package.Work, "godwit_newer_amd64.deb"));
        await LabShell.RunAsync(["dpkg-deb", "--raw-extract", package.File, raw]);
        await LabShell.RunAsync(["sed", "-i", $"s/^Version: .*/Version: {Upgraded}/", Path.Combine(raw, "DEBIAN/control")]);
        await LabShell.RunAsync(["dpkg-deb", "-Znone", "--root-owner-group", "--build", raw, file]);
        return file;
    }

    /// <summary>The lines of one block of commands of a guide, counted from 0.</summary>
    private static string[] Lines(string guide, int block)
    {
        var page = File.ReadAllText(Path.Combine(LabFolder.Find().Path, "..", "docs", "guide", $"{guide}.md"));
        return page.Split("```bash\n")[block + 1].Split("\n```")[0].Split('\n');
    }
}
