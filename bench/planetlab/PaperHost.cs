using Godwit.Core.Replay;

namespace Godwit.PlanetLab;

/// <summary>A host while a step is thought through: VMs come and go on paper, its load stays that of the step's beginning.</summary>
internal sealed class PaperHost
{
    private const int HistoryPoints = 30;
    private readonly ReplayView view;
    private readonly ReplayHost host;
    private readonly double[] watts;
    private readonly double[] history = new double[HistoryPoints];
    private double free, requested, memory;
    /// <summary>What its VMs are given, with those that have come and gone on paper.</summary>
    private double given;
    private readonly double power;

    public PaperHost(ReplayView view, int number)
    {
        (this.view, host, watts) = (view, view.Host(number), PlanetLabDay.Watts[number % 2]);
        Vms = [.. view.On(number)];
        given = view.Used(number);
        Share = given / host.Cpu;
        if (Share is > 1 and < 1.01) Share = 1;
        power = SpecPower.At(watts, Share);
        SumUp();
        free = view.Free(number);
    }

    public List<int> Vms { get; }
    /// <summary>Its load when the step began.</summary>
    public double Share { get; }
    public bool IsIdle => given == 0;

    public void Add(int vm)
    {
        Vms.Add(vm);
        requested += view.Request(vm);
        memory += view.Size(vm).MemoryBytes;
        free -= view.Request(vm);
        given += view.Request(vm);
        AddHistory(vm, history);
    }

    public void Remove(int vm)
    {
        Vms.Remove(vm);
        SumUp();
        (free, given) = (host.Cpu, 0);
        foreach (var there in Vms)
        {
            var share = Math.Min(view.Request(there), host.CpuOfOneCore);
            free = free >= share ? free - share : 0;
            given += share;
        }
    }

    public bool HasRoom(int vm) => host.CpuOfOneCore >= view.Request(vm) && free >= view.Request(vm)
        && (!view.MemoryIsHard || memory + view.Size(vm).MemoryBytes <= host.MemoryBytes);

    /// <summary>Against its power when the step began: the second VM that comes to a host pays for the first too.</summary>
    public double RiseWith(int vm) => SpecPower.At(watts, (given + view.Request(vm)) / host.Cpu) - power;

    public bool IsOverloaded(IOverloadTest test) => test.IsOverloaded(requested / host.Cpu, Trimmed(history));

    public bool IsOverloaded(IOverloadTest test, int with)
    {
        Span<double> sums = stackalloc double[HistoryPoints];
        history.CopyTo(sums);
        AddHistory(with, sums);
        return test.IsOverloaded((requested + view.Request(with)) / host.Cpu, Trimmed(sums));
    }

    private void SumUp()
    {
        Array.Clear(history);
        (requested, memory) = (0, 0);
        foreach (var vm in Vms)
        {
            requested += view.Request(vm);
            memory += view.Size(vm).MemoryBytes;
            AddHistory(vm, history);
        }
    }

    private void AddHistory(int vm, Span<double> sums)
    {
        var loads = view.History(vm);
        if (loads.Length > HistoryPoints) loads = loads[..HistoryPoints];
        var cpu = view.Size(vm).Cpu;
        for (var i = 0; i < loads.Length; i++) sums[i] += loads[i] * cpu / host.Cpu;
    }

    private static ReadOnlySpan<double> Trimmed(ReadOnlySpan<double> sums)
    {
        var length = sums.Length;
        while (length > 0 && sums[length - 1] == 0) length--;
        return sums[..length];
    }
}
