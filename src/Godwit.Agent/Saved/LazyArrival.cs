using Godwit.Core;

namespace Godwit.Agent.Saved;

/// <param name="ToQemu">What the memory goes by; QEMU asks by it, too.</param>
/// <param name="Serving">Ends when all memory is there, or with what went wrong.</param>
internal sealed record LazyArrival(LazyMemory Memory, Stream ToQemu, Task Serving)
{
    /// <summary>Of a QEMU that is not wanted any more. What went wrong is told by who found out.</summary>
    public async Task EndAsync()
    {
        await ToQemu.DisposeAsync();
        try { await Serving; }
        catch (Exception broken) when (
            broken is IOException or ObjectDisposedException or RefusedException or TimeoutException or OperationCanceledException) { }
    }
}
