using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Network;

namespace Godwit.Simulator.Machines;

/// <summary>How a process came to its end; who did it matters to the checkers.</summary>
public enum ProcessEnd
{
    /// <summary>By itself: exit, quit, an error of its own.</summary>
    Exited,
    /// <summary>An agent of the product killed it.</summary>
    KilledByAgent,
    /// <summary>The story or the nemesis killed it: a fault.</summary>
    Injected,
    PowerCut,
}

/// <summary>One process: a context of its own on the loop, and sockets that the kernel closes when it ends.</summary>
public sealed class SimProcess
{
    private readonly List<SimSocket> _sockets = [];
    private readonly List<SimListener> _listeners = [];
    private readonly TaskCompletionSource _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal SimProcess(SimHost host, int pid, long startTicks, string program)
    {
        (Host, Pid, StartTicks, Program) = (host, pid, startTicks, program);
        Context = host.Loop.NewContext($"{program}@{host.Name}");
        Network = new SimNetwork(host.Net, this);
    }

    public SimHost Host { get; }
    public int Pid { get; }
    public long StartTicks { get; }
    public string Program { get; }
    public SimContext Context { get; }
    public SimNetwork Network { get; }
    public ProcessHandle Handle => new(Pid, StartTicks);
    public bool HasExited { get; private set; }
    public ProcessEnd End { get; private set; }
    public Task Exited => _exited.Task;
    /// <summary>A process in an uninterruptible wait: SIGKILL shows no effect while it is set.</summary>
    public bool HangsInKernel { get; set; }
    public bool IsStalled => Context.IsStalled && !HasExited;
    /// <summary>When it last began to stand still, or went on.</summary>
    public TimeSpan StalledAt { get; private set; }
    /// <summary>Called once, first thing at the end.</summary>
    public Action<ProcessEnd>? OnExit { get; set; }

    /// <summary>As SIGSTOP.</summary>
    public void Stall()
    {
        StalledAt = Host.Loop.Now;
        Context.Stall();
    }

    public void Continue()
    {
        if (IsStalled) StalledAt = Host.Loop.Now;
        Context.Continue();
    }

    public void Exit(ProcessEnd end)
    {
        if (HasExited) return;
        HasExited = true;
        End = end;
        Host.Loop.Trace(Host.Name, $"{Program} {Pid} ended: {end}");
        Context.Die();
        Host.Disk.DeleteDirectory($"/proc/{Pid}");
        OnExit?.Invoke(end);
        foreach (var listener in _listeners) listener.Close();
        foreach (var socket in _sockets)
        {
            if (end == ProcessEnd.PowerCut) socket.Vanish();
            else socket.Close();
        }
        _exited.TrySetResult();
    }

    internal void Own(SimSocket socket)
    {
        _sockets.Add(socket);
        if (HasExited) socket.Close();
    }

    internal void Own(SimListener listener)
    {
        _listeners.Add(listener);
        if (HasExited) listener.Close();
    }
}
