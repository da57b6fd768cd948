using Godwit.Core.Migration;
using OpenTelemetry;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Godwit.Cli.Services;

/// <summary>
/// Sends the spans of <see cref="MoveTrace"/> where OpenTelemetry's own variables say; without them nobody listens and none is made.
/// The exporter has a thread and a bounded queue of its own: what a collector is too slow for is dropped.
/// </summary>
internal static class Tracing
{
    public const string Variable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    /// <summary>To be disposed when the process ends: what waits is sent then. Null: not configured.</summary>
    /// <param name="service"><c>godwit-server</c> or <c>godwit-agent</c>.</param>
    public static IDisposable? Start(string service) =>
        string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Variable)) ? null : Sdk.CreateTracerProviderBuilder()
            .ConfigureResource(resource => resource.AddService(service, serviceInstanceId: Environment.MachineName))
            .AddSource(MoveTrace.SourceName).AddOtlpExporter().Build();
}
