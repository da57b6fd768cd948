using System.Diagnostics;
using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Processes of this Linux host. What shall outlive the agent gets its own session, and its own scope where systemd
/// runs (else stopping the agent's unit would end every guest with it).
/// </summary>
/// <param name="cgroupRoot">Where cgroup v2 is mounted, if it is.</param>
/// <param name="systemdDirectory">There where systemd runs.</param>
public sealed class RealProcesses(
    string cgroupRoot = "/sys/fs/cgroup", string systemdDirectory = "/run/systemd/system") : IProcesses
{
    private const int OutputBytesMax = 1 << 20;
    /// <summary>
    /// Arguments: log file, the file that takes it into its cgroup or nothing, then the command. stdin from nothing, output to
    /// the log, private files.
    /// </summary>
    private const string DetachScript =
        "umask 0077; log=$1 group=$2; shift 2; [ -z \"$group\" ] || echo $$ >\"$group\"; exec \"$@\" </dev/null >>\"$log\" 2>&1";

    /// <summary>No process has this start time: it is known as gone, and its log says why.</summary>
    private const long EndedAtOnce = -1;

    private readonly ExitWatch _exits = new();
    private readonly Cgroups _cgroups = new(cgroupRoot);

    public async Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel)
    {
        using var process = new Process { StartInfo = StartInfo(CommandWords.Of(command, SystemFiles.Read)) };
        Start(process);
        using var tooLong = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        tooLong.CancelAfter(timeout);
        try
        {
            var output = ReadAsync(process.StandardOutput.BaseStream, tooLong.Token);
            var error = ReadAsync(process.StandardError.BaseStream, tooLong.Token);
            await FeedAsync(process, command.Input, tooLong.Token);
            var result = (await output, await error);
            await process.WaitForExitAsync(tooLong.Token);
            return new CommandResult(process.ExitCode, result.Item1, result.Item2);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new IOException($"{command.Program} did not end within {timeout.TotalSeconds} s and was killed");
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    public Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        // Each of these replaces itself by the next, so the pid stays one and the same up to the command.
        var systemd = Directory.Exists(systemdDirectory);
        var group = command.Share is { } share && !systemd ? _cgroups.Make(share) ?? "" : "";
        List<string> words = ["sh", "-c", DetachScript, "godwit", logPath, group, "setsid"];
        if (systemd)
            words.AddRange(["systemd-run", "--scope", "--quiet", "--collect", "--slice=godwit.slice",
                .. command.Share is null ? [] : _cgroups.ScopeWords(command.Share), "--"]);
        words.AddRange(CommandWords.Of(command, SystemFiles.Read));

        // All three streams are pipes at first, so that .NET leaves a terminal it was started from alone.
        using var process = new Process { StartInfo = StartInfo(words) };
        Start(process);
        process.StandardInput.Close();
        process.StandardOutput.Close();
        process.StandardError.Close();
        return Task.FromResult(new ProcessHandle(process.Id, ProcessStat.Read(process.Id)?.StartTicks ?? EndedAtOnce));
    }

    public bool IsAlive(ProcessHandle process) => ProcessStat.IsAlive(process);

    public async Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout)
    {
        var pidfd = Libc.PidfdOpen(process.Pid);
        if (pidfd >= 0)
        {
            // The descriptor holds one process; the number alone could pass to another one between look and kill.
            if (IsAlive(process)) _ = Libc.PidfdSendSignal(pidfd, Libc.SigKill);
            _ = Libc.Close(pidfd);
        }
        if (!IsAlive(process)) return true;
        try { await _exits.WatchAsync(process).WaitAsync(timeout); }
        catch (TimeoutException) { }
        return !IsAlive(process);
    }

    public Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel) =>
        _exits.WatchAsync(process).WaitAsync(cancel);

    public bool MayWaitForMemory(ProcessHandle process) => UserFaults.HasDescriptor(process);

    public void WakeWaitersFor(ProcessHandle process, string memoryFile) => UserFaults.WakeWaiters(process, memoryFile);

    public string? WhyNoShares => _cgroups.WhyNot;

    public void RemoveShare(string name) => _cgroups.Remove(name);

    public IReadOnlyList<string> Shares => _cgroups.Names;

    private static ProcessStartInfo StartInfo(List<string> words)
    {
        var start = new ProcessStartInfo(words[0], words.Skip(1))
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            UseShellExecute = false, WorkingDirectory = "/",
        };
        var path = start.Environment.TryGetValue("PATH", out var inherited) ? inherited : null;
        start.Environment.Clear(); // Nothing of the agent's own surroundings reaches a guest's process.
        start.Environment["PATH"] = path ?? "/usr/sbin:/usr/bin:/sbin:/bin";
        start.Environment["LC_ALL"] = "C";
        return start;
    }

    private static void Start(Process process)
    {
        try { process.Start(); }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new IOException($"{process.StartInfo.FileName} could not be started: {missing.Message}", missing);
        }
    }

    private static async Task FeedAsync(Process process, string? input, CancellationToken cancel)
    {
        try
        {
            if (input is not null) await process.StandardInput.WriteAsync(input.AsMemory(), cancel);
            process.StandardInput.Close();
        }
        catch (IOException) { } // It ended without reading: its exit code and words tell why.
    }

    /// <summary>To the end, keeping the first <see cref="OutputBytesMax"/> bytes; the rest is read and dropped.</summary>
    private static async Task<string> ReadAsync(Stream stream, CancellationToken cancel)
    {
        using var kept = new MemoryStream();
        var block = new byte[8 << 10];
        int read;
        while ((read = await stream.ReadAsync(block, cancel)) > 0)
            kept.Write(block, 0, (int)Math.Min(read, OutputBytesMax - kept.Length));
        return Encoding.UTF8.GetString(kept.GetBuffer(), 0, (int)kept.Length);
    }
}
