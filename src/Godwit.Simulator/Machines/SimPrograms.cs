using Godwit.Core.Ports;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Machines;

/// <summary>The programs that are installed on every simulated host. What is asked of them beyond that ends the run.</summary>
public sealed class SimPrograms(GuestLedger ledger)
{
    public static CommandResult Run(SimHost host, Command command)
    {
        var program = Path.GetFileName(command.Program);
        return program switch
        {
            "ip" => Ip(host, command),
            "qemu-img" => SimQemuImg.Run(host, command),
            _ => Unknown(host, command),
        };
    }

    public SimProcess Start(SimHost host, Command command, string logPath)
    {
        var program = Path.GetFileName(command.Program);
        if (!program.StartsWith("qemu-system", StringComparison.Ordinal)) Unknown(host, command);
        var process = host.Start("qemu");
        host.Loop.Trace(host.Name, $"qemu {process.Pid} starts");
        try { SimQemu.Start(process, command, ledger, logPath); }
        catch (Exception unclear) { host.Loop.Fail(unclear); }
        return process;
    }

    private static CommandResult Ip(SimHost host, Command command)
    {
        if (command.Arguments is not ["-batch", "-"]) return Unknown(host, command);
        var number = 0;
        foreach (var line in (command.Input ?? "").Split('\n'))
        {
            number++;
            if (host.Devices.Apply(line) is { } complaint)
                return new CommandResult(1, "", $"{complaint}\nCommand failed -:{number}\n");
        }
        return new CommandResult(0, "", "");
    }

    internal static CommandResult Unknown(SimHost host, Command command)
    {
        var asked = $"the simulator does not model: {command.Program} {string.Join(' ', command.Arguments)}";
        host.Loop.Fail(new NotSupportedException(asked));
        return new CommandResult(127, "", asked);
    }
}
