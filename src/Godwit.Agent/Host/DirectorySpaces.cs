using Godwit.Agent.Facts;

namespace Godwit.Agent.Host;

/// <summary>
/// Size and free space of directories. A network file system may not answer: the question then ends after some
/// seconds, and is not put again before the first one came back, so that stuck threads do not pile up.
/// </summary>
public sealed class DirectorySpaces
{
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(3);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Task<PoolSpace>> _asked = [];

    /// <summary>All zero and not writable where the directory is missing or does not answer.</summary>
    public PoolSpace Of(string directory)
    {
        Task<PoolSpace> asked;
        lock (_lock)
        {
            if (!_asked.TryGetValue(directory, out asked!) || asked.IsCompleted)
                _asked[directory] = asked = Task.Factory.StartNew(() => Look(directory), TaskCreationOptions.LongRunning);
        }
        return asked.Wait(AnswerMax) ? asked.Result : new PoolSpace(0, 0, Writable: false, IsMemory: false);
    }

    private static PoolSpace Look(string directory)
    {
        try
        {
            var drive = new DriveInfo(directory);
            return new PoolSpace(drive.TotalSize, drive.AvailableFreeSpace, TakesFiles(directory),
                HostPreparation.IsMemoryBacked(drive.DriveFormat));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new PoolSpace(0, 0, Writable: false, IsMemory: false);
        }
    }

    private static bool TakesFiles(string directory)
    {
        try
        {
            File.Create(Path.Combine(directory, $".godwit-write-test-{Guid.NewGuid():N}"), 1, FileOptions.DeleteOnClose).Dispose();
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return false; }
    }
}
