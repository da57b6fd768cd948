using System.Security.Cryptography;
using Godwit.Agent.Disks;
using Godwit.Agent.Host;
using Godwit.Agent.Images;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Images;

/// <summary>Images of the machine's own qemu-img: the good ones are taken whole, and the attacks it falls for are refused.</summary>
[Collection("real host")]
public sealed class RealImageTests
{
    private const string Secret = "godwit-secret-of-the-host";

    public static TheoryData<string, string, string> Subformats => new()
    {
        { "raw", "", "raw" },
        { "qcow2", "compat=0.10", "qcow2 version 2" },
        { "qcow2", "compat=1.1", "qcow2 version 3" },
        { "qcow2", "cluster_size=512", "qcow2 version 3" },
        { "qcow2", "cluster_size=2M,refcount_bits=1", "qcow2 version 3" },
        { "qcow2", "refcount_bits=64,lazy_refcounts=on", "qcow2 version 3" },
        { "qcow2", "extended_l2=on,cluster_size=128k", "qcow2 version 3" },
        { "qcow2", "compression_type=zstd", "qcow2 version 3" },
        { "qcow2", "preallocation=metadata", "qcow2 version 3" },
        { "vmdk", "subformat=monolithicSparse", "VMDK monolithicSparse" },
        { "vmdk", "subformat=streamOptimized", "VMDK streamOptimized" },
        { "vmdk", "subformat=monolithicSparse,adapter_type=lsilogic,hwversion=6", "VMDK monolithicSparse" },
        { "vhdx", "subformat=dynamic", "VHDX" },
        { "vhdx", "subformat=fixed", "VHDX" },
        { "vhdx", "subformat=dynamic,block_size=1M", "VHDX" },
        { "vpc", "subformat=dynamic", "VHD dynamic" },
        { "vpc", "subformat=fixed", "VHD fixed" },
        { "vpc", "subformat=dynamic,force_size=on", "VHD dynamic" },
    };

