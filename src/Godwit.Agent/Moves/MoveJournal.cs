using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>
/// Move records on this host's disk: one small file a move, <c>stateDir/moves/ID.json</c>. And beside them, in memory
/// (<c>runDir/told-to-run/ID</c>), which refresh told its new QEMU to run: it outlives an agent and need not outlive the
/// host, whose end is the end of both QEMUs; so nothing in the pause waits for a disk.
/// </summary>
internal sealed class MoveJournal(IDisk disk, string stateDir, string runDir)
{
    private const int RecordBytesMax = 64 << 10;
    private const string Suffix = ".json";
    private readonly string directory = Path.Combine(stateDir, "moves");
    private readonly string toldToRun = Path.Combine(runDir, "told-to-run");

    /// <summary>Before the guest stops, so that in the pause only a file is left to be made. Throws <see cref="IOException"/>.</summary>
    public void MakeRoomForToldToRun() => disk.CreateDirectory(toldToRun);

    /// <summary>On return whoever comes after this agent knows it. Throws <see cref="IOException"/>, and then nothing is told.</summary>
    public void MarkToldToRun(MoveId move) => disk.Touch(MarkOf(move));

    public bool WasToldToRun(MoveId move) => disk.SizeOf(MarkOf(move)) is not null;

    /// <summary>The move is settled, durably: the mark says nothing any more.</summary>
    public void ForgetToldToRun(MoveId move) => disk.DeleteFile(MarkOf(move));

    /// <summary>Durable on return; throws <see cref="IOException"/>, and then the step it allows is not taken.</summary>
    public Task WriteAsync(MoveRecord record)
    {
        disk.CreateDirectory(directory);
        return disk.WriteDurablyAsync(PathOf(record.Move),
            JsonSerializer.SerializeToUtf8Bytes(record, MoveRecordJson.Default.MoveRecord), CancellationToken.None);
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
        return Path.Combine(toldToRun, move.Value);
    }

    private string PathOf(string move)
    {
        Invariant.Holds(Names.IsValid(move));
        return Path.Combine(directory, move + Suffix);
    }
}
