using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Godwit.Server.Api;

namespace Godwit.Cli.Moves;

internal sealed record MigrateWish(IReadOnlyList<string> Vms, MigrateRequest Order, bool Wait);

/// <summary>
/// `godwit vm migrate`: show the plans, or begin every move, follow them and tell how each ended. One VM's refusal
/// stops no other.
/// </summary>
internal sealed class MigrateRun(Session session, MigrateWish wish)
{
    private int refused;
    private int failed;

    public async Task<int> RunAsync(CancellationToken cancel)
    {
        if (wish.Order.DryRun) return await PlanAsync(cancel);

        var begun = new List<Migration>();
        foreach (var vm in wish.Vms)
            await TryAsync(async () =>
            {
                var move = await session.Api.MigrateAsync(vm, wish.Order, cancel);
                session.Screen.Line($"{move.Id} {MoveText.Title(move)}");
                begun.Add(move);
            });
        if (!wish.Wait || begun.Count == 0)
        {
            if (session.Screen.IsJson) session.Screen.Document(begun);
            return ExitCode.Of(begun.Count, failed, refused);
        }
        var ended = await new MoveFollower(session).FollowAsync(begun, cancel);
        MoveReport.Tell(session, ended);
        return SumUp(ended);
    }

    private async Task<int> PlanAsync(CancellationToken cancel)
    {
        var plans = new List<MovePlan>();
        foreach (var vm in wish.Vms)
            await TryAsync(async () => plans.Add(await session.Api.PlanAsync(vm, wish.Order, cancel)));
        if (session.Screen.IsJson) session.Screen.Document(plans);
        else foreach (var plan in plans) PlanReport.Tell(session, plan);
        var may = plans.Count(plan => plan.Reasons.Count == 0);
        return ExitCode.Of(may, failed, refused + plans.Count - may);
    }

    private async Task TryAsync(Func<Task> act)
    {
        try
        {
            await act();
        }
        catch (ApiException reason)
        {
            session.Report(reason.Error);
            if (reason.Error.IsRefusal) refused++;
            else failed++;
        }
    }

    private string Done => wish.Order.Rehearse ? "rehearsed" : "moved";

    private int SumUp(IReadOnlyList<Migration> ended)
    {
        var done = ended.Count(MoveReport.HasSucceeded);
        refused += ended.Count(MoveReport.WasRefused);
        failed += ended.Count(move => !MoveReport.HasSucceeded(move) && !MoveReport.WasRefused(move));
        if (wish.Vms.Count > 1)
            session.Screen.Line(done == wish.Vms.Count ? $"All {done} VMs {Done}."
                : $"{done} of {wish.Vms.Count} VMs {Done}, {refused} refused, {failed} failed.");
        return ExitCode.Of(done, failed, refused);
    }
}

internal static class PlanReport
{
    public static void Tell(Session session, MovePlan plan)
    {
        var way = plan.Source == plan.Target ? $"{plan.Source}" : $"{plan.Source} → {plan.Target}";
        var title = $"{plan.VmName}: {way}, {Words.Of(plan.Mode)}";
        if (plan.Reasons.Count > 0)
        {
            session.Report(new ApiError("plan-refused", $"{title}: would be refused; nothing was changed")
            { Vm = plan.VmName, From = plan.Source.Value, To = plan.Target.Value, Reasons = plan.Reasons });
            return;
        }
        session.Screen.Line($"{title}: may move, nothing stands against it.", Tone.Good);
        if (plan.Quote is { } quote) QuoteText.Show(session.Screen, quote);
        foreach (var told in plan.Told) session.Screen.Line($"  Told: {told.Cause}.", Tone.Warn);
        if (plan.WaitsFor.Count > 0) session.Screen.Line($"  It would wait for {string.Join(", ", plan.WaitsFor)}.");
    }
}
