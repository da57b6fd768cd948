using System.Globalization;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Fencing;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Http;
using Prometheus;

namespace Godwit.Server.Observing;

/// <summary>
/// What a server tells Prometheus. Gauges are read from the store when somebody asks; what ended is counted when its end is in
/// the store, from its receipt: nothing here touches a move that goes on. Labels are words of closed sets, never names, so that
/// the number of series is fixed (<see cref="SeriesMax"/>). Counters begin at 0 with each server.
/// </summary>
public sealed class ServerMetrics
{
    /// <summary>More than all series of one server: modes by ends, states, phases, status codes, buckets.</summary>
    public const int SeriesMax = 400;

    private static readonly double[] pauseSeconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 60];
    private static readonly double[] moveSeconds = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 7_200];
    private static readonly double[] writeSeconds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2];
    private static readonly double[] quoteRatios = [0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2, 4];

    private readonly ControlPlane control;
    private readonly CollectorRegistry registry = Metrics.NewCustomRegistry();
    private readonly Gauge hosts, vms, open, queued, recommendations, recoveries, leases, agents, qemus, agentMoves, journals, storage;
    private readonly Counter moves, bytes, requests, quotesKept, looks, lookSeconds, journalWrites;
    private readonly Histogram pause, duration, quoteError, writes;

    public ServerMetrics(ControlPlane control)
    {
        this.control = control;
        var make = Metrics.WithCustomRegistry(registry);
        hosts = make.CreateGauge("godwit_hosts", "Hosts by state.", "state");
        vms = make.CreateGauge("godwit_vms", "VMs by state.", "state");
        open = make.CreateGauge("godwit_moves_open", "Moves that have not ended, by phase.", "phase");
        queued = make.CreateGauge("godwit_move_queue_length", "Moves that wait for their hosts to be free.");
        recommendations = make.CreateGauge("godwit_recommendations_open", "Moves the balancer recommends and nobody has decided on.");
        recoveries = make.CreateGauge("godwit_host_recoveries_open", "Silent hosts whose fence or whose VMs' new homes are under way.");
        leases = make.CreateGauge("godwit_host_leases", "Hosts that are fenced by their own watchdog, by how their lease stands.", "state");
        journals = make.CreateGauge("godwit_hosts_journal_hanging", "Hosts whose agent's records wait for a disk that does not answer.");
        storage = make.CreateGauge("godwit_vms_storage_failed", "Guests that QEMU stopped because their storage failed or is full.");
        agents = make.CreateGauge("godwit_agents_reporting", "Agents that answer: those of whom godwit_agent_ metrics tell.");
        qemus = make.CreateGauge("godwit_agent_qemus", "QEMU processes of VMs on all hosts that answer.");
        agentMoves = make.CreateGauge("godwit_agent_moves_open", "Halves of moves, source or target, that go on at agents.");
        looks = make.CreateCounter("godwit_agent_memory_looks_total", "Measurements of guests' memory, for quotes.");
        lookSeconds = make.CreateCounter("godwit_agent_memory_look_seconds_total", "What reading and packing took in them.");
        journalWrites = make.CreateCounter("godwit_agent_journal_writes_total",
            "Move records that agents wrote, without those of the pause.");
        moves = make.CreateCounter("godwit_moves_total", "Moves that ended, by mode and end.", "mode", "end");
        bytes = make.CreateCounter("godwit_move_wire_bytes_total", "Bytes that done moves sent from agent to agent, packed.", "mode");
        pause = make.CreateHistogram("godwit_move_pause_seconds", "STOP at the source to RESUME at the target, of done moves.",
            ["mode"], new HistogramConfiguration { Buckets = pauseSeconds });
        duration = make.CreateHistogram("godwit_move_duration_seconds", "From the first phase to the end, of done moves.",
            ["mode"], new HistogramConfiguration { Buckets = moveSeconds });
        quoteError = make.CreateHistogram("godwit_move_quote_pause_ratio",
            "Measured pause by quoted pause, of done moves that had a quote.",
            new HistogramConfiguration { Buckets = quoteRatios });
        quotesKept = make.CreateCounter("godwit_move_quotes_total", "Done moves that had a quote, by whether the pause lay in its span.",
            "kept");
        writes = make.CreateHistogram("godwit_store_transaction_seconds", "How long transactions of the store took, until durable.",
            new HistogramConfiguration { Buckets = writeSeconds });
        requests = make.CreateCounter("godwit_api_requests_total", "Requests to the API that were answered, by status code.", "code");
        foreach (var mode in Enum.GetValues<MoveMode>())
            foreach (var end in Enum.GetValues<MoveEnd>()) moves.WithLabels(Fields.Word(mode), Fields.Word(end));
        control.Live.Ended += Ended;
    }

    /// <summary>A transaction of the store is through.</summary>
    public void Wrote(TimeSpan took) => writes.Observe(took.TotalSeconds);

    /// <summary>A middleware around all others.</summary>
    public async Task CountAsync(HttpContext http, RequestDelegate next)
    {
        await next(http);
        requests.WithLabels(http.Response.StatusCode.ToString(CultureInfo.InvariantCulture)).Inc();
    }

    /// <summary>Writes everything as Prometheus reads it. Costs one read of the store and one list of hosts.</summary>
    public async Task WriteAsync(Stream to, CancellationToken cancel)
    {
        var counts = await control.Stores.Counts.NowAsync();
        var all = await control.Stores.Hosts.ListAsync();
        var byState = all.CountBy(host => host.State).ToDictionary();
        foreach (var state in Enum.GetValues<HostState>()) hosts.WithLabels(Fields.Word(state)).Set(byState.GetValueOrDefault(state));
        foreach (var state in Enum.GetValues<VmState>())
            vms.WithLabels(Fields.Word(state)).Set(counts.Vms.GetValueOrDefault(Fields.Word(state)));
        foreach (var phase in Enum.GetValues<Phase>())
            open.WithLabels(Fields.Word(phase)).Set(counts.OpenMoves.GetValueOrDefault(Fields.Word(phase)));
        var byLease = all.Where(host => host.Fence == WatchdogRules.FenceName)
            .CountBy(host => control.Leases.StateOf(host.Id, host.Watchdog)).ToDictionary();
        foreach (var state in Enum.GetValues<LeaseState>()) leases.WithLabels(Fields.Word(state)).Set(byLease.GetValueOrDefault(state));
        SetAgents();
        journals.Set(all.Count(host => control.Watcher.Live(host.Id) is { JournalSilentSeconds: > 0 }));
        storage.Set(control.Watcher.Troubles);
        queued.Set(control.Migrations.Waiting);
        recommendations.Set(counts.OpenRecommendations);
        recoveries.Set((await control.Stores.Fences.UnfinishedAsync()).Count);
        await registry.CollectAndExportAsTextAsync(to, cancel);
    }

    private void SetAgents()
    {
        var (reporting, sum) = control.Loads.Agents.Now();
        agents.Set(reporting);
        qemus.Set(sum.Qemus);
        agentMoves.Set(sum.MovesOpen);
        looks.IncTo(sum.MemoryLooks);
        lookSeconds.IncTo(sum.MemoryLookSeconds);
        journalWrites.IncTo(sum.JournalWrites);
    }

    private void Ended(Migration move)
    {
        var mode = Fields.Word(move.Mode);
        moves.WithLabels(mode, Fields.Word(move.End!.Value)).Inc();
        if (move is not { End: MoveEnd.Done, Receipt: { } receipt }) return;
        bytes.WithLabels(mode).Inc(receipt.WireBytes);
        duration.WithLabels(mode).Observe(receipt.TotalMs / 1_000);
        if (receipt.PauseMs is not { } pauseMs) return;
        pause.WithLabels(mode).Observe(pauseMs / 1_000);
        if (move.Quote is not { PauseMs: { Expected: > 0 } quoted }) return;
        quoteError.Observe(pauseMs / quoted.Expected);
        quotesKept.WithLabels(quoted.Holds(pauseMs) ? "yes" : "no").Inc();
    }
}
