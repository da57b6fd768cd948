using System.Globalization;
using System.Text.Json;
using Godwit.Cli.Lab;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Packaging;

/// <summary>
/// The Debian package as an operator gets it, but for code compiled ahead (which takes minutes and changes no behaviour): built once,
/// unpacked, run, installed, upgraded and removed in a directory of its own.
/// </summary>
[Collection(PackageCollection.Name)]
public sealed class PackageTests(BuiltPackage package)
{
    /// <summary>The project has no address of its own; the .NET runtime is built with the zlib it was tested with.</summary>
    private static readonly string[] onPurpose = ["bogus-mail-host", "bogus-mail-host-in-debian-changelog", "embedded-library"];
    private static readonly TimeSpan startMax = TimeSpan.FromSeconds(90);

    [PackageFact]
    public async Task It_holds_what_its_units_its_manual_and_its_completion_need()
    {
        foreach (var file in new[]
        {
            "usr/lib/godwit/godwit", "usr/lib/godwit/libcoreclr.so", "lib/systemd/system/godwit-server.service",
            "lib/systemd/system/godwit-agent.service", "usr/share/bash-completion/completions/godwit",
            "usr/share/fish/vendor_completions.d/godwit.fish", "usr/share/man/man1/godwit.1.gz", "usr/share/doc/godwit/copyright",
            "usr/share/doc/godwit/novnc/LICENSE.MPL-2.0", "usr/share/doc/godwit/xterm/LICENSE",
            "usr/share/godwit/grafana/godwit.json", "usr/share/godwit/prometheus/godwit-alerts.yml",
        }) Assert.True(File.Exists(Path.Combine(package.Unpacked, file)), file);
        Assert.Equal([], Directory.EnumerateFiles(package.Unpacked, "*.pdb", SearchOption.AllDirectories));
        Assert.Equal("../lib/godwit/godwit", new FileInfo(package.Godwit).LinkTarget);

        var owners = await LabShell.RunAsync(["dpkg-deb", "--contents", package.File]);
        Assert.All(owners.Split('\n', StringSplitOptions.RemoveEmptyEntries), line =>
        {
            Assert.Contains("root/root", line, StringComparison.Ordinal);
            Assert.DoesNotMatch("^-.......w", line); // Nothing that strangers may write.
        });
        var manual = await LabShell.RunAsync(["zcat", Path.Combine(package.Unpacked, "usr/share/man/man1/godwit.1.gz")]);
        Assert.Contains("godwit support\\-bundle", manual, StringComparison.Ordinal);
    }

    [PackageFact]
    public async Task It_runs_without_any_dotnet_and_completes_what_is_typed()
    {
        var version = await LabShell.RunAsync(["env", "-i", "PATH=/usr/bin:/bin", package.Godwit, "--version"]);
        var field = await LabShell.RunAsync(["dpkg-deb", "--field", package.File, "Version"]);
        Assert.StartsWith(field.Trim().Replace("~quick", "", StringComparison.Ordinal), version.Trim(), StringComparison.Ordinal);

        var completion = Path.Combine(package.Unpacked, "usr/share/bash-completion/completions/godwit");
        var completed = await LabShell.RunAsync(["env", "-i", $"PATH={Path.GetDirectoryName(package.Godwit)}:/usr/bin:/bin", "bash", "-c",
            $". {completion}; COMP_LINE='godwit host dr' COMP_POINT=14 COMP_WORDS=(godwit host dr) COMP_CWORD=2; _godwit; "
            + "printf '%s\\n' \"${COMPREPLY[@]}\""]);
        Assert.Equal("drain\n", completed);
    }

    /// <summary>With its own /var/lib, /run and network, so that it meets nothing of this machine's.</summary>
    [PackageFact]
    public async Task Server_and_agent_start_from_it_answer_on_their_socket_log_json_and_end_when_told()
    {
        using var up = LabShell.Start(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c",
            "mount -t tmpfs none /var/lib && mount -t tmpfs none /run && ip link set lo up && "
            + $"exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin {package.Godwit} up --name here --log-format json"]);
        var (output, error) = (up.StandardOutput.ReadToEndAsync(), up.StandardError.ReadToEndAsync());
        try
        {
            var hosts = "";
            for (var deadline = DateTime.UtcNow + startMax; !hosts.Contains("\"ready\"", StringComparison.Ordinal); await Task.Delay(200))
            {
                if (up.HasExited || DateTime.UtcNow > deadline) Assert.Fail($"{hosts}\n{await LastWordsAsync()}");
                hosts = (await InsideAsync("host", "list", "--json")).Output;
            }
            var host = Assert.Single(JsonDocument.Parse(hosts).RootElement.EnumerateArray());
            Assert.Equal("here", host.GetProperty("id").GetString());

            await LabShell.RunAsync(["kill", "-TERM", Pid()]);
            await up.WaitForExitAsync().WaitAsync(startMax);
            Assert.True(up.ExitCode == 0, await error);
        }
        finally
        {
            if (!up.HasExited) up.Kill(entireProcessTree: true);
        }
        var lines = (await output).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var logged = lines.Where(line => line[0] == '{').Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.NotEmpty(logged);
        Assert.All(logged, line => Assert.True(line.TryGetProperty("Timestamp", out _) && line.TryGetProperty("Message", out _)));
        var said = lines.Where(line => line[0] != '{').ToList(); // And nothing else: log lines are for a log's reader.
        Assert.Equal(2, said.Count);
        Assert.StartsWith("here is up.", said[0], StringComparison.Ordinal);
        Assert.StartsWith("Console: https://", said[1], StringComparison.Ordinal);

