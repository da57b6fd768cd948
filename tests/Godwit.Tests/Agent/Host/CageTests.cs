using Godwit.Agent.Host;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Agent.Host;

/// <summary>What stands in front of a command that shall have few rights. Whether the kernel then refuses is seen in the lab.</summary>
public sealed class CageTests
{
    private static readonly SystemFiles system = new(
        ["/usr"], ["/etc/ld.so.cache"], ["usr/bin", "usr/lib"], path => path is "/usr" or "/proc" or "/run/godwit/vms/vm-1" or "/opt/q");

    private static readonly Command qemu = new("/usr/bin/qemu", ["-S"], 20_001)
    {
        Sees = new FileView
        {
            ReadOnly = ["/srv/pool/template"], Writable = ["/run/godwit/vms/vm-1", "/srv/my pool/disk"],
            Devices = ["/dev/net/tun"], Programs = ["/opt/q"],
        },
    };

    [Fact]
    public void Namespaces_and_limits_come_before_root_is_given_up()
    {
        var words = CommandWords.Of(qemu with { Cpus = "0" }, () => system);
        Assert.Equal(["unshare", "--ipc", "--uts", "--mount", "--", "sh", "-c"], words.Take(7));
        var tail = words.SkipWhile(w => w != "prlimit").ToList();
        Assert.Equal(["prlimit", "--core=1", "--", "setpriv", "--reuid", "20001", "--regid", "20001", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", "--", "taskset", "-c", "0", "/usr/bin/qemu", "-S"], tail);
    }

    [Fact]
    public void What_is_shown_is_what_was_given_and_the_system_read_only()
    {
        var mounts = Words()[0].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(
            [
                "/usr /sys/usr none bind,ro,nosuid,nodev",
                "/etc/ld.so.cache /sys/etc/ld.so.cache none bind,ro,nosuid,nodev",
                "proc /sys/proc proc nosuid,nodev,noexec",
                "/dev/null /sys/dev/null none bind,nosuid,noexec",
                "/dev/zero /sys/dev/zero none bind,nosuid,noexec",
                "/dev/random /sys/dev/random none bind,nosuid,noexec",
                "/dev/urandom /sys/dev/urandom none bind,nosuid,noexec",
                "/dev/net/tun /sys/dev/net/tun none bind,nosuid,noexec",
                "/opt/q /sys/opt/q none bind,ro,nosuid,nodev",
                "/srv/pool/template /sys/srv/pool/template none bind,ro,nosuid,nodev,noexec",
                "/run/godwit/vms/vm-1 /sys/run/godwit/vms/vm-1 none bind,nosuid,nodev,noexec",
                "/srv/my\\040pool/disk /sys/srv/my\\040pool/disk none bind,nosuid,nodev,noexec",
            ], mounts);
    }

    [Fact]
    public void A_file_is_mounted_on_a_file_and_a_directory_on_a_directory()
    {
        var words = Words();
        var directories = words[1].Split('\n');
        Assert.Contains("./run/godwit/vms/vm-1", directories);
        Assert.Contains("./srv/my pool", directories);
        Assert.DoesNotContain("./srv/my pool/disk", directories);
        Assert.Contains("./srv/my pool/disk", words[2].Split('\n'));
        Assert.Equal("usr/bin\nusr/lib", words[3]);
    }

    [Theory]
    [InlineData("srv/disk")]
    [InlineData("/srv/disk\n/etc/shadow /sys/etc/shadow none bind")]
    public void A_path_that_could_be_more_than_a_path_is_refused(string path) => Assert.Throws<IOException>(() =>
        CommandWords.Of(qemu with { Sees = new FileView { Writable = [path] } }, () => system));

    [Fact]
    public void A_command_without_a_view_or_a_uid_is_left_as_it_is() =>
        Assert.Equal(["ip", "link"], CommandWords.Of(new Command("ip", ["link"]), () => throw new InvalidOperationException()));

    [Fact]
    public void The_cages_own_arguments_are_four_and_then_comes_the_command()
    {
        var words = CommandWords.Of(qemu, () => system);
        Assert.Equal("prlimit", words[words.IndexOf("godwit") + 5]);
    }

    private static List<string> Words() => [.. CommandWords.Of(qemu, () => system).SkipWhile(w => w != "godwit").Skip(1).Take(4)];
}
