using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;

namespace Godwit.Server.Fencing;

/// <summary>
/// Hooks: programs in one directory of this machine (<see cref="HookFolder"/>), each of which turns a host off and ends with 0 only
/// once it has seen it off.
/// </summary>
/// <param name="directory">It, and all above it, must be as trustworthy as the hook.</param>
/// <param name="timeMax">A hook that takes longer is killed, and proves nothing; null: 2 min.</param>
public sealed class CommandFence(string directory, IProcesses processes, IProgramFiles files, TimeSpan? timeMax = null) : IFence
{
    public const string DirectoryDefault = "/etc/godwit/fence.d";
    private readonly HookFolder folder =
        new(directory, processes, files, timeMax ?? TimeSpan.FromMinutes(2), FenceOutcome.OutputCharsMax);

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult(folder.WhyNot("fence", hook));

    public async Task<FenceOutcome> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        if (folder.WhyNot("fence", hook) is { } refusal) return new FenceOutcome(null, refusal.Cause);
        var (code, output) = await folder.RunAsync(hook, host, cancel);
        return new FenceOutcome(code, output);
    }
}

/// <summary>A server without hooks: only a person's word is proof.</summary>
public sealed class NoFence : IFence
{
    private static readonly Refusal none = new("fence-not-usable", "this server has no hooks",
        "start it with --fence-hooks DIRECTORY, or give your word: 'godwit host recover HOST --fenced'");

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult<Refusal?>(none);
    public Task<FenceOutcome> RunAsync(string hook, HostId host, CancellationToken cancel) =>
        Task.FromResult(new FenceOutcome(null, none.Cause));
}
