using Microsoft.Extensions.Logging;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Cluster;

/// <summary>What the product logs, as lines of the run. A critical line is a bug it met, and ends the run.</summary>
internal sealed class SimLogs(SimLoop loop, string who) : ILoggerFactory, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;
    public void AddProvider(ILoggerProvider provider) { }
    public void Dispose() { }
    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel)) return;
        loop.DemandLoopThread();
        loop.Trace(who, $"log {logLevel}: {formatter(state, exception)}");
        if (logLevel == LogLevel.Critical) loop.Fail(exception ?? new SimFailedException(formatter(state, exception)));
    }
}
