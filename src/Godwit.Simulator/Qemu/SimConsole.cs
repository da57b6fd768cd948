using Godwit.Core.Ports;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The guest's serial port. As the guest of the conformance scenarios it says ACK (06) when it is up, powers itself off at
/// a <c>p</c> and resets itself at an <c>r</c>; whoever does not watch hears nothing.
/// </summary>
internal sealed class SimConsole(SimQemu qemu)
{
    private static readonly TimeSpan BootTime = TimeSpan.FromMilliseconds(300);
    private readonly List<Stream> _clients = [];

    public async Task ServeAsync(IListener console)
    {
        while (true)
        {
            var client = await console.AcceptAsync(CancellationToken.None);
            _clients.Add(client);
            _ = ListenAsync(client);
        }
    }

    /// <summary>A guest begins from its disk.</summary>
    public void Boot()
    {
        if (_clients.Count > 0) _ = SayUpAsync();
    }

    private async Task SayUpAsync()
    {
        await qemu.Host.Loop.SleepAsync(BootTime);
        foreach (var client in _clients.ToList())
        {
            try { await client.WriteAsync(new byte[] { 0x06 }); }
            catch (IOException) { } // It is gone; its reader takes it off the list.
        }
    }

    private async Task ListenAsync(Stream client)
    {
        var buffer = new byte[256];
        try
        {
            for (int count; (count = await client.ReadAsync(buffer)) > 0;)
                foreach (var letter in buffer.Take(count)) Hear(letter);
        }
        catch (IOException) { } // Whoever watched is gone.
        _clients.Remove(client);
        client.Dispose();
    }

    private void Hear(byte letter)
    {
        if (!qemu.IsRunning) return;
        if (letter == 'p') qemu.GuestPowersOff();
        else if (letter == 'r') qemu.GuestResets();
    }
}