    [RealQemuTheory]
    [MemberData(nameof(Subformats))]
    public async Task An_image_that_qemu_img_wrote_is_taken_with_all_its_content(string format, string options, string kind)
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        await host.ShellAsync($"cd {home} && qemu-img convert -f raw -O {format} {(options == "" ? "" : $"-o {options}")} content image");
        var image = await ImportAsync(host, Path.Combine(home, "image"));
        Assert.Equal(kind, image.Kind);
        await SameAsync(host, home, image);
    }

    [RealQemuFact]
    public async Task A_blank_image_of_every_subformat_is_taken()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        foreach (var row in Subformats.Where(row => row is not ["raw", ..]))
        {
            await host.ShellAsync($"cd {home} && rm -f blank && qemu-img create -q -f {row[0]} -o {row[1]} blank 1G");
            await using var file = File.OpenRead(Path.Combine(home, "blank"));
            Assert.IsType<ImageVerdict.Taken>(ImageInspector.Inspect(new ImageBytes(file), null));
        }
    }

    [RealQemuFact]
    public async Task An_archive_of_one_disk_is_taken_and_its_manifest_held_against_it()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        await host.ShellAsync($"""
            cd {home} && qemu-img convert -f raw -O vmdk -o subformat=streamOptimized content disk.vmdk
            cat >vm.ovf <<'END'
            <?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:o="http://schemas.dmtf.org/ovf/envelope/1">
            <References><File o:id="f1" o:href="disk.vmdk"/></References>
            <DiskSection><Info>one</Info><Disk o:diskId="d1" o:fileRef="f1" o:capacity="16777216"/></DiskSection></Envelope>
            END
            for f in vm.ovf disk.vmdk; do printf 'SHA256(%s)= %s\n' $f $(sha256sum <$f | cut -c1-64); done >vm.mf
            tar --format=ustar -cf good.ova vm.ovf vm.mf disk.vmdk
            sed -i 's/= ./= 0/' vm.mf && sed -i 's/= 0/= f/' vm.mf && tar --format=ustar -cf bad.ova vm.ovf vm.mf disk.vmdk
            ln -s /etc/shadow link.vmdk && tar --format=ustar -cf link.ova vm.ovf link.vmdk disk.vmdk
            """);
        var image = await ImportAsync(host, Path.Combine(home, "good.ova"));
        Assert.Equal("OVA with VMDK streamOptimized", image.Kind);
        await SameAsync(host, home, image);
        Assert.Equal("archive-digest", await RefusedAsync(host, Path.Combine(home, "bad.ova")));
        Assert.Equal("archive-entry", await RefusedAsync(host, Path.Combine(home, "link.ova")));
    }

    /// <summary>Each first shown to work on this qemu-img: a refusal of what harms nobody would prove nothing.</summary>
    [RealQemuFact]
    public async Task The_attacks_that_stock_qemu_img_falls_for_are_refused()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        await host.ShellAsync($$$"""
            cd {{{home}}}
            { printf %s {{{Secret}}}; head -c 1048551 /dev/zero; } >secret
            qemu-img create -q -f qcow2 -F raw -b $PWD/secret backed
            qemu-img create -q -f qcow2 -o data_file=$PWD/secret,data_file_raw=on data 1M
            { printf %s {{{Secret}}}; head -c 1048551 /dev/zero; } >secret
            qemu-img create -q -u -f qcow2 -F raw -b 'json:{"driver":"raw","file":{"driver":"file","filename":"'$PWD'/secret"}}' json 1M
            qemu-img create -q -u -f qcow2 -F raw -b nbd://127.0.0.1:1/x nbd 1M
            printf '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n' >flat
            printf 'RW 2048 FLAT "%s" 0\n' $PWD/secret >>flat
            cp backed guest && truncate -s 1M guest
            """);
        foreach (var (file, code, said) in new[]
        {
            ("backed", "image-backing-file", "auto"), ("data", "image-data-file", "auto"), ("json", "image-backing-file", "auto"),
            ("nbd", "image-backing-file", "auto"), ("flat", "image-kind", "auto"), ("guest", "image-not-raw", "raw"),
        })
        {
            var stock = await host.ShellAsync(
                $"cd {home}; rm -f out; qemu-img convert -O raw {file} out 2>err || true; grep -ac {Secret} out 2>/dev/null || cat err");
            Assert.Contains(file == "nbd" ? "onnect" : "1", stock, StringComparison.Ordinal);
            Assert.Equal(code, await RefusedAsync(host, Path.Combine(home, file), said));
        }
        Assert.Empty(host.Disk.List(host.Pool));
    }

    [RealQemuFact]
    public async Task The_tool_is_nobody_without_network_and_cannot_write_more_than_it_may()
    {
        await using var host = new LabHost();
        const string script = "id -u; id -G; tail -n +3 /proc/net/dev | wc -l; ulimit -f; grep -E 'NoNewPrivs|CapEff' /proc/self/status";
        var command = new Command("sh", ["-c", script], QemuImg.Uid) { FileBytesMax = 1 << 20, WithoutNetwork = true,
            Limits = (1L << 30, 10) };
        var result = await host.Processes.RunAsync(command, TimeSpan.FromSeconds(10), default);
        Assert.Equal(
            [$"{QemuImg.Uid}", $"{QemuImg.Uid}", "1", "2048", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"],
            result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Trim()));
    }

    [TracedFact]
    public async Task The_tool_opens_its_two_files_the_systems_own_and_no_other_and_connects_to_nothing()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        await host.ShellAsync($"cd {home} && qemu-img convert -f raw -O vmdk content image && mkdir -m 777 traces");
        var traced = new TracedProcesses(host.Processes, Path.GetFullPath(Path.Combine(home, "traces", "trace")));
        var import = new ImageImport(new Pools(host.Layout, host.Disk), host.Disk, traced, new RealRandomness());
        await using (var content = File.OpenRead(Path.Combine(home, "image")))
            await import.ImportAsync(new ImportImage("main", "vmdk"), content, default);

        var calls = await File.ReadAllLinesAsync(Path.Combine(home, "traces", "trace"));
        Assert.DoesNotContain(calls, c =>
            c.Contains(" connect(", StringComparison.Ordinal) || c.Contains(" bind(", StringComparison.Ordinal));
        var opened = calls.Where(c => c.Contains("openat(", StringComparison.Ordinal) && !c.Contains(" = -1 ", StringComparison.Ordinal))
            .Select(c => c.Split('"')[1]).Distinct().Where(path => !OfTheSystem(path)).ToList();
        Assert.All(opened, path => Assert.Matches("/pool/upload-[0-9a-f]{16}\\.(source|qcow2)$", path));
        Assert.Equal(2, opened.Count);
        Assert.Equal(opened.Order(StringComparer.Ordinal), traced.Seen.Order(StringComparer.Ordinal)); // No other is there for it.
    }

    private static bool OfTheSystem(string path) => ((string[])["/lib", "/usr/", "/proc/", "/sys/", "/dev/", "/etc/ld.so"])
        .Any(begin => path.StartsWith(begin, StringComparison.Ordinal));

    private sealed class TracedFactAttribute : RealQemuFactAttribute
    {
        public TracedFactAttribute() => Skip ??= File.Exists("/usr/bin/strace") ? null : "needs strace";
    }

    /// <summary>Runs commands under strace: what they open and where they connect.</summary>
    private sealed class TracedProcesses(IProcesses real, string trace) : IProcesses
    {
        /// <summary>The files that were there for the last command, beside the system's.</summary>
        public IReadOnlyList<string> Seen { get; private set; } = [];

        public Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel)
        {
            var view = command.Sees ?? throw new InvalidOperationException("it would see the whole host");
            Seen = [.. view.ReadOnly, .. view.Writable];
            return real.RunAsync(command with
            {
                Program = "strace",
                Arguments = ["-f", "-qq", "-e", "trace=openat,connect,bind", "-o", trace, command.Program, .. command.Arguments],
                Sees = view with { Writable = [.. view.Writable, Path.GetDirectoryName(trace)!] },
            }, timeout, cancel);
        }

        public Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel) =>
            throw new NotSupportedException();
        public bool IsAlive(ProcessHandle process) => false;
        public Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout) => throw new NotSupportedException();
        public Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel) => throw new NotSupportedException();
    }

    [RealQemuFact]
    public async Task An_image_that_unpacks_to_far_more_than_itself_is_stopped()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        // Text that packs 1:500; above the limit of 64 times itself, which begins to count at 256 MiB.
        await host.ShellAsync($"cd {home} && yes godwit | head -c 400000000 >big");
        await host.ShellAsync($"cd {home} && qemu-img convert -f raw -O vmdk -o subformat=streamOptimized big bomb");
        await host.ShellAsync($"rm {home}/big");
        Assert.Equal("image-conversion-failed", await RefusedAsync(host, Path.Combine(home, "bomb")));
        Assert.Empty(host.Disk.List(host.Pool));
    }

    [RealQemuFact]
    public async Task A_parent_of_a_VMDK_and_encrypted_images_are_refused()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var home = await ContentAsync(host);
        await host.ShellAsync($"""
            cd {home} && qemu-img create -q -f vmdk parent.vmdk 1M && qemu-img create -q -f vmdk -F vmdk -b parent.vmdk child
            qemu-img create -q --object secret,id=s,data=x -f qcow2 -o encrypt.format=aes,encrypt.key-secret=s aes 1M
            for kind in monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do
                qemu-img create -q -f vmdk -o subformat=$kind $kind.vmdk 1M
            done
            qemu-img create -q -f vdi vdi 1M && qemu-img create -q -f qed qed 1M && gzip -k content
            """);
        foreach (var (file, code) in new[]
        {
            ("child", "image-backing-file"), ("aes", "image-encrypted"), ("monolithicFlat.vmdk", "image-kind"), ("vdi",
                "image-format-unknown"),
            ("twoGbMaxExtentSparse.vmdk", "image-kind"), ("twoGbMaxExtentFlat.vmdk", "image-kind"), ("qed", "image-format-unknown"),
            ("content.gz", "image-packed"),
        })
            Assert.Equal(code, await RefusedAsync(host, Path.Combine(home, file)));
    }

    /// <summary>16 MiB with some of everything: noise, text, gaps. Returns the directory it lies in.</summary>
    private static async Task<string> ContentAsync(LabHost host)
    {
        var home = Path.Combine(host.Pool, "..", "images");
        Directory.CreateDirectory(home);
        var content = new byte[16 << 20];
        RandomNumberGenerator.Fill(content.AsSpan(0, 1 << 20));
        content.AsSpan(5 << 20, 1 << 20).Fill((byte)'x');
        RandomNumberGenerator.Fill(content.AsSpan(^(64 << 10)));
        await File.WriteAllBytesAsync(Path.Combine(home, "content"), content);
        return home;
    }

    private static async Task<ImportedImage> ImportAsync(LabHost host, string path, string said = "auto")
    {
        var import = new ImageImport(new Pools(host.Layout, host.Disk), host.Disk, host.Processes, new RealRandomness());
        await using var content = File.OpenRead(path);
        return await import.ImportAsync(new ImportImage("main", said), content, default);
    }

    private static async Task<string> RefusedAsync(LabHost host, string path, string said = "auto") =>
        (await Assert.ThrowsAsync<RefusedException>(() => ImportAsync(host, path, said))).Reasons[0].Code;

    /// <summary>A VHD's size is rounded up to whole cylinders: behind the content there may be zeros.</summary>
    private static async Task SameAsync(LabHost host, string home, ImportedImage image)
    {
        Assert.InRange(image.VirtualBytes, 16 << 20, 17 << 20);
        var stored = Path.Combine(host.Pool, image.File);
        var same = await host.ShellAsync($"qemu-img compare -f raw -F {image.Format} {home}/content {stored}");
        Assert.Contains("identical", same, StringComparison.Ordinal);
        Assert.Equal([image.File], host.Disk.List(host.Pool)); // Nothing else is left.
        Assert.Equal("444 0", (await host.ShellAsync($"stat -c '%a %u' {stored}")).Trim());
    }
}
