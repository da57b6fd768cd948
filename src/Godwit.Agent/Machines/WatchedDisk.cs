using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Machines;

/// <summary>
/// The host's files, with a limit on how long this host's own records (all below one directory) are waited for. A write that does
/// not come back in time fails for who waits (<see cref="IOException"/>) and may reach the disk all the same, later: so writes to
/// one file go to the disk strictly one after the other, and one whose turn has not come when it is given up never goes there.
/// While the disk is silent for longer than that nothing new is handed to it.
/// </summary>
/// <param name="watched">A directory, absolute; all below it is watched, everything else is passed on.</param>
public sealed class WatchedDisk(IDisk disk, string watched, TimeProvider time) : IDisk
{
    /// <summary>No disk that works takes so long to write a kilobyte.</summary>
    public static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(10);
    /// <summary>From here on it is told.</summary>
    public static readonly TimeSpan ToldAfter = TimeSpan.FromSeconds(3);
    private const int TurnsMax = 4096;

    private readonly string below = watched.TrimEnd('/') + "/";
    private readonly Lock gate = new();
    private readonly HashSet<Turn> open = [];
    private readonly Dictionary<string, Turn> last = [];

    /// <summary>How long the disk has owed an answer by now, if that is long enough to be told; else null.</summary>
    public TimeSpan? SilentFor => Silence() is var silence && silence >= ToldAfter ? silence : null;

    public Task WriteDurablyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested(); // Not later: what was handed to the disk goes on.
        return IsWatched(path) ? WaitAsync(path, () => disk.WriteDurablyAsync(path, content, CancellationToken.None))
            : disk.WriteDurablyAsync(path, content, cancel);
    }

    public Task CreateDirectoryAsync(string path) =>
        IsWatched(path) ? WaitAsync(path, () => disk.CreateDirectoryAsync(path)) : disk.CreateDirectoryAsync(path);

    public Task<byte[]?> ReadAsync(string path, int bytesMax, CancellationToken cancel) => disk.ReadAsync(path, bytesMax, cancel);
    public IReadOnlyList<string> List(string directory) => disk.List(directory);
    public long? SizeOf(string path) => disk.SizeOf(path);
    public void Touch(string path) => Do(path, () => disk.Touch(path));
    public string FileSystemOf(string directory) => disk.FileSystemOf(directory);
    public double GivenBytesPerSecond(string directory) => disk.GivenBytesPerSecond(directory);
    public string? WhyNotByThePage(string directory) => disk.WhyNotByThePage(directory);
    public void CreateDirectory(string path) => Do(path, () => disk.CreateDirectory(path));
    public void CreateOwnedDirectory(string path, int ownerUid) => Do(path, () => disk.CreateOwnedDirectory(path, ownerUid));
    public void DeleteFile(string path) => Do(path, () => disk.DeleteFile(path));
    public void DeleteDirectory(string path) => Do(path, () => disk.DeleteDirectory(path));
    public void DeleteMemory(string path) => disk.DeleteMemory(path);
    public void DeleteLeftAside(string directory) => disk.DeleteLeftAside(directory);
    public Task PublishAsync(string from, string to, int ownerUid, UnixFileMode mode, CancellationToken cancel) =>
        disk.PublishAsync(from, to, ownerUid, mode, cancel);
    public Task<string?> WhyNotOpenableAsync(string path, int uid, bool write, CancellationToken cancel) =>
        disk.WhyNotOpenableAsync(path, uid, write, cancel);
    public Task<ILargeFile> CreateLargeAsync(string path, CancellationToken cancel) => disk.CreateLargeAsync(path, cancel);
    public Task<Stream> OpenLargeAsync(string path, CancellationToken cancel) => disk.OpenLargeAsync(path, cancel);
    public Task PopulateAsync(string path, CancellationToken cancel) => disk.PopulateAsync(path, cancel);
    public IMemoryFile OpenMemory(string path, bool toFill = false) => disk.OpenMemory(path, toFill);

    private bool IsWatched(string path) => path.StartsWith(below, StringComparison.Ordinal);

    private async Task WaitAsync(string path, Func<Task> change)
    {
        var turn = new Turn();
        Task before;
        lock (gate)
        {
            DemandAnswers(path);
            before = last.GetValueOrDefault(path)?.Ended.Task ?? Task.CompletedTask;
            last[path] = turn;
            open.Add(turn);
        }
        var changing = ChangeInTurnAsync(before, turn, path, change);
        if (changing.IsCompleted)
        {
            await changing;
            return;
        }
        using var answered = new CancellationTokenSource();
        if (await Joining.AnyAsync(changing, Task.Delay(AnswerMax, time, answered.Token)) != changing)
        {
            lock (gate) turn.IsGivenUp = true;
            throw Silent(path, AnswerMax);
        }
        answered.Cancel();
        await changing;
    }

    private async Task ChangeInTurnAsync(Task before, Turn turn, string path, Func<Task> change)
    {
        await before;
        try
        {
            lock (gate)
            {
                if (turn.IsGivenUp) return; // Whoever waited was told that it is not written, and it will not be.
                turn.Begun = time.GetTimestamp();
            }
            await change();
        }
        finally
        {
            lock (gate)
            {
                if (last.GetValueOrDefault(path) == turn) last.Remove(path);
                open.Remove(turn);
            }
            turn.Ended.SetResult();
        }
    }

    /// <summary>A thread waits here for as long as it takes: so none is sent to a disk that is known to hang.</summary>
    private void Do(string path, Action change)
    {
        if (!IsWatched(path))
        {
            change();
            return;
        }
        var turn = new Turn { Begun = time.GetTimestamp() };
        lock (gate)
        {
            DemandAnswers(path);
            open.Add(turn);
        }
        try { change(); }
        finally
        {
            lock (gate) open.Remove(turn);
        }
    }

    private void DemandAnswers(string path)
    {
        if (open.Count >= TurnsMax) throw new IOException($"{path}: {TurnsMax} writes wait for the disk already");
        if (Silence() is var silence && silence > AnswerMax) throw Silent(path, silence);
    }

    private TimeSpan Silence()
    {
        lock (gate)
            return open.Max(turn => turn.Begun is { } begun ? time.GetElapsedTime(begun) : (TimeSpan?)null) ?? TimeSpan.Zero;
    }

    private static IOException Silent(string path, TimeSpan silence) =>
        new($"{path} could not be written: the disk has not answered for {silence.TotalSeconds:0} s");

    private sealed class Turn
    {
        /// <summary>Null until it is handed to the disk.</summary>
        public long? Begun { get; set; }
        /// <summary>Nobody waits for it any more.</summary>
        public bool IsGivenUp { get; set; }
        /// <summary>Never faults: the next one goes all the same.</summary>
        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
