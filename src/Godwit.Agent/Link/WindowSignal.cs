using System.Threading.Tasks.Sources;

namespace Godwit.Agent.Link;

/// <summary>
/// An auto-reset event for one waiter that allocates nothing per wait: the pump waits tens of thousands of times a
/// second. Continuations go to the waiter's own context, never onto the setter's stack.
/// </summary>
internal sealed class WindowSignal : IValueTaskSource
{
    private readonly Lock _gate = new();
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
    private bool _isSet;
    private bool _waiting;

    public void Set()
    {
        lock (_gate)
        {
            if (!_waiting)
            {
                _isSet = true;
                return;
            }
            _waiting = false;
        }
        _core.SetResult(true);
    }

    public ValueTask WaitAsync()
    {
        lock (_gate)
        {
            if (_isSet)
            {
                _isSet = false;
                return default;
            }
            _core.Reset();
            _waiting = true;
            return new(this, _core.Version);
        }
    }

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);
    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);
    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
