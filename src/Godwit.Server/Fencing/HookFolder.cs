using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Server.Fencing;

/// <summary>
/// Programs in one directory of this machine, run for a host. Over the API one is named, never described; what it needs to know
/// (addresses, passwords) lies beside it. It gets the host's name as its one argument, an empty environment, and a bounded time.
/// </summary>
/// <param name="directory">It, and all above it, must be as trustworthy as the hook.</param>
internal sealed class HookFolder(string directory, IProcesses processes, IProgramFiles files, TimeSpan timeMax, int outputCharsMax)
{
    /// <param name="kind">For the codes of refusals: <c>fence</c>, <c>power-hook</c>.</param>
    public Refusal? WhyNot(string kind, string hook)
    {
        if (!Names.IsValid(hook))
            return new Refusal($"bad-{kind}", $"'{OneLine.Of(hook)}' cannot be a hook's name", $"a name is {Names.Rule}");
        return files.WhyNotTrusted(PathOf(hook)) is not { } why ? null
            : new Refusal($"{kind}-not-usable", $"hook {hook} cannot be run: {why}",
                $"on the server's machine: put it at {PathOf(hook)}, owned by root, mode 0755 or stricter, "
                + "and all directories above it too");
    }

    /// <returns>Null as its exit code where it did not end in time, or could not be started.</returns>
    public async Task<(int? ExitCode, string Output)> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        try
        {
            var ended = await processes.RunAsync(new Command(PathOf(hook), [host.Value]), timeMax, cancel);
            return (ended.ExitCode, Shown(ended.Output + ended.Error));
        }
        catch (IOException notEnded)
        {
            return (null, Shown(notEnded.Message));
        }
    }

    private string PathOf(string hook) => Path.Combine(directory, hook);

    private string Shown(string text) => OneLine.Of(text.Trim(), outputCharsMax);
}
