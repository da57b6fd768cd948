using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>Move records on this host's disk: one small file a move, <c>stateDir/moves/ID.json</c>.</summary>
internal sealed class MoveJournal(IDisk disk, string stateDir)
{
    private const int RecordBytesMax = 64 << 10;
    private const string Suffix = ".json";
    private readonly string directory = Path.Combine(stateDir, "moves");

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

    private string PathOf(string move)
    {
        Invariant.Holds(Names.IsValid(move));
        return Path.Combine(directory, move + Suffix);
    }
}
