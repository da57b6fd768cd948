using Godwit.Simulator;

return new CommandLine(TimeProvider.System, Console.Out).Run(args);
