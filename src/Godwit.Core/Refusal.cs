namespace Godwit.Core;

/// <summary>
/// One reason why something is not done, before anything was changed. <paramref name="Code"/> is stable and machine
/// readable (<c>cpu-features-missing</c>), <paramref name="Cause"/> a sentence with the names and numbers,
/// <paramref name="Fix"/> what the reader can do next.
/// </summary>
public sealed record Refusal(string Code, string Cause, string Fix);

/// <summary>An expected "no": carries every reason at once. Crosses the agent link and the API unchanged.</summary>
public sealed class RefusedException(IReadOnlyList<Refusal> reasons)
    : Exception(string.Join("; ", reasons.Select(r => r.Cause)))
{
    public RefusedException(string code, string cause, string fix) : this([new Refusal(code, cause, fix)]) { }

    public IReadOnlyList<Refusal> Reasons { get; } = reasons;
}
