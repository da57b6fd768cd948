using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>
/// Move records on this host's disk: one small file a move, <c>stateDir/moves/ID.json</c>. And beside them, in memory
/// (<c>runDir/not-told/ID</c>), which new QEMUs were surely never told to run: made before the guest stops, gone before
/// <c>cont</c>. It outlives an agent and not the host (without memory below runDir none is made, and nothing is sure), so
/// nothing in the pause waits for a disk.
/// </summary>
/// <param name="isMemory">Whether a directory lies on a file system whose content ends with the host.</param>
internal sealed class MoveJournal(IDisk disk, string stateDir, string runDir, Func<string, bool> isMemory, TimeProvider time)
{
    /// <summary>R5: a guest stands still while its intent is written.</summary>
    private static readonly TimeSpan IntentMax = TimeSpan.FromSeconds(2);
    private const int RecordBytesMax = 64 << 10;
    private const string Suffix = ".json";
    private readonly string directory = Path.Combine(stateDir, "moves");
    private readonly string notTold = Path.Combine(runDir, "not-told");
    private long written;

    /// <summary>Records so far, without intents: those are written in a pause, where nothing is counted.</summary>
    public long Written => Interlocked.Read(ref written);

    /// <summary>Before the guest stops. Throws <see cref="IOException"/>.</summary>
    public void MarkNotTold(MoveId move)
    {
        disk.CreateDirectory(notTold);
        if (isMemory(notTold)) disk.Touch(MarkOf(move));
    }

    /// <summary>
    /// Before each <c>cont</c>, and once the move is settled. On return whoever comes after this agent knows it. Throws
    /// <see cref="IOException"/>, and then nothing is told.
    /// </summary>
    public void UnmarkNotTold(MoveId move) => disk.DeleteFile(MarkOf(move));

    /// <summary>The new QEMU cannot have run, whatever became of it. False says nothing.</summary>
    public bool WasSurelyNotTold(MoveId move) => disk.SizeOf(MarkOf(move)) is not null;

    /// <summary>Durable on return; throws <see cref="IOException"/>, and then the step it allows is not taken.</summary>
    public async Task WriteAsync(MoveRecord record)
    {
        if (record.Mark != MoveMark.Intent) Interlocked.Increment(ref written);
        await disk.CreateDirectoryAsync(directory);
        await disk.WriteDurablyAsync(PathOf(record.Move),
            JsonSerializer.SerializeToUtf8Bytes(record, MoveRecordJson.Default.MoveRecord), CancellationToken.None);
    }

    /// <summary>
    /// As <see cref="WriteAsync"/>, and waited for only as long as a guest may stand still. After <see cref="IOException"/> it may be
    /// on the disk all the same, now or later; what is written of this move afterwards comes after it.
    /// </summary>
    public async Task WriteIntentAsync(MoveRecord record)
    {
        var writing = WriteAsync(record);
        using var written = new CancellationTokenSource();
        if (await Joining.AnyAsync(writing, Task.Delay(IntentMax, time, written.Token)) != writing)
            throw new IOException($"the disk of {directory} has not answered for {IntentMax.TotalSeconds:0} s");
        written.Cancel();
        await writing;
    }

    public async Task<MoveRecord?> ReadAsync(MoveId move) =>
        await disk.ReadAsync(PathOf(move.Value), RecordBytesMax, CancellationToken.None) is { } bytes
            ? JsonSerializer.Deserialize(bytes, MoveRecordJson.Default.MoveRecord)
            : null;

    public async Task<IReadOnlyList<MoveRecord>> ReadAllAsync()
    {
        var records = new List<MoveRecord>();
        foreach (var name in disk.List(directory).Where(n => n.EndsWith(Suffix, StringComparison.Ordinal)))
            if (await ReadAsync(new MoveId(name[..^Suffix.Length])) is { } record) records.Add(record);
        return records;
    }

    private string MarkOf(MoveId move)
    {
        Invariant.Holds(Names.IsValid(move.Value));
        return Path.Combine(notTold, move.Value);
    }

    private string PathOf(string move)
    {
        Invariant.Holds(Names.IsValid(move));
        return Path.Combine(directory, move + Suffix);
    }
}
