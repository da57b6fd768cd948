using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Fencing;

/// <summary>
/// A fenced host is back. Before anything is asked of it, or anything it says is believed, it learns which VMs have left it
/// and with which epochs: from then on it refuses every older order, durably, and what is left of those VMs there ends. Only
/// when it has confirmed each of them, the proof is no longer in force.
/// </summary>
public sealed class NewHome(FenceStore fences, AgentDirectory agents, ILogger<NewHome> log)
{
    /// <summary>Safe to repeat: asked again by each round of the watcher until it is through.</summary>
    public async Task WelcomeAsync(HostId host, CancellationToken stopping)
    {
        var left = await fences.DeparturesAsync(host);
        try
        {
            foreach (var departure in left) await agents.Of(host).LeaveVmAsync(departure.Spec, departure.Epoch, stopping);
        }
        catch (Exception not) when (not is AgentUnreachableException or RefusedException)
        {
            log.LogWarning("{Host} answers and stays fenced: it did not take that a VM has left it: {Why}", host, not.Message);
            return;
        }
        if (!await fences.WelcomeAsync(host, left))
            log.LogInformation("{Host} answers and stays fenced: its recovery goes on", host);
    }
}
