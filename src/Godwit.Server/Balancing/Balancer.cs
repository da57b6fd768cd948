using Godwit.Core;
using Godwit.Core.Balance;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Loads;
using Godwit.Server.Migrations;
using Godwit.Server.Store;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Balancing;

/// <summary>
/// Looks once a minute: what became of its moves, what it would move now, what of that it may begin by itself. It plans from the
/// hosts as they are each time, begins only what needs no other move first, and does not judge while its own moves go on.
/// What it decides is <see cref="BalancerRules"/>; there is one balancer, because there is one server.
/// </summary>
public sealed class Balancer(
    Stores stores, BalanceVerbs plans, LoadWatch loads, MoveWishes wishes, VmNumbers numbers, BalancerPace pace, TimeProvider time,
    ILogger<Balancer> log)
{
    private LookHistory _history = LookHistory.Empty;
    private volatile BalancerLook? _last;

    /// <summary>Null until the first one.</summary>
    public BalancerLook? LastLook => _last;

    public async Task RunAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(pace.LookEvery, time, stopping);
                await LookAsync(stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested) { } // The loop ends above.
            catch (StoreFailedException error)
            {
                log.LogError(error, "The store refused what the balancer found");
            }
        }
    }

    public async Task LookAsync(CancellationToken stopping)
    {
        var settings = await stores.Balancer.SettingsAsync();
        var known = await stores.Balancer.ListAsync(BalancerStore.KeptMax);
        var underWay = await FollowAsync(known);
        if (underWay > 0) return; // What it sees now is half of what it began.
        if (settings.Mode == BalanceMode.Off)
        {
            (_history, _last) = (LookHistory.Empty, null);
            await stores.Balancer.ReplaceOpenAsync([]);
            return;
        }
        settings = await PauseIfItHurtsAsync(settings);
        if (await PlanAsync(settings, stopping) is not { } plan) return;

        _history = _history.With(plan);
        var advices = BalancerRules.Decide(settings, plan, _history, loads.Samples, underWay, Dismissed(known));
        _last = new BalancerLook(time.GetUtcNow(), plan.ScoreBefore, plan.ScoreAfter, advices, null);
        var open = advices.Where(a => a.Act != Act.Wait).Select(a => New(a, known)).ToList();
        await stores.Balancer.ReplaceOpenAsync(open);
        foreach (var recommendation in open.Zip(advices.Where(a => a.Act != Act.Wait)).Where(pair => pair.Second.Act == Act.Begin))
            await BeginAsync(recommendation.First.Id, byItself: true);
    }

    /// <summary>Null where it is not open any more. A move that is refused is the recommendation's end.</summary>
    public async Task<Recommendation?> BeginAsync(string id, bool byItself)
    {
        var found = await stores.Balancer.FindAsync(id);
        if (found is not { IsOpen: true }) return null;
        var watched = await WatchedAsync(found.Move);
        var now = time.GetUtcNow();
        var wait = loads.WaitOf(watched, now - pace.Minutes(MeasuredGain.SpanMinutes), now);
        if (await stores.Balancer.TakeAsync(id, r => r with
            {
                State = RecommendationState.Moving, ByItself = byItself, Watched = watched, WaitCoresBefore = wait,
            }) is not { } taken) return null;
        try
        {
            var move = await wishes.BeginAsync(
                taken.Move.VmName, new MigrateRequest(taken.Move.To.Value), null, $"balance/{taken.Id}", taken.Id);
            taken = taken with { MoveId = move.Id };
            await stores.Balancer.SaveAsync(taken, new Happening("balance-move",
                $"{taken.Move.VmName} goes from {taken.Move.From} to {taken.Move.To}"
                + $"{(byItself ? "" : " as recommended")}: {taken.Move.Why}", taken.Move.VmName, taken.Move.From.Value, move.Id.Value));
        }
        catch (RefusedException refused)
        {
            taken = taken with { State = RecommendationState.Failed, EndedAt = time.GetUtcNow(), Note = refused.Message };
            await stores.Balancer.SaveAsync(taken);
        }
        return taken;
    }

    /// <summary>How many go on; the others are given their end, and later what they gained.</summary>
    private async Task<int> FollowAsync(IReadOnlyList<Recommendation> known)
    {
        var goOn = 0;
        foreach (var moving in known.Where(r => r.State == RecommendationState.Moving))
        {
            // A server that ended between the two finds the move by its key, or none.
            var id = moving.MoveId ?? await EarlierAsync(moving);
            var move = id is { } at ? await stores.Moves.FindAsync(at) : null;
            if (move is { End: null }) goOn++;
            else await stores.Balancer.SaveAsync(moving with
            {
                MoveId = id, EndedAt = move?.EndedAt ?? time.GetUtcNow(),
                State = move?.End == MoveEnd.Done ? RecommendationState.Done : RecommendationState.Failed,
                Note = move is null ? "it was not begun" : move.End == MoveEnd.Done ? null : move.Reason,
            });
        }
        foreach (var done in known.Where(r => r.State == RecommendationState.Done))
            if (done is { MeasuredGainSeconds: null, WaitCoresBefore: not null }) await MeasureAsync(done);
        return goOn;
    }

    private async Task<MoveId?> EarlierAsync(Recommendation moving) =>
        await stores.Operations.FindByRequestAsync($"balance/{moving.Id}") is { } operation ? new MoveId(operation.Id) : null;

    private async Task MeasureAsync(Recommendation done)
    {
        var from = done.EndedAt!.Value + pace.Minutes(MeasuredGain.SettleMinutes);
        var to = from + pace.Minutes(MeasuredGain.SpanMinutes);
        var now = time.GetUtcNow();
        if (now < to || now > from + pace.Window) return; // Not over yet; or nobody was there to measure it.
        if (loads.WaitOf(done.Watched, from, to) is not { } after) return;
        var gain = MeasuredGain.Of(done.WaitCoresBefore!.Value, after);
        await stores.Balancer.SaveAsync(done with { MeasuredGainSeconds = gain }, new Happening("balance-gain",
            $"the move of {done.Move.VmName} to {done.Move.To} gained {gain:0} guest-seconds an hour, "
            + $"{done.Move.GainSeconds:0} were predicted",
            done.Move.VmName, done.Move.To.Value));
    }

    private async Task<BalancerSettings> PauseIfItHurtsAsync(BalancerSettings settings)
    {
        if (settings.PausedBecause is not null) return settings;
        var since = time.GetUtcNow() - pace.Cooldown;
        if (settings.ResumedAt > since) since = settings.ResumedAt.Value;
        return MeasuredGain.WhyPause(await stores.Balancer.ListAsync(BalancerStore.KeptMax), since) is not { } why ? settings
            : await stores.Balancer.ChangeAsync(s => s with { PausedBecause = why }, _ => new Happening("balancer-paused",
                $"the balancer moves nothing by itself any more: {why}; 'godwit cluster balancer resume' lets it go on"));
    }

    private async Task<BalancePlan?> PlanAsync(BalancerSettings settings, CancellationToken stopping)
    {
        try
        {
            return (await plans.PlanAsync(new BalanceWish(null, settings.MinGainRatio, settings.LevelsToo), stopping)).Plan;
        }
        catch (RefusedException notNow)
        {
            _last = new BalancerLook(time.GetUtcNow(), 0, 0, [], notNow.Message);
            return null;
        }
    }

    private HashSet<(VmId, HostId)> Dismissed(IReadOnlyList<Recommendation> known) =>
        [.. known.Where(r => r.State == RecommendationState.Dismissed && r.EndedAt > time.GetUtcNow() - pace.Cooldown)
            .Select(r => (r.Move.Vm, r.Move.To))];

    /// <summary>What was open and is said again stays the same one, with today's figures.</summary>
    private Recommendation New(Advice advice, IReadOnlyList<Recommendation> known) =>
        (known.FirstOrDefault(r => r.IsOpen && r.Move.Vm == advice.Move.Vm && r.Move.To == advice.Move.To)
            ?? new Recommendation { Id = numbers.RecommendationId(), Move = advice.Move, At = time.GetUtcNow() })
        with { Move = advice.Move, Note = advice.Because };

    private async Task<IReadOnlyList<VmId>> WatchedAsync(PlannedMove move) =>
        [.. (await stores.Vms.ListAsync()).Where(vm => vm.State == VmState.Running && (vm.Owner == move.From || vm.Owner == move.To))
            .Select(vm => vm.Spec.Id)];
}

/// <summary>What the last look found.</summary>
/// <param name="Problem">Why there was nothing to plan from.</param>
public sealed record BalancerLook(
    DateTimeOffset At, double ScoreBefore, double ScoreAfter, IReadOnlyList<Advice> Advices, string? Problem);
