using Godwit.Core.Ports;

namespace Godwit.Simulator.Qemu;

/// <summary>The guest's display, as far as a relay can tell: it says which protocol it speaks, and holds the line.</summary>
internal static class SimDisplay
{
    public static async Task ServeAsync(IListener display)
    {
        while (true) _ = GreetAsync(await display.AcceptAsync(CancellationToken.None));
    }

    private static async Task GreetAsync(Stream viewer)
    {
        var buffer = new byte[256];
        try
        {
            await viewer.WriteAsync("RFB 003.008\n"u8.ToArray());
            while (await viewer.ReadAsync(buffer) > 0) { } // What it would draw is not modelled.
        }
        catch (IOException) { } // Whoever watched is gone.
        viewer.Dispose();
    }
}