        string Pid() => up.Id.ToString(CultureInfo.InvariantCulture);
        Task<ShellResult> InsideAsync(params string[] words) => LabShell.TryAsync(["nsenter", "--mount", "--net", "--target", Pid(),
            "env", "-i", "PATH=/usr/bin:/bin", package.Godwit, .. words]);
        async Task<string> LastWordsAsync()
        {
            if (!up.HasExited) up.Kill(entireProcessTree: true);
            return await output + await error;
        }
    }

    /// <summary>
    /// Real dpkg in a directory of its own, with a systemctl that writes down what it is asked: of VMs' scopes and their slice never a
    /// word, whatever happens to the package.
    /// </summary>
    [PackageFact]
    public async Task Installed_upgraded_removed_and_purged_it_stops_no_vm_and_leaves_what_they_run_from()
    {
        var root = Path.Combine(package.Work, "root");
        var kept = Directory.CreateDirectory(Path.Combine(root, "var/lib/godwit/agent")).FullName;
        await File.WriteAllTextAsync(Path.Combine(kept, "identity.pem"), "kept");

        Assert.Equal(["daemon-reload", "try-restart godwit-server.service", "try-restart godwit-agent.service"],
            await DpkgAsync("--install", package.File));
        Assert.True(File.Exists(Path.Combine(root, "usr/bin/godwit")));
        Assert.Equal(["daemon-reload", "daemon-reload", "try-restart godwit-server.service", "try-restart godwit-agent.service"],
            await DpkgAsync("--install", package.File));
        Assert.Equal(["--quiet disable --now godwit-server.service godwit-agent.service", "daemon-reload"],
            await DpkgAsync("--remove", "godwit"));
        Assert.False(File.Exists(Path.Combine(root, "usr/bin/godwit")));
        Assert.Equal(["daemon-reload"], await DpkgAsync("--purge", "godwit"));
        Assert.Equal("kept", await File.ReadAllTextAsync(Path.Combine(kept, "identity.pem")));

        async Task<string[]> DpkgAsync(params string[] words)
        {
            var programs = Directory.CreateDirectory(Path.Combine(package.Work, "programs")).FullName;
            var (asked, systemctl) = (Path.Combine(package.Work, "asked"), Path.Combine(programs, "systemctl"));
            await File.WriteAllTextAsync(asked, "");
            await File.WriteAllTextAsync(systemctl, $"#!/bin/sh\necho \"$*\" >>'{asked}'\n");
            File.SetUnixFileMode(systemctl, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            Directory.CreateDirectory(Path.Combine(root, "var/lib/dpkg/updates"));
            foreach (var list in new[] { "status", "available" })
                if (Path.Combine(root, "var/lib/dpkg", list) is var file && !File.Exists(file)) await File.WriteAllTextAsync(file, "");
            await LabShell.RunAsync(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec \"$@\"", "sh",
                "env", $"PATH={programs}:/usr/sbin:/usr/bin:/sbin:/bin", "dpkg", $"--root={root}", "--force-script-chrootless",
                "--force-depends", .. words]);
            return await File.ReadAllLinesAsync(asked);
        }
    }

    /// <summary>Debian's own checker, of a package that is not Debian's.</summary>
    [PackageFact]
    public async Task Lintian_finds_no_error_in_it()
    {
        var said = await LabShell.TryAsync(["lintian", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0",
            "--suppress-tags", string.Join(',', onPurpose), package.File]);
        Assert.True(said.ExitCode == 0, said.Output + said.Error);
    }

    [PackageFact]
    public async Task Its_scripts_and_units_are_such_as_their_checkers_like()
    {
        var control = Path.Combine(package.Work, "control");
        await LabShell.RunAsync(["dpkg-deb", "--control", package.File, control]);
        foreach (var script in new[] { "postinst", "prerm", "postrm" })
        {
            await LabShell.RunAsync(["sh", "-n", Path.Combine(control, script)]);
            if (File.Exists("/usr/bin/shellcheck")) await LabShell.RunAsync(["shellcheck", Path.Combine(control, script)]);
        }
        if (!File.Exists("/usr/bin/systemd-analyze")) return; // It says what it does not understand of a unit, and ends well all the same.
        foreach (var unit in new[] { "godwit-server.service", "godwit-agent.service" })
        {
            var said = await LabShell.TryAsync(["systemd-analyze", "verify", "--recursive-errors=no", "--man=no",
                $"--root={package.Unpacked}", unit]);
            Assert.DoesNotContain("Unknown", said.Error, StringComparison.OrdinalIgnoreCase);
        }
    }
}
