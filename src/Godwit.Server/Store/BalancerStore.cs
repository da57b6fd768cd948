using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Balance.Automatic;

namespace Godwit.Server.Store;

/// <summary>The balancer's settings, and its recommendations: those open now, and what became of the others.</summary>
public sealed class BalancerStore(Database database, TimeProvider time)
{
    public const int KeptMax = 2_000;

    public Task<BalancerSettings> SettingsAsync() => database.RunAsync(Settings);

    /// <param name="change">May throw <see cref="RefusedException"/>: nothing is changed then.</param>
    /// <param name="tell">Of the settings as they are then; null tells nothing.</param>
    public Task<BalancerSettings> ChangeAsync(Func<BalancerSettings, BalancerSettings> change, Func<BalancerSettings, Happening?> tell) =>
        database.RunAsync(work =>
        {
            var settings = change(Settings(work));
            work.Execute("INSERT INTO balancer (id, doc) VALUES (1, @doc) ON CONFLICT (id) DO UPDATE SET doc = @doc",
                ("@doc", Fields.Doc(settings)));
            if (tell(settings) is { } happening) EventStore.Append(work, happening, time.GetUtcNow());
            return settings;
        });

    /// <summary>Newest first.</summary>
    public Task<List<Recommendation>> ListAsync(int limit) => database.RunAsync(work =>
        work.Query("SELECT doc FROM recommendations ORDER BY seq DESC LIMIT @limit", Read, ("@limit", limit)));

    public Task<Recommendation?> FindAsync(string id) => database.RunAsync(work => Find(work, id));

    /// <summary>Those open now are these and no others: what is said again keeps its id, the rest is withdrawn.</summary>
    public Task ReplaceOpenAsync(IReadOnlyList<Recommendation> wished) => database.RunAsync(work =>
    {
        var open = work.Query("SELECT doc FROM recommendations WHERE open = 1", Read);
        foreach (var old in open.Where(o => wished.All(w => w.Id != o.Id)))
            work.Execute("DELETE FROM recommendations WHERE id = @id", ("@id", old.Id));
        foreach (var now in wished)
            if (open.Any(o => o.Id == now.Id)) Save(work, now);
            else Add(work, now);
        var last = work.Number("SELECT MAX(seq) FROM recommendations");
        work.Execute("DELETE FROM recommendations WHERE open = 0 AND seq <= @last", ("@last", last - KeptMax));
        return true;
    });

    /// <summary>As changed, if it was still open; null if not: only one may begin it.</summary>
    public Task<Recommendation?> TakeAsync(string id, Func<Recommendation, Recommendation> change) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { IsOpen: true } open) return null;
        var taken = change(open);
        Save(work, taken);
        return taken;
    });

    public Task SaveAsync(Recommendation recommendation, Happening? happening = null) => database.RunAsync(work =>
    {
        Save(work, recommendation);
        if (happening is not null) EventStore.Append(work, happening, time.GetUtcNow());
        return true;
    });

    private static BalancerSettings Settings(Work work) =>
        work.Query("SELECT doc FROM balancer WHERE id = 1", row => row.Doc<BalancerSettings>(0)).FirstOrDefault() ?? new BalancerSettings();

    private static Recommendation? Find(Work work, string id) =>
        work.Query("SELECT doc FROM recommendations WHERE id = @id", Read, ("@id", id)).FirstOrDefault();

    private static void Add(Work work, Recommendation recommendation) => work.Execute(
        "INSERT INTO recommendations (id, seq, open, doc) VALUES (@id, @seq, @open, @doc)",
        ("@id", recommendation.Id), ("@seq", work.Number("SELECT MAX(seq) FROM recommendations") + 1),
        ("@open", recommendation.IsOpen ? 1 : 0), ("@doc", Fields.Doc(recommendation)));

    private static void Save(Work work, Recommendation recommendation) => work.Execute(
        "UPDATE recommendations SET open = @open, doc = @doc WHERE id = @id",
        ("@open", recommendation.IsOpen ? 1 : 0), ("@doc", Fields.Doc(recommendation)), ("@id", recommendation.Id));

    private static Recommendation Read(DbDataReader row) => row.Doc<Recommendation>(0);
}
