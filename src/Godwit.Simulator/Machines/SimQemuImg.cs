using System.Globalization;
using Godwit.Core.Ports;

namespace Godwit.Simulator.Machines;

/// <summary>qemu-img, as far as the agent uses it.</summary>
internal static class SimQemuImg
{
    public static CommandResult Run(SimHost host, Command command)
    {
        var plain = command.Arguments.Where(a => !a.StartsWith('-')).ToList();
        if (plain is ["create", ..] && plain[^1].All(char.IsAsciiDigit))
        {
            host.Storage.Create(plain[^2], long.Parse(plain[^1], CultureInfo.InvariantCulture));
            return new CommandResult(0, "", "");
        }
        return SimPrograms.Unknown(host, command);
    }
}
