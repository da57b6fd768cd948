using Godwit.Core;

namespace Godwit.Agent.Machines;

/// <summary>
/// Whether a guest may run here before its memory has come. An agent that heals such a guest after another's death takes holes of the
/// memory's file for what has not come (<see cref="Core.Ports.IMemoryFile.FillHoles"/>). Where a page brings its neighbours with it, as
/// zeros, they would never come, and the guest would read zeros.
/// </summary>
internal static class MemoryByThePage
{
    /// <summary>Null where it may. Asked each time: who set the host up may change it.</summary>
    public static Refusal? WhyNot(HostMachines machines)
    {
        var directory = VmHome.VmsIn(machines.Layout.RunDirectory);
        return machines.Disk.WhyNotByThePage(directory) is not { } why ? null : new Refusal("lazy-memory-not-allowed",
            $"guests' memory on this host cannot come page by page: {why}",
            $"mount {directory} without huge=always and huge=within_size, keep 'force' out of "
            + "/sys/kernel/mm/transparent_hugepage/shmem_enabled, or go without (--lazy, --mode lazy, --mode hybrid)");
    }

    /// <summary>Throws <see cref="RefusedException"/> (<c>lazy-memory-not-allowed</c>).</summary>
    public static void Demand(HostMachines machines)
    {
        if (WhyNot(machines) is { } refusal) throw new RefusedException([refusal]);
    }
}
