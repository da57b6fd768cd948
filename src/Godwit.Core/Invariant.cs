using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Godwit.Core;

/// <summary>Checks that stay on in release builds: a broken one is a bug of ours, never of a user's input.</summary>
public static class Invariant
{
    public static void Holds(
        [DoesNotReturnIf(false)] bool condition,
        [CallerArgumentExpression(nameof(condition))] string? what = null)
    {
        if (!condition) throw new InvariantBrokenException(what ?? "unnamed invariant");
    }
}

public sealed class InvariantBrokenException(string what) : Exception($"Invariant broken: {what}. This is a bug in Godwit.");
