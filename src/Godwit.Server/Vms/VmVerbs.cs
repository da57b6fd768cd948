using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Store;

namespace Godwit.Server.Vms;

/// <summary>Begins what a person asked for with a VM, and waits for its end. What happens then is in <see cref="VmStory"/>.</summary>
public sealed class VmVerbs(
    Stores stores, PlacementDesk desk, OperationRunner runner, AgentDirectory agents, VmNumbers numbers, TimeProvider time)
{
    /// <summary>With 10,000 VMs the chance that one draw is taken is 1 in 1,600 (MAC): sixteen in a row is a bug.</summary>
    private const int DrawsMax = 16;

    /// <summary>Admission: null, or why this VM may not start on that host. Null: everything may.</summary>
    public Func<Vm, HostId, CancellationToken, Task<Refusal?>>? SpareRoom { private get; set; }

    public async Task<Operation> CreateAsync(CreateVmRequest wish, string? requestKey, CancellationToken leave)
    {
        if (requestKey is not null && await stores.Operations.FindByRequestAsync(requestKey) is { } earlier)
            return await EndedAsync(new Begun.Earlier(earlier), leave);
        var template = wish.Template is null ? null : await stores.Templates.FindAsync(TemplateChoice.Parse(wish.Template))
            ?? throw new RefusedException([TemplateStore.NotFound(TemplateChoice.Parse(wish.Template))]);
        var scene = await desk.LookAsync();
        for (var draw = 0; draw < DrawsMax; draw++)
        {
            var draft = new VmDraft(scene, template, numbers, time.GetUtcNow()) { Homeless = desk.Tell };
            var vm = draft.Make(wish);
            if (wish.Start) await AdmitAsync(vm, vm.Owner, leave);
            var operation = Make(OperationKind.Create, vm) with
            {
                ThenStart = wish.Start, IgnoresRules = wish.IgnoreRules, Told = draft.Told,
            };
            if (await stores.Operations.BeginCreateAsync(operation, vm, requestKey) is { } begun)
                return await EndedAsync(begun, leave);
        }
        throw new InvariantBrokenException("random numbers are not taken sixteen times in a row");
    }

    public async Task<Operation> DoAsync(
        OperationKind kind, string vmName, Func<Operation, Operation> with, string? requestKey, CancellationToken leave)
    {
        if (requestKey is not null && await stores.Operations.FindByRequestAsync(requestKey) is { HasEnded: true } earlier)
            return earlier;
        var vm = await FindAsync(vmName);
        var wished = with(Make(kind, vm));
        if (kind is OperationKind.Start or OperationKind.Resume && vm.State is not (VmState.Running or VmState.Paused))
            await AdmitAsync(vm, wished.Host ?? vm.Owner, leave);
        var begun = await stores.Operations.BeginAsync(wished, requestKey);
        var holder = (begun as Begun.Busy)?.Holder ?? (begun as Begun.Earlier)?.Operation;
        if (wished is { Kind: OperationKind.Stop, Force: true }
            && holder is { HasEnded: false, Force: false, Kind: OperationKind.Stop or OperationKind.Restart })
        {
            // Someone lost patience with a guest that does not react to its power button. The request has become part of what
            // it hurries, durably: arriving again when the VM runs again, it must not stop that.
            if (requestKey is not null) await stores.Operations.JoinAsync(holder, requestKey);
            await agents.Of(vm.Owner).StopVmAsync(vm.Spec.Id, vm.Epoch, force: true, leave);
            begun = new Begun.Earlier(holder);
        }
        return await EndedAsync(begun, leave);
    }

    private async Task AdmitAsync(Vm vm, HostId host, CancellationToken leave)
    {
        if (SpareRoom is not null && await SpareRoom(vm, host, leave) is { } full) throw new RefusedException([full]);
    }

    public async Task<Vm> FindAsync(string nameOrId) => await stores.Vms.FindAsync(nameOrId)
        ?? throw new RefusedException("vm-not-found", $"there is no VM {nameOrId}", "see 'godwit vm list'");

    public static RefusedException BusyWith(Operation holder) => new("vm-busy",
        $"{holder.VmName} is busy: {Fields.Word(holder.Kind)} {holder.Id} goes on since {holder.CreatedAt:HH:mm:ss} UTC",
        holder.Kind == OperationKind.Migrate
            ? $"wait for it ('godwit migration watch {holder.Id}') or cancel it ('godwit migration cancel {holder.Id}')"
            : "wait until it has ended, then ask again");

    private async Task<Operation> EndedAsync(Begun begun, CancellationToken leave)
    {
        switch (begun)
        {
            case Begun.Busy busy: throw BusyWith(busy.Holder);
            case Begun.Refused refused: throw new RefusedException([refused.Reason]);
            case Begun.Now now:
                runner.Start(now.Operation);
                return await runner.WaitAsync(now.Operation.Id, leave);
            case Begun.Earlier earlier:
                return await runner.WaitAsync(earlier.Operation.Id, leave);
            default: throw new InvariantBrokenException("a wish is met in one of four ways");
        }
    }

    private Operation Make(OperationKind kind, Vm vm) => new()
    {
        Id = numbers.OperationId(),
        Kind = kind,
        Vm = vm.Spec.Id,
        VmName = vm.Spec.Name,
        CreatedAt = time.GetUtcNow(),
    };
}
