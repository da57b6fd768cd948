using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.Server.Operations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

internal static class VmEndpoints
{
    public static void MapVms(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/vms", (string? host) => control.Views.VmsAsync(host is null ? null : new HostId(host)))
            .Needs(Permission.SeeCluster);
        api.MapGet("/vms/{vm}", async (string vm) => await control.Views.VmAsync(await control.Vms.FindAsync(vm)))
            .Needs(Permission.SeeCluster);
        api.MapPost("/vms", async (CreateVmRequest wish, HttpContext http) =>
        {
            var ended = await control.Vms.CreateAsync(wish, RequestKeys.Of(http), http.RequestAborted);
            return await AnswerAsync(control, http, ended, StatusCodes.Status201Created);
        }).Produces<VmView>(StatusCodes.Status201Created).Needs(Permission.MakeVms, Traits.Recorded);

        api.MapPost("/vms/{vm}/start", (string vm, StartVmRequest? wish, HttpContext http) =>
            DoAsync(control, http, OperationKind.Start, vm, o => o with { IgnoresRules = wish?.IgnoreRules ?? false })).Produces<VmView>()
            .Needs(Permission.RunVms, Traits.Recorded);
        Verb("pause", OperationKind.Pause);
        Verb("save", OperationKind.Save);
        api.MapPost("/vms/{vm}/stop", (string vm, StopVmRequest? wish, HttpContext http) =>
            DoAsync(control, http, OperationKind.Stop, vm, o => o with { Force = wish?.Force ?? false })).Produces<VmView>()
            .Needs(Permission.RunVms, Traits.Recorded);
        api.MapPost("/vms/{vm}/restart", (string vm, StopVmRequest? wish, HttpContext http) =>
            DoAsync(control, http, OperationKind.Restart, vm, o => o with { Force = wish?.Force ?? false })).Produces<VmView>()
            .Needs(Permission.RunVms, Traits.Recorded);
        api.MapPost("/vms/{vm}/resume", (string vm, ResumeVmRequest? wish, HttpContext http) =>
            DoAsync(control, http, OperationKind.Resume, vm,
                o => o with
                {
                    Host = wish?.Host is { } host ? new HostId(host) : null, IgnoresRules = wish?.IgnoreRules ?? false,
                    Lazily = wish?.Lazily ?? false,
                })).Produces<VmView>()
            .Needs(Permission.RunVms, Traits.Recorded | Traits.Safety);
        api.MapPost("/vms/{vm}/settings", async (string vm, VmSettingsRequest wish) =>
        {
            var id = (await control.Vms.FindAsync(vm)).Spec.Id;
            await control.Placement.SetVmAsync(id, wish);
            if (wish.Ha is { } ha) await control.Fencing.SetHaAsync(id, ha);
            return await control.Views.VmAsync(await control.Vms.FindAsync(vm));
        }).Needs(Permission.MakeVms, Traits.Recorded);
        api.MapDelete("/vms/{vm}", (string vm, bool? force, HttpContext http) =>
            DoAsync(control, http, OperationKind.Delete, vm, o => o with { Force = force ?? false }))
            .Produces(StatusCodes.Status204NoContent).Needs(Permission.MakeVms);

        api.MapPost("/vms/{vm}/migrate", (string vm, MigrateRequest? wish, HttpContext http) =>
            MoveAsync(control, http, vm, wish ?? new MigrateRequest(), null))
            .Produces<Migration>(StatusCodes.Status202Accepted).Produces<MovePlan>().Needs(Permission.MoveVms, Traits.Recorded);
        api.MapPost("/vms/{vm}/refresh", (string vm, RefreshRequest? wish, HttpContext http) =>
        {
            wish ??= new RefreshRequest();
            var move = new MigrateRequest(MaxPauseMs: wish.MaxPauseMs, DryRun: wish.DryRun);
            return MoveAsync(control, http, vm, move, new RefreshWish(wish.QemuPath, wish.Cpus));
        }).Produces<Migration>(StatusCodes.Status202Accepted).Produces<MovePlan>().Needs(Permission.MoveVms, Traits.Recorded);

        void Verb(string path, OperationKind kind) =>
            api.MapPost($"/vms/{{vm}}/{path}", (string vm, HttpContext http) => DoAsync(control, http, kind, vm, o => o))
                .Produces<VmView>().Needs(Permission.RunVms);
    }

    internal static async Task<IResult> DoAsync(
        ControlPlane control, HttpContext http, OperationKind kind, string vm, Func<Operation, Operation> with)
    {
        var ended = await control.Vms.DoAsync(kind, vm, with, RequestKeys.Of(http), http.RequestAborted);
        return await AnswerAsync(control, http, ended,
            kind == OperationKind.Snapshot ? StatusCodes.Status201Created : StatusCodes.Status200OK);
    }

    /// <summary>The VM as the operation left it, the same however often the request is repeated.</summary>
    private static async Task<IResult> AnswerAsync(ControlPlane control, HttpContext http, Operation ended, int status)
    {
        if (ended.Problem is { } problem)
        {
            await ApiErrors.WriteAsync(http, problem);
            return Results.Empty;
        }
        if (!ended.HasEnded)
            throw new RefusedException("server-stopping", $"the server stops; {ended.Kind} of {ended.VmName} goes on when it is back",
                "ask again with the same Idempotency-Key, or look with 'godwit vm show'");
        if (ended.Kind is OperationKind.Delete or OperationKind.DropSnapshot) return TypedResults.NoContent();
        if (ended.Result is not { } vm)
            throw new RefusedException("vm-not-found", $"{ended.VmName} is not there any more", "see 'godwit vm list'");
        var view = await control.Views.VmAsync(vm) with { Told = ended.Told.Count > 0 ? ended.Told : null };
        return TypedResults.Json(view, ApiJson.Strict, statusCode: status);
    }

    private static async Task<IResult> MoveAsync(
        ControlPlane control, HttpContext http, string vm, MigrateRequest wish, RefreshWish? refresh)
    {
        if (wish.DryRun)
            return TypedResults.Ok(await control.Wishes.PlanAsync(vm, wish, refresh, http.RequestAborted));
        var move = await control.Wishes.BeginAsync(vm, wish, refresh, RequestKeys.Of(http));
        return TypedResults.Accepted($"/api/v1/migrations/{move.Id}", control.Live.Fresh(move));
    }
}
