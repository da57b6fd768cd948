using Godwit.Core;
using Godwit.Core.Quoting;

namespace Godwit.Server.Store;

/// <summary>The newest link test of each pair of hosts, one way.</summary>
public sealed class LinkStore(Database database)
{
    /// <summary>More are not shown at once.</summary>
    public const int ListMax = 1_000;

    public Task SaveAsync(HostId source, HostId target, LinkFigures figures) => database.RunAsync(work =>
    {
        work.Execute(
            "INSERT INTO link_tests (source, target, doc) VALUES (@source, @target, @doc) "
                + "ON CONFLICT (source, target) DO UPDATE SET doc = @doc",
            ("@source", source.Value), ("@target", target.Value), ("@doc", Fields.Doc(figures)));
    });

    public Task<LinkFigures?> FindAsync(HostId source, HostId target) => database.RunAsync(work => work.Query(
        "SELECT doc FROM link_tests WHERE source = @source AND target = @target",
        row => row.Doc<LinkFigures>(0), ("@source", source.Value), ("@target", target.Value)).FirstOrDefault());

    public Task<List<(HostId Source, HostId Target, LinkFigures Figures)>> ListAsync() => database.RunAsync(work => work.Query(
        "SELECT source, target, doc FROM link_tests ORDER BY source, target LIMIT @limit",
        row => (new HostId(row.GetString(0)), new HostId(row.GetString(1)), row.Doc<LinkFigures>(2)), ("@limit", ListMax)));

    /// <summary>Those of a host that is removed.</summary>
    internal static void Forget(Work work, HostId host) =>
        work.Execute("DELETE FROM link_tests WHERE source = @host OR target = @host", ("@host", host.Value));
}
