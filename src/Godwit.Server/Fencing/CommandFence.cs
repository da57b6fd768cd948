using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;

namespace Godwit.Server.Fencing;

/// <summary>
/// Hooks: programs in one directory of this machine, each of which turns a host off and ends with 0 only once it has seen it
/// off. Over the API a hook is named, never described; what it needs to know (addresses, passwords) lies beside it. It gets
/// the host's name as its one argument, an empty environment, and a bounded time.
/// </summary>
/// <param name="directory">It, and all above it, must be as trustworthy as the hook.</param>
/// <param name="timeMax">A hook that takes longer is killed, and proves nothing; null: 2 min.</param>
public sealed class CommandFence(string directory, IProcesses processes, IProgramFiles files, TimeSpan? timeMax = null) : IFence
{
    public const string DirectoryDefault = "/etc/godwit/fence.d";
    private static readonly TimeSpan timeMaxDefault = TimeSpan.FromMinutes(2);

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel)
    {
        if (!Names.IsValid(hook))
            return Answer(new Refusal("bad-fence", $"'{OneLine.Of(hook)}' cannot be a hook's name", $"a name is {Names.Rule}"));
        return Answer(files.WhyNotTrusted(PathOf(hook)) is not { } why ? null
            : new Refusal("fence-not-usable", $"hook {hook} cannot be run: {why}",
                $"on the server's machine: put it at {PathOf(hook)}, owned by root, mode 0755 or stricter, "
                + "and all directories above it too"));

        static Task<Refusal?> Answer(Refusal? refusal) => Task.FromResult(refusal);
    }

    public async Task<FenceOutcome> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        if (await WhyNotAsync(hook, cancel) is { } refusal) return new FenceOutcome(null, refusal.Cause);
        try
        {
            var ended = await processes.RunAsync(new Command(PathOf(hook), [host.Value]), timeMax ?? timeMaxDefault, cancel);
            return new FenceOutcome(ended.ExitCode, Shown(ended.Output + ended.Error));
        }
        catch (IOException notEnded)
        {
            return new FenceOutcome(null, Shown(notEnded.Message));
        }
    }

    private string PathOf(string hook) => Path.Combine(directory, hook);

    private static string Shown(string text) => OneLine.Of(text.Trim(), FenceOutcome.OutputCharsMax);
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
