using Godwit.Core.Ports;

namespace Godwit.Tests.Agent;

/// <summary>Notes the commands it is given and answers as told; no process is started.</summary>
internal sealed class ListeningProcesses(Func<Command, CommandResult>? answer = null) : IProcesses
{
    public List<Command> Heard { get; } = [];

    public Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel)
    {
        Heard.Add(command);
        return Task.FromResult(answer?.Invoke(command) ?? new CommandResult(0, "", ""));
    }

    public Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel) =>
        throw new NotSupportedException();
    public bool IsAlive(ProcessHandle process) => false;
    public Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout) => Task.FromResult(true);
    public Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel) => Task.CompletedTask;
}
