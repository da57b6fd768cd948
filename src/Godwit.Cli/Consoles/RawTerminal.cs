using System.Runtime.InteropServices;

namespace Godwit.Cli.Consoles;

/// <summary>
/// This terminal in raw mode until disposed: every key goes to the guest, Ctrl-C too. On a pipe it changes nothing.
/// </summary>
internal sealed partial class RawTerminal : IDisposable
{
    private const int StandardInput = 0;
    private const int Now = 0;
    private const int TermiosBytesMax = 256; // struct termios is 60 bytes on Linux; never read, only kept and handed back.

    private readonly byte[]? before;

    public RawTerminal()
    {
        var settings = new byte[TermiosBytesMax];
        if (GetAttributes(StandardInput, settings) != 0) return; // Not a terminal.
        before = (byte[])settings.Clone();
        MakeRaw(settings);
        _ = SetAttributes(StandardInput, Now, settings);
    }

    public bool IsTerminal => before is not null;

    public void Dispose()
    {
        if (before is not null) _ = SetAttributes(StandardInput, Now, before);
    }

    [LibraryImport("libc", EntryPoint = "tcgetattr")]
    private static partial int GetAttributes(int descriptor, [Out] byte[] settings);

    [LibraryImport("libc", EntryPoint = "tcsetattr")]
    private static partial int SetAttributes(int descriptor, int when, byte[] settings);

    [LibraryImport("libc", EntryPoint = "cfmakeraw")]
    private static partial void MakeRaw([In, Out] byte[] settings);
}
