namespace Godwit.Core.Ports;

/// <summary>
/// What resets this host at once when it is not petted in time. Its counting does not depend on any process: an agent that
/// ended or hangs pets no more. All throw <see cref="IOException"/> with the system's words.
/// </summary>
public interface IWatchdog
{
    string Device { get; }
    /// <summary>The driver's name for it; empty before it was opened where the system does not tell.</summary>
    string Identity { get; }
    bool NoWayOut { get; }
    /// <summary>It counts already: an earlier agent armed it, or the firmware did.</summary>
    bool Runs { get; }

    /// <summary>Opens it and sets its timeout; from here on it counts. Opening is a pet. The answer is the timeout it really has.</summary>
    TimeSpan Arm(TimeSpan timeout);

    /// <summary>Returns once the device has it.</summary>
    void Pet();

    /// <summary>Stops it. False: it cannot be stopped, and goes on counting; it stays open and has to be petted.</summary>
    bool TryStop();
}
