using Godwit.Core;

namespace Godwit.Server.Access;

/// <summary>
/// The bound on guessing. In any window of <see cref="Window"/>: 5 tries at one name from one address, 30 from one
/// address, 50 at one name from wherever. The last is the bound that counts: at most 4,800 guesses a day at a password, and a
/// stranger needs ten addresses to lock its owner out. In memory: a restart forgets. A try is counted before it is checked.
/// </summary>
public sealed class LoginAttempts(TimeProvider time)
{
    public const int PerNameAndSourceMax = 5, PerSourceMax = 30, PerNameMax = 50;
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(15);
    /// <summary>Beyond it nobody new is counted, so nobody new may try.</summary>
    private const int CountedMax = 10_000;

    private readonly Lock _one = new();
    private readonly Dictionary<string, (DateTimeOffset Since, int Tries)> _counts = [];

    /// <summary>Counts a try; throws where one too many was made.</summary>
    public void Enter(string name, string source)
    {
        var now = time.GetUtcNow();
        var limits = Limits(name, source);
        lock (_one)
        {
            if (_counts.Count + limits.Length > CountedMax) Forget(now);
            var full = _counts.Count + limits.Length > CountedMax;
            var until = limits.Max(limit =>
            {
                var (since, tries) = Count(limit.Key, now);
                return tries >= limit.TriesMax ? since + Window : default;
            });
            if (full || until != default)
                throw new RefusedException("too-many-logins", "too many tries to log in, with this name or from this address",
                    full ? "ask again later" : $"ask again in {Math.Ceiling((until - now).TotalMinutes)} min");
            foreach (var (key, _) in limits)
            {
                var (since, tries) = Count(key, now);
                _counts[key] = (since, tries + 1);
            }
        }
    }

    /// <summary>It was the right password: this name from this source begins anew. The other counts stay.</summary>
    public void Succeeded(string name, string source)
    {
        lock (_one) _counts.Remove(Limits(name, source)[0].Key);
    }

    private static (string Key, int TriesMax)[] Limits(string name, string source) =>
        [($"both {source} {name}", PerNameAndSourceMax), ($"source {source}", PerSourceMax), ($"name {name}", PerNameMax)];

    private (DateTimeOffset Since, int Tries) Count(string key, DateTimeOffset now) =>
        _counts.TryGetValue(key, out var count) && now - count.Since < Window ? count : (now, 0);

    private void Forget(DateTimeOffset now)
    {
        foreach (var key in _counts.Where(c => now - c.Value.Since >= Window).Select(c => c.Key).ToList()) _counts.Remove(key);
    }
}
