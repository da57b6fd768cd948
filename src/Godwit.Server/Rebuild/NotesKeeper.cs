using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Server.Agents;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Rebuild;

/// <summary>
/// Once a minute: every host that answers has the newest copy of what people have set, so that a rebuilt store has it too.
/// </summary>
public sealed class NotesKeeper(Stores stores, AgentDirectory agents, TimeProvider time, ILogger<NotesKeeper> log)
{
    private const int AtOnceMax = 16;
    private static readonly TimeSpan Every = TimeSpan.FromMinutes(1);

    private readonly Dictionary<HostId, long> _told = [];
    private bool _warned;

    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(Every, time, stopping);
                await RoundAsync(stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (StoreFailedException error)
            {
                log.LogError(error, "What people have set could not be read; tried again in {Every}", Every);
            }
        }
    }

    public async Task RoundAsync(CancellationToken stopping)
    {
        var notes = await stores.Notes.CurrentAsync();
        if (notes.Version == 0) return;
        if (notes.Document.Length > KeptNotes.CharactersMax)
        {
            if (!_warned)
                log.LogWarning("What people have set is too large for the hosts to keep: {Length} characters", notes.Document.Length);
            _warned = true;
            return;
        }
        var answering = (await stores.Hosts.ListAsync()).Where(h => h.Answers).ToList();
        // One that is silent may come back without its disk.
        foreach (var silent in _told.Keys.Except(answering.Select(h => h.Id)).ToList()) _told.Remove(silent);
        var untold = answering.Where(h => _told.GetValueOrDefault(h.Id) != notes.Version).ToList();
        foreach (var batch in untold.Chunk(AtOnceMax))
        {
            var versions = await Task.WhenAll(batch.Select(host => TellAsync(host.Id, notes, stopping)).ToArray());
            foreach (var (host, kept) in batch.Zip(versions))
                if (kept is not null) _told[host.Id] = notes.Version; // One that has a newer copy keeps that, and is not asked again.
            if (versions.Max() is { } newest && newest > notes.Version) await TellBehindAsync(newest, notes.Version);
        }
    }

    private async Task<long?> TellAsync(HostId host, KeptNotes notes, CancellationToken stopping)
    {
        try { return await agents.Of(host).KeepNotesAsync(notes, stopping); }
        catch (Exception silent) when (silent is AgentUnreachableException or RefusedException)
        {
            log.LogDebug("{Host} keeps no copy of what people have set: {Why}", host, silent.Message);
            return null;
        }
    }

    private async Task TellBehindAsync(long newest, long ours)
    {
        if (_warned) return;
        _warned = true;
        await stores.Events.AppendAsync(new Happening("notes-behind",
            $"hosts keep version {newest} of what people have set, and this store is at {ours}: it is older than they are, or was made "
            + "anew without 'godwit server rebuild', which brings back rules, policies, tags and marks"));
    }
}
