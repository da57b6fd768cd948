using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Machines;

/// <summary>The process table as one agent sees it. Programs are those of <see cref="SimPrograms"/>; any other ends the run.</summary>
public sealed class SimProcesses(SimHost host, SimPrograms programs) : IProcesses
{
    private static readonly TimeSpan RunMin = TimeSpan.FromMilliseconds(1), RunMax = TimeSpan.FromMilliseconds(15);

    public async Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        var done = new TaskCompletionSource<CommandResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        After(RunMin, RunMax, () => done.SetResult(SimPrograms.Run(host, command)));
        return await done.Task;
    }

    public async Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        host.Disk.DemandDirectoryOf(logPath);
        var started = new TaskCompletionSource<ProcessHandle>(TaskCreationOptions.RunContinuationsAsynchronously);
        After(RunMin, RunMax, () => started.SetResult(programs.Start(host, command, logPath).Handle));
        return await started.Task;
    }

    public bool IsAlive(ProcessHandle process)
    {
        host.Loop.DemandLoopThread();
        return host.Find(process.Pid, process.StartTicks) is { HasExited: false };
    }

    public async Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout)
    {
        host.Loop.DemandLoopThread();
        if (host.Find(process.Pid, process.StartTicks) is not { HasExited: false } alive) return true;
        var end = host.Clock.GetUtcNow() + timeout;
        while (alive.HangsInKernel && host.Clock.GetUtcNow() < end) await host.Loop.SleepAsync(TimeSpan.FromMilliseconds(50));
        if (alive.HangsInKernel) return false;
        After(TimeSpan.FromMicroseconds(200), TimeSpan.FromMilliseconds(8), () => alive.Exit(ProcessEnd.KilledByAgent));
        await alive.Exited;
        return true;
    }

    public Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        return host.Find(process.Pid, process.StartTicks) is { HasExited: false } alive
            ? alive.Exited.Joinable().WaitAsync(cancel) : Task.CompletedTask;
    }

    public bool MayWaitForMemory(ProcessHandle process)
    {
        host.Loop.DemandLoopThread();
        return host.RamFiles.Values.Any(ram => ram.Arriving is not null && ram.MappedBy.Any(q => q.Process.Handle == process));
    }

    public void WakeWaitersFor(ProcessHandle process, string memoryFile)
    {
        host.Loop.DemandLoopThread();
        if (host.RamFiles.TryGetValue(memoryFile, out var ram)) ram.Arriving?.Wake();
    }

    /// <summary>The kernel's part: goes on though the caller is killed meanwhile, ends with the host's power.</summary>
    private void After(TimeSpan min, TimeSpan max, Action action) => host.Loop.After(host.Random.NextTime(min, max), () =>
    {
        if (host.IsUp) action();
    });
}
