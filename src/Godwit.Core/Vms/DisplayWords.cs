namespace Godwit.Core.Vms;

/// <summary>What is said, by server and agent alike, of a display that is not there.</summary>
public static class DisplayWords
{
    public const string NoneCode = "display-none";

    public static RefusedException None(string vm) => new(NoneCode, $"{vm} has no display",
        "a display is chosen when a VM is made ('godwit vm create --display vnc'); its serial line is 'godwit vm console'");
}
