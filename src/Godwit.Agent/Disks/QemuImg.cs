using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Godwit.Agent.Images;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Disks;

/// <summary>
/// The only place that runs qemu-img. It has been talked into reading files of its host before, so: it never guesses a
/// format, never opens a file that another file names, and where it reads a stranger's image it is nobody, sees
/// two files, has no network, and may use so much memory, time and disk and no more.
/// </summary>
public sealed class QemuImg(IProcesses processes)
{
    /// <summary>Owns nothing but the two files of a running conversion; just below the uids of VMs.</summary>
    public const int Uid = 1_899_999_999;
    private const int ConvertSecondsMin = 120, ConvertSecondsMax = 6 * 3600;
    private const long ConvertBytesPerSecond = 4 << 20;
    private static readonly TimeSpan CreateMax = TimeSpan.FromMinutes(2);
    private static readonly (long MemoryBytes, int CpuSeconds) CreateLimits = (2L << 30, 60);
    /// <summary>The tables of a disk of many TiB are some GiB.</summary>
    private static readonly TimeSpan TablesMax = TimeSpan.FromMinutes(14);
    private static readonly (long MemoryBytes, int CpuSeconds) TablesLimits = (4L << 30, 600);
    /// <summary>Address space, most of it only reserved: each of its threads reserves 72 MiB.</summary>
    private const long ConvertMemoryBytes = 4L << 30;
    /// <summary>
    /// An image that unpacks to more than this many times itself is a bomb: disks of guests shrink to a third, and
    /// empty space is not written.
    /// </summary>
    private const long RatioMax = 64, OutputBytesMin = 256L << 20;

    /// <summary>A blank disk, or a clone of a template: the backing file is written down, not opened (-u).</summary>
    public Task CreateAsync(string path, string format, long bytes, (string File, string Format)? backing, CancellationToken cancel)
    {
        List<string> words = ["create", "-q", "-f", format];
        if (backing is { } template) words.AddRange(["-u", "-F", template.Format, "-b", template.File]);
        words.AddRange([path, bytes.ToString(CultureInfo.InvariantCulture)]);
        return RunAsync(new Command("qemu-img", words) { Limits = CreateLimits }, CreateMax, "disk-tool-failed", cancel);
    }

    /// <summary>
    /// Reads the disk at <paramref name="place"/> of an inspected file and writes it as qcow2 over the empty file
    /// <paramref name="target"/>. Both files belong to <see cref="Uid"/>.
    /// </summary>
    public Task ConvertAsync(string source, DiskPlace place, long virtualBytes, string target, CancellationToken cancel)
    {
        // One coroutine: the same image always gives the same file, which is named after its content.
        List<string> words = ["convert", "-q", "-m", "1", "-O", "qcow2", "-o", "compat=1.1", SourceWords(source, place), target];
        var work = Math.Min(virtualBytes, OutputBytesMax(place, virtualBytes));
        var seconds = (int)Math.Clamp(work / ConvertBytesPerSecond, ConvertSecondsMin, ConvertSecondsMax);
        var command = new Command("qemu-img", words, Uid)
        {
            Limits = (ConvertMemoryBytes, seconds), FileBytesMax = OutputBytesMax(place, virtualBytes), WithoutNetwork = true,
            Sees = new FileView { ReadOnly = [source], Writable = [target] },
        };
        return RunAsync(command, TimeSpan.FromSeconds(seconds), "image-conversion-failed", cancel);
    }

    /// <summary>Names of the snapshots inside a qcow2 disk that nothing has open.</summary>
    public async Task<IReadOnlyList<string>> SnapshotsAsync(string path, int uid, CancellationToken cancel)
    {
        var said = await RunAsync(OnDisk(path, uid, "info", "--output=json"), TablesMax, "disk-tool-failed", cancel);
        try
        {
            return [.. (JsonNode.Parse(said.Output)?["snapshots"]?.AsArray() ?? []).Select(s =>
                s?["name"]?.GetValue<string>() ?? throw new JsonException("a snapshot without a name"))];
        }
        catch (Exception odd) when (odd is JsonException or InvalidOperationException)
        {
            throw new RefusedException("disk-tool-failed", $"qemu-img says of {path} what nobody understands: {odd.Message}",
                "look at it by hand: qemu-img info");
        }
    }

    /// <summary>
    /// Makes, takes up or deletes a snapshot inside a qcow2 disk that nothing has open; else the tool cannot lock it, and says so.
    /// </summary>
    public Task SnapshotAsync(SnapshotAct act, string tag, string path, int uid, CancellationToken cancel) => RunAsync(
        OnDisk(path, uid, "snapshot", "-q", act switch { SnapshotAct.Make => "-c", SnapshotAct.Revert => "-a", _ => "-d" }, tag),
        TablesMax, "snapshot-failed", cancel);

    /// <summary>As the VM's own uid, which owns the file. Its backing file is not opened: the tables alone are looked at.</summary>
    private static Command OnDisk(string path, int uid, params string[] words) => new("qemu-img", [.. words, "json:" + new JsonObject
    {
        ["driver"] = "qcow2", ["backing"] = null,
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = path, ["locking"] = "on" },
    }.ToJsonString()], uid)
    {
        Limits = TablesLimits, WithoutNetwork = true, Sees = new FileView { Writable = [path] },
    };

    /// <summary>Every layer named, the stranger's file as the only file there can be.</summary>
    internal static string SourceWords(string source, DiskPlace place) => "json:" + new JsonObject
    {
        ["driver"] = place.Format == ImageFormat.Vhd ? "vpc" : place.Format.Word(),
        ["read-only"] = true,
        ["backing"] = null,
        ["file"] = File(source, place),
    }.ToJsonString();

    /// <summary>The file, or the part of it where the disk lies; an archive's disk never lies at its beginning.</summary>
    private static JsonObject File(string source, DiskPlace place)
    {
        var file = new JsonObject { ["driver"] = "file", ["filename"] = source };
        return place.Offset == 0 ? file : new JsonObject
        {
            ["driver"] = "raw", ["offset"] = place.Offset, ["size"] = place.Bytes, ["file"] = file,
        };
    }

    private static long OutputBytesMax(DiskPlace place, long virtualBytes)
    {
        var whole = virtualBytes + (virtualBytes / 256) + (64L << 20); // With qcow2's own tables.
        return Math.Min(whole, Math.Max(OutputBytesMin, place.Bytes > long.MaxValue / RatioMax ? long.MaxValue : place.Bytes * RatioMax));
    }

    private async Task<CommandResult> RunAsync(Command command, TimeSpan timeout, string code, CancellationToken cancel)
    {
        var result = await processes.RunAsync(command, timeout, cancel);
        if (result.ExitCode == 0) return result;
        var said = result.Error.Trim();
        throw new RefusedException(code, $"qemu-img {command.Arguments[0]} failed: "
            + (said.Length > 0 ? said : $"it ended with {result.ExitCode}, as it does when it uses more than it may"),
            "check the pool's space and permissions on that host");
    }
}

public enum SnapshotAct { Make, Revert, Drop }
