using Godwit.Core;

namespace Godwit.Client;

/// <summary>
/// Why the server said no, as it said it (problem+json). All but <paramref name="Code"/> and <paramref name="Cause"/>
/// may be missing: the error may come from a proxy, or from nobody at all.
/// </summary>
/// <param name="Side"><c>source</c>, <c>target</c> or <c>server</c>.</param>
/// <param name="Next">The command or step that helps.</param>
/// <param name="Reasons">All reasons at once, each with its fix; not empty where checks refused a plan.</param>
public sealed record ApiError(string Code, string Cause)
{
    public string? Phase { get; init; }
    public string? Side { get; init; }
    public string? Vm { get; init; }
    public string? From { get; init; }
    public string? To { get; init; }
    public string? Next { get; init; }
    public IReadOnlyList<Refusal> Reasons { get; init; } = [];

    /// <summary>Nothing was changed: the plan was looked at and refused.</summary>
    public bool IsRefusal => Reasons.Count > 0;
}

public sealed class ApiException(ApiError error, Exception? inner = null) : Exception(error.Cause, inner)
{
    public ApiError Error { get; } = error;
}
