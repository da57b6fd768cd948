using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Tells the end of processes that are not our children, at once and without polling: one thread waits on a pidfd for
/// each. A pidfd becomes readable when the process has ended with all its threads.
/// </summary>
internal sealed class ExitWatch
{
    /// <summary>How late a newly watched process may be noticed when the waking byte is lost; never the usual way.</summary>
    private const int PollMs = 1000;
    private const int WatchedMax = 4096;

    private readonly Lock _lock = new();
    private readonly List<(int Pidfd, TaskCompletionSource Ended)> _watched = [];
    private readonly int[] _wake = new int[2];
    private bool _started;

    /// <summary>Completes when the process has ended; at once where it already has.</summary>
    public Task WatchAsync(ProcessHandle process)
    {
        var pidfd = Libc.PidfdOpen(process.Pid);
        if (pidfd < 0) return ProcessStat.IsAlive(process)
            ? throw new IOException($"process {process.Pid} cannot be watched: {Libc.LastError()}") : Task.CompletedTask;
        // Only now is the number bound to one process: look whether it is the one we mean.
        if (!ProcessStat.IsAlive(process))
        {
            _ = Libc.Close(pidfd);
            return Task.CompletedTask;
        }
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_watched.Count >= WatchedMax) throw new IOException($"more than {WatchedMax} processes watched");
            _watched.Add((pidfd, ended));
            if (!_started) Start();
        }
        _ = Libc.Write(_wake[1], [1], 1);
        return ended.Task;
    }

    private void Start()
    {
        if (Libc.Pipe2(_wake, Libc.OpenCloseOnExec | Libc.OpenNonBlock) != 0)
            throw new IOException($"no pipe: {Libc.LastError()}");
        new Thread(Watch) { IsBackground = true, Name = "godwit-exits" }.Start();
        _started = true;
    }

    private void Watch()
    {
        var scrap = new byte[64];
        while (true)
        {
            Libc.PollEntry[] entries;
            lock (_lock)
            {
                entries = [new() { Descriptor = _wake[0], Wanted = Libc.PollIn },
                    .. _watched.Select(w => new Libc.PollEntry { Descriptor = w.Pidfd, Wanted = Libc.PollIn })];
            }
            if (Libc.Poll(entries, (nuint)entries.Length, PollMs) <= 0) continue; // Nothing, or a signal: look again.
            while (Libc.Read(_wake[0], scrap, (nuint)scrap.Length) == scrap.Length) { }
            foreach (var entry in entries.Skip(1).Where(e => e.Happened != 0)) Ended(entry.Descriptor);
        }
    }

    private void Ended(int pidfd)
    {
        TaskCompletionSource ended;
        lock (_lock)
        {
            var index = _watched.FindIndex(w => w.Pidfd == pidfd);
            ended = _watched[index].Ended;
            _watched.RemoveAt(index);
        }
        _ = Libc.Close(pidfd);
        ended.SetResult();
    }
}
