namespace Godwit.Tests.Identity;

/// <summary>The machine's clock, set forward or back; timers run as ever.</summary>
internal sealed class ShiftedTime : TimeProvider
{
    public TimeSpan Offset { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Offset;
}
