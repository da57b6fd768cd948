using Godwit.Agent.Host;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Agent.Host;

public sealed class RealProcessesTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly string _home = Directory.CreateTempSubdirectory("godwit-processes-").FullName;
    private readonly RealProcesses _processes = new();

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Fact]
    public async Task A_command_gets_its_input_and_gives_its_output_errors_and_exit_code()
    {
        var command = new Command("sh", ["-c", "cat; echo bad >&2; exit 3"]) { Input = "in\n" };
        var result = await _processes.RunAsync(command, Patience, default);
        Assert.Equal(new CommandResult(3, "in\n", "bad\n"), result);
    }

    [Fact]
    public async Task Endless_output_is_cut_at_one_mebibyte_and_the_command_still_ends()
    {
        var result = await _processes.RunAsync(new Command("sh", ["-c", "head -c 3000000 /dev/zero"]), Patience, default);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(1 << 20, result.Output.Length);
    }

    [Fact]
    public async Task A_command_that_hangs_is_killed_and_named()
    {
        var late = await Assert.ThrowsAsync<IOException>(() =>
            _processes.RunAsync(new Command("sleep", ["1000"]), TimeSpan.FromMilliseconds(50), default));
        Assert.Contains("sleep", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_program_that_is_not_installed_is_an_error_with_its_name()
    {
        var missing = await Assert.ThrowsAsync<IOException>(() =>
            _processes.RunAsync(new Command("no-such-program-here", []), Patience, default));
        Assert.Contains("no-such-program-here", missing.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_of_the_agents_surroundings_reaches_a_command()
    {
        Environment.SetEnvironmentVariable("GODWIT_TEST_SECRET", "x");
        var result = await _processes.RunAsync(new Command("env", []), Patience, default);
        Assert.DoesNotContain("GODWIT_TEST_SECRET", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_detached_process_has_its_own_session_and_writes_to_its_log()
    {
        var log = Path.Combine(_home, "log");
        var process = await _processes.StartDetachedAsync(
            new Command("sh", ["-c", "read -r _ _ _ _ _ session _ </proc/$$/stat; echo $session; echo err >&2"]), log, default);
        await _processes.WaitForExitAsync(process, default).WaitAsync(Patience);
        Assert.Equal($"{process.Pid}\nerr\n", await File.ReadAllTextAsync(log));
    }

    [Fact]
    public async Task A_killed_process_is_proved_gone_and_a_pid_with_another_start_time_is_not_it()
    {
        var process = await _processes.StartDetachedAsync(
            new Command("sleep", ["1000"]), Path.Combine(_home, "log"), default);
        var exit = _processes.WaitForExitAsync(process, default);
        Assert.True(_processes.IsAlive(process));
        Assert.False(_processes.IsAlive(process with { StartTicks = process.StartTicks + 1 }));
        Assert.False(exit.IsCompleted);

        Assert.True(await _processes.KillAsync(process, Patience));
        Assert.False(_processes.IsAlive(process));
        await exit.WaitAsync(Patience);
    }

    [Fact]
    public async Task The_end_of_a_process_is_told_whoever_ended_it_and_also_to_those_who_ask_late()
    {
        var process = await _processes.StartDetachedAsync(
            new Command("sleep", ["1000"]), Path.Combine(_home, "log"), default);
        var waits = new[] { _processes.WaitForExitAsync(process, default), _processes.WaitForExitAsync(process, default) };
        await _processes.RunAsync(new Command("sh", ["-c", $"kill -TERM {process.Pid}"]), Patience, default);
        await Task.WhenAll(waits).WaitAsync(Patience);
        await _processes.WaitForExitAsync(process, default).WaitAsync(Patience);
    }

    [Fact]
    public async Task Another_process_that_took_over_the_pid_is_not_killed()
    {
        var process = await _processes.StartDetachedAsync(
            new Command("sleep", ["1000"]), Path.Combine(_home, "log"), default);
        var stranger = process with { StartTicks = process.StartTicks - 1 };
        Assert.True(await _processes.KillAsync(stranger, Patience)); // The one that was meant is gone, so true.
        Assert.True(_processes.IsAlive(process));
        Assert.True(await _processes.KillAsync(process, Patience));
    }

    [Theory]
    [InlineData("1 (a) b) (c) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 7 0 4711 0", 'S', 7, 4711)]
    [InlineData("1 (sh) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99 0", 'Z', 1, 99)]
    public void Process_status_is_read_past_any_name(string text, char state, int threads, long ticks) =>
        Assert.Equal(new ProcessStat(state, threads, ticks), ProcessStat.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("1 (x")]
    [InlineData("1 (x) S 1 2")]
    public void Process_status_that_is_not_one_is_null(string text) => Assert.Null(ProcessStat.Parse(text));

    [Fact]
    public void A_zombie_whose_other_threads_still_hang_counts_as_running()
    {
        Assert.True(new ProcessStat('Z', 2, 1).Runs);
        Assert.False(new ProcessStat('Z', 1, 1).Runs);
    }
}
