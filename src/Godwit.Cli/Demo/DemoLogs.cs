using Godwit.Cli.Lab;

namespace Godwit.Cli.Demo;

/// <summary>A demo that fails removes its lab all the same; what its processes said is what a person then needs.</summary>
internal static class DemoLogs
{
    private const int FilesMax = 50;
    private const long BytesMax = 10 << 20;

    /// <summary>Where copies of the lab's logs are now; null where there were none, or they could not be kept.</summary>
    public static string? Keep(LabPlan plan)
    {
        try
        {
            if (!Directory.Exists(plan.DataDirectory)) return null;
            var kept = Path.GetFullPath(Path.Combine(LabFolder.Find().Path, "..", "artifacts", "demo-logs"));
            if (Directory.Exists(kept)) Directory.Delete(kept, recursive: true);
            var logs = new DirectoryInfo(plan.DataDirectory).EnumerateFiles("*.log", SearchOption.AllDirectories)
                .Where(file => file.Length < BytesMax).Take(FilesMax).ToList();
            foreach (var log in logs)
            {
                var copy = Path.Combine(kept, Path.GetRelativePath(plan.DataDirectory, log.FullName));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                log.CopyTo(copy);
            }
            return logs.Count > 0 ? kept : null;
        }
        catch (Exception reason) when (reason is IOException or UnauthorizedAccessException or LabException)
        {
            return null; // The failure itself is told; a disk that is full must not hide it.
        }
    }
}
