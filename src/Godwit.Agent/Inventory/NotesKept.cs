using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;

namespace Godwit.Agent.Inventory;

/// <summary>
/// This host's copy of what people have set in the cluster: kept for a server that has lost its store, and not looked into.
/// </summary>
internal sealed class NotesKept(IDisk disk, string stateDirectory)
{
    /// <summary>JSON within JSON: each character is two at most, but for control characters, of which names have none.</summary>
    private const int BytesMax = 4 * KeptNotes.CharactersMax;

    private readonly string path = Path.Combine(stateDirectory, "cluster-notes.json");
    private readonly SemaphoreSlim one = new(1, 1);
    private KeptNotes? known;

    /// <summary>Version 0 where there is none, or where it cannot be read: another host's copy serves as well.</summary>
    public async Task<KeptNotes> ReadAsync(CancellationToken cancel)
    {
        if (known is not null) return known;
        try
        {
            known = await disk.ReadAsync(path, BytesMax, cancel) is { } bytes
                ? JsonSerializer.Deserialize<KeptNotes>(bytes) ?? KeptNotes.None : KeptNotes.None;
        }
        catch (JsonException) { known = KeptNotes.None; }
        return known;
    }

    /// <summary>Keeps it where it is newer than what is here. Returns the version that is kept then.</summary>
    public async Task<long> KeepAsync(KeptNotes notes, CancellationToken cancel)
    {
        if (notes.Version < 1 || notes.Document.Length > KeptNotes.CharactersMax)
            throw new RefusedException("notes-unusable", $"notes of version {notes.Version} with {notes.Document.Length} characters",
                $"at most {KeptNotes.CharactersMax}; versions begin with 1");
        await one.WaitAsync();
        try
        {
            if (notes.Version <= (await ReadAsync(cancel)).Version) return known!.Version;
            await disk.WriteDurablyAsync(path, JsonSerializer.SerializeToUtf8Bytes(notes), CancellationToken.None);
            known = notes;
            return notes.Version;
        }
        finally { one.Release(); }
    }
}
