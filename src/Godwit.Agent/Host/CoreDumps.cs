namespace Godwit.Agent.Host;

/// <summary>
/// Servers and agents hold private keys, and an agent its guests' memory on the way: none of that shall end in a core dump,
/// nor be read by a debugger of the same user.
/// </summary>
public static class CoreDumps
{
    private const int SetDumpable = 4, GetDumpable = 3; // prctl(2)

    public static bool AreRefused => Libc.ProcessControl(GetDumpable, 0, 0, 0, 0) == 0;

    /// <summary>For this process, until its end; what it starts is not concerned.</summary>
    public static void Refuse()
    {
        if (Libc.ProcessControl(SetDumpable, 0, 0, 0, 0) != 0)
            throw new IOException($"core dumps of this process could not be refused: {Libc.LastError()}");
    }
}
