using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Server.Fencing;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Real little programs as hooks: what one of them may be, and what its end proves.</summary>
public sealed class CommandFenceTests : IDisposable
{
    private const UnixFileMode Owners = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-fence-").FullName;
    private readonly HostId _host = new("host1");

    [Theory]
    [InlineData("exit 0", 0, true)]
    [InlineData("exit 1", 1, false)]
    [InlineData("echo no such host >&2; exit 77", 77, false)]
    [InlineData("kill -9 $$", 137, false)]
    public async Task Only_a_clean_exit_proves_anything(string script, int exitCode, bool isProof)
    {
        var outcome = await RunAsync(script);
        Assert.Equal((exitCode, isProof), (outcome.ExitCode, outcome.IsProof));
    }

    [Fact]
    public async Task It_gets_the_hosts_name_and_nothing_of_the_servers_surroundings()
    {
        Environment.SetEnvironmentVariable("GODWIT_TEST_SECRET", "geheim");
        var outcome = await RunAsync("echo \"$# $1\"; env; exit 0");
        Assert.StartsWith("1 host1 ", outcome.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("geheim", outcome.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("HOME=", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_it_prints_is_read_to_the_end_and_kept_short_on_one_line()
    {
        var outcome = await RunAsync("head -c 3000000 /dev/zero | tr '\\0' x; printf '\\033[2J'; exit 0");
        Assert.True(outcome.IsProof);
        Assert.InRange(outcome.Output.Length, FenceOutcome.OutputCharsMax, FenceOutcome.OutputCharsMax + 1);
        Assert.DoesNotContain((await RunAsync("printf 'a\\033[2Jb\\nc'")).Output, char.IsControl);
    }

    [Theory]
    [InlineData("sleep 600")]
    [InlineData("trap '' TERM; while :; do sleep 1; done")]
    public async Task One_that_does_not_end_is_killed_and_proves_nothing(string script)
    {
        var outcome = await RunAsync(script, TimeSpan.FromSeconds(1));
        Assert.Equal((null, false), (outcome.ExitCode, outcome.IsProof));
        Assert.Contains("did not end", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_program_that_others_could_have_written_is_not_run()
    {
        var ran = Path.Combine(_directory, "ran");
        var hook = Write("off", $"touch {ran}");
        foreach (var (mode, why) in new[]
        {
            (Owners | UnixFileMode.OtherWrite, "written by others"), (Owners | UnixFileMode.GroupWrite, "written by others"),
            (UnixFileMode.UserRead | UnixFileMode.UserWrite, "may not be executed"),
        })
        {
            File.SetUnixFileMode(hook, mode);
            await RefusedAsync("off", why);
        }
        File.SetUnixFileMode(hook, Owners);
        File.SetUnixFileMode(_directory, Owners | UnixFileMode.OtherWrite);
        await RefusedAsync("off", "written by others");
        File.SetUnixFileMode(_directory, Owners);
        File.CreateSymbolicLink(Path.Combine(_directory, "link"), hook);
        await RefusedAsync("link", "no regular file");
        Directory.CreateDirectory(Path.Combine(_directory, "folder"));
        await RefusedAsync("folder", "no regular file");
        await RefusedAsync("nothing", "there is no");
        Assert.False(File.Exists(ran));
    }

    [Theory]
    [InlineData("../off"), InlineData("/bin/true"), InlineData(""), InlineData("off;reboot"), InlineData("."), InlineData("a b")]
    public async Task A_hook_is_a_plain_name_and_never_a_path(string name)
    {
        Write("off", "exit 0");
        Assert.Equal("bad-fence", (await Fence().WhyNotAsync(name, default))!.Code);
        Assert.False((await Fence().RunAsync(name, _host, default)).IsProof);
    }

    [Fact]
    public void A_program_of_another_user_than_root_or_oneself_is_not_run()
    {
        const uint file = 0x8000 | 0x1ed; // Regular, 0755.
        Assert.Null(ProgramFiles.Judge("/x", new FileStanding(0, file), 0x8000, uid: 900));
        Assert.Null(ProgramFiles.Judge("/x", new FileStanding(900, file), 0x8000, uid: 900));
        Assert.Contains("uid 1000", ProgramFiles.Judge("/x", new FileStanding(1000, file), 0x8000, uid: 900), StringComparison.Ordinal);
        Assert.Contains("uid 1000", ProgramFiles.Judge("/x", new FileStanding(1000, file), 0x8000, uid: 0), StringComparison.Ordinal);
        Assert.Equal((uint)Libc.EffectiveUid(), ProgramFiles.Look(Write("own", "exit 0"))!.Value.Owner);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private CommandFence Fence(TimeSpan? timeMax = null) => new(_directory, new RealProcesses(), new ProgramFiles(), timeMax);

    private async Task<FenceOutcome> RunAsync(string script, TimeSpan? timeMax = null)
    {
        Write("off", script);
        Assert.Null(await Fence().WhyNotAsync("off", default));
        return await Fence(timeMax).RunAsync("off", _host, default);
    }

    private async Task RefusedAsync(string hook, string why)
    {
        var refusal = await Fence().WhyNotAsync(hook, default);
        Assert.Equal("fence-not-usable", refusal!.Code);
        Assert.Contains(why, refusal.Cause, StringComparison.Ordinal);
        var outcome = await Fence().RunAsync(hook, _host, default);
        Assert.Equal((null, false), (outcome.ExitCode, outcome.IsProof));
    }

    private string Write(string name, string script)
    {
        var path = Path.Combine(_directory, name);
        File.WriteAllText(path, $"#!/bin/sh\n{script}\n");
        File.SetUnixFileMode(path, Owners);
        return path;
    }
}
