namespace Godwit.Server.Store;

/// <summary>How many there are of everything, without reading them.</summary>
public sealed class CountStore(Database database)
{
    public Task<Counts> NowAsync() => database.RunAsync(work => new Counts(
        work.Query("SELECT state, COUNT(*) FROM vms GROUP BY state", row => (row.GetString(0), row.GetInt64(1))).ToDictionary(),
        work.Query("SELECT phase, COUNT(*) FROM migrations WHERE ended = 0 GROUP BY phase", row => (row.GetString(0), row.GetInt64(1)))
            .ToDictionary(),
        work.Number("SELECT COUNT(*) FROM recommendations WHERE open = 1")));
}

/// <param name="Vms">By the word of their state.</param>
/// <param name="OpenMoves">By the word of their phase.</param>
public sealed record Counts(Dictionary<string, long> Vms, Dictionary<string, long> OpenMoves, long OpenRecommendations);
