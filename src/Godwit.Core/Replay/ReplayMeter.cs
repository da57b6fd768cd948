namespace Godwit.Core.Replay;

/// <summary>
/// Sums up what was given and what was asked for. What is told of a moment holds until the next moment is told; of two tellings of
/// one moment the later holds.
/// </summary>
internal sealed class ReplayMeter(int hosts, int vms)
{
    private readonly State[] hostStates = new State[hosts];
    private readonly State[] vmStates = new State[vms];
    private readonly bool[] wasIdle = new bool[hosts];
    private double asked, given, lostByMoves;
    private double activeSeconds, overloadSeconds;

    private struct State
    {
        public bool IsKnown, Flag;
        public double At, Given, Asked;
    }

    public int Sleeps { get; private set; }
    public double ActiveSeconds => activeSeconds;
    public double OverloadSeconds => overloadSeconds;
    public double OverloadShare => activeSeconds > 0 ? overloadSeconds / activeSeconds : 0;
    public double LostByMoves => asked > 0 ? lostByMoves / asked : 0;
    public double LostInAll => asked > 0 ? (asked - given) / asked : 0;

    public void Host(int host, double now, double used, double requested)
    {
        ref var state = ref hostStates[host];
        if (state.IsKnown && state.At < now)
        {
            if (state.Flag) activeSeconds += now - state.At;
            if (state.Flag && state.Given < state.Asked) overloadSeconds += now - state.At;
            if (!wasIdle[host] && !state.Flag) Sleeps++;
            wasIdle[host] = !state.Flag;
        }
        state = new State { IsKnown = true, At = now, Given = used, Asked = requested, Flag = used > 0 };
    }

    public void Vm(int vm, double now, double served, double requested, bool isMoving)
    {
        ref var state = ref vmStates[vm];
        if (state.IsKnown && state.At < now)
        {
            var seconds = now - state.At;
            asked += state.Asked * seconds;
            given += state.Given * seconds;
            if (state.Flag && state.Given < state.Asked) lostByMoves += (state.Asked - state.Given) * seconds;
        }
        state = new State { IsKnown = true, At = now, Given = served, Asked = requested, Flag = isMoving };
    }
}
