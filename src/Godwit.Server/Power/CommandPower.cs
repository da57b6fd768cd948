using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Server.Fencing;

namespace Godwit.Server.Power;

/// <summary>Power hooks as programs in a directory of their own: what turns a host on must never pass for what fences one.</summary>
/// <param name="timeMax">A hook that takes longer is killed, and has not done it; null: 2 min.</param>
public sealed class CommandPower(string directory, IProcesses processes, IProgramFiles files, TimeSpan? timeMax = null) : IPowerHooks
{
    public const string DirectoryDefault = "/etc/godwit/power.d";
    private readonly HookFolder folder =
        new(directory, processes, files, timeMax ?? TimeSpan.FromMinutes(2), FenceOutcome.OutputCharsMax);

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult(folder.WhyNot("power-hook", hook));

    public async Task<PowerOutcome> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        if (folder.WhyNot("power-hook", hook) is { } refusal) return new PowerOutcome(null, refusal.Cause);
        var (code, output) = await folder.RunAsync(hook, host, cancel);
        return new PowerOutcome(code, output);
    }
}

/// <summary>A server without power hooks: no host is turned off or on.</summary>
public sealed class NoPower : IPowerHooks
{
    private static readonly Refusal none = new("power-hook-not-usable", "this server has no power hooks",
        "start it with --power-hooks DIRECTORY");

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult<Refusal?>(none);
    public Task<PowerOutcome> RunAsync(string hook, HostId host, CancellationToken cancel) =>
        Task.FromResult(new PowerOutcome(null, none.Cause));
}
