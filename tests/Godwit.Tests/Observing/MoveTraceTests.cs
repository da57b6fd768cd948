using System.Collections.Concurrent;
using System.Diagnostics;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Tests.Control;
using Godwit.Tests.Rpc;
using Xunit;

namespace Godwit.Tests.Observing;

/// <summary>One move is one trace: the server's span, below it the orders to its agents, below those what the agents did.</summary>
public sealed class MoveTraceTests : IDisposable
{
    private readonly ConcurrentQueue<Activity> _ended = new();
    private readonly ActivityListener _listener;

    public MoveTraceTests()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == MoveTrace.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public void Dispose() => _listener.Dispose();

    [Fact]
    public async Task An_order_over_the_wire_is_of_the_trace_of_its_move()
    {
        var cluster = new FakeCluster();
        await using var agent = await AgentUnderTest.StartAsync("h1", cluster["h1"]);
        var (move, far) = (Wish("mv-trace-1"), agent.Client("h1"));
        ActivityContext root;
        using (var span = MoveTrace.Begin(move))
        {
            root = span!.Context;
            await far.CleanMoveAsync(move.Id, CancellationToken.None);
        }
        Activity? order;
        while ((order = _ended.FirstOrDefault(e => e.TraceId == root.TraceId && e.OperationName == "CleanMove")) is null)
            await Task.Yield(); // The agent ends its span just after the answer has left.
        Assert.Equal((root.SpanId, ActivityKind.Server), (order.ParentSpanId, order.Kind));
        Assert.Equal(default, _ended.Single(e => e.TraceId == root.TraceId && e.OperationName == "move").ParentSpanId);
    }

    [Fact]
    public void What_a_side_did_is_told_below_its_order_with_the_times_it_took()
    {
        var move = Wish("mv-trace-2");
        using var root = MoveTrace.Begin(move);
        var (began, ended) = (DateTimeOffset.UnixEpoch.AddSeconds(10), DateTimeOffset.UnixEpoch.AddSeconds(12));
        ActivityContext above;
        using (var order = MoveTrace.Order("StartOutgoing", MoveTrace.Carried))
        {
            above = order!.Context;
            Assert.Equal(above, MoveTrace.Here);
        }
        MoveTrace.Tell("source", above, began, ended, new MoveStatus { Move = move.Id, Standing = MoveStanding.SourceReleased });
        var told = _ended.Single(e => e.TraceId == root!.TraceId && e.OperationName == "source");
        Assert.Equal((above.SpanId, TimeSpan.FromSeconds(2)), (told.ParentSpanId, told.Duration));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("00-nonsense")]
    [InlineData("00-00000000000000000000000000000000-0000000000000000-01")]
    public void What_is_no_trace_context_makes_no_span(string? carried) => Assert.Null(MoveTrace.Order("StartOutgoing", carried));

    [Fact]
    public async Task A_move_of_a_whole_server_is_a_trace_of_its_own_with_how_it_ended()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var ended = await server.EndOfAsync((await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2" })).Id);
        Activity? span;
        while ((span = _ended.FirstOrDefault(e => e.GetTagItem("godwit.move") as string == ended.Id.Value)) is null) await Task.Yield();
        Assert.Equal(("move", default(ActivitySpanId), "Done"), (span.OperationName, span.ParentSpanId, span.GetTagItem("godwit.end")));
    }

    private static Migration Wish(string id) => new()
    {
        Id = new MoveId(id), Vm = new VmId("vm-1"), VmName = "web", Source = new HostId("h1"), Target = new HostId("h2"),
        Mode = MoveMode.Live, Limits = new MoveLimits(), Epoch = new Epoch(1), Phase = Phase.Queued, CreatedAt = FakeCluster.Now,
    };
}
