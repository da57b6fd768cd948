using Godwit.Agent.Host;
using Godwit.Core.Ports;

namespace Godwit.Cli.Lab;

/// <summary>
/// One godwit process of a lab (the server or an agent) in its namespace, in a session of its own: it outlives the
/// command that started it, and a Ctrl-C on the terminal does not reach it.
/// </summary>
public sealed class LabService(string name, string inNamespace, IReadOnlyList<string> arguments, string logPath)
{
    private const int LogLinesTold = 12;
    private static readonly TimeSpan EndMax = TimeSpan.FromSeconds(10);
    private readonly RealProcesses _processes = new();
    private ProcessHandle? _process;

    public string Name => name;
    public string LogPath => logPath;
    public bool IsAlive => _process is { } process && _processes.IsAlive(process);
    public int Pid => _process?.Pid ?? throw new LabException($"{name} was never started");

    /// <param name="settings">Environment of the process, <c>NAME=value</c>: its fail-points, for instance.</param>
    public async Task StartAsync(CancellationToken cancel, params IReadOnlyList<string> settings)
    {
        // Detached processes begin with an empty environment (a .NET in an unusual place must be named) and a umask
        // for secrets, with which the directories VMs pass through would be closed to them.
        var runtime = Path.GetFullPath(Path.Combine(
            System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        var program = Path.Combine(AppContext.BaseDirectory, "godwit");
        var words = LabNetwork.Inside(
            inNamespace, ["sh", "-c", "umask 022; exec env \"$@\"", "godwit", $"DOTNET_ROOT={runtime}", .. settings,
            program, .. arguments]);
        _process = await _processes.StartDetachedAsync(new Command(words[0], [.. words.Skip(1)]), logPath, cancel);
    }

    /// <summary>SIGKILL: what a crash is. QEMUs it started live on.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process && !await _processes.KillAsync(process, EndMax))
            throw new LabException($"{name} (process {process.Pid}) did not end");
    }

    /// <summary>Asks until <paramref name="ask"/> does not throw <typeparamref name="TNotYet"/>, as long as the process lives.</summary>
    public async Task<T> WaitUntilAsync<T, TNotYet>(Func<Task<T>> ask, TimeSpan waitMax, CancellationToken cancel)
        where TNotYet : Exception
    {
        for (var deadline = DateTime.UtcNow + waitMax; ;)
        {
            try
            {
                return await ask();
            }
            catch (TNotYet reason)
            {
                if (!IsAlive) throw new LabException($"{name} ended: {LastWords()}", reason);
                if (DateTime.UtcNow > deadline)
                    throw new LabException($"{name} does not answer after {waitMax}: {reason.Message}. {LastWords()}", reason);
            }
            await Task.Delay(50, cancel);
        }
    }

    private string LastWords() => File.Exists(logPath)
        ? $"end of {logPath}:\n{string.Join('\n', File.ReadLines(logPath).TakeLast(LogLinesTold))}"
        : $"it left no log at {logPath}";
}
