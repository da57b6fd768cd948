using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Godwit.Server.Store;

namespace Godwit.Server.Audit;

/// <summary>
/// The chain that makes the audit tell on whoever changed it: each row's hash covers the row before it, so no row can be
/// changed, removed, added or moved without all later hashes changing. Pure. What it cannot show by itself is that the
/// newest rows were cut off, or that all of it was computed anew: for that a head must be known from elsewhere.
/// </summary>
public static class AuditChain
{
    public const int HashChars = 64;

    /// <summary>What the first row follows.</summary>
    public static string Genesis { get; } = new('0', HashChars);

    /// <summary>SHA-256 over the fields in order, each with its length in front: no two rows give the same bytes.</summary>
    public static string Hash(long seq, DateTimeOffset at, AuditEntry entry, string prior)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(hash, prior);
        Add(hash, Invariant(seq));
        Add(hash, Invariant(Fields.Time(at)));
        foreach (var field in (ReadOnlySpan<string?>)
            [entry.Request, entry.Actor, entry.Role, entry.Source, entry.Token, entry.Action, entry.Object, entry.Result, entry.Detail])
            Add(hash, field);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Invariant(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static void Add(IncrementalHash hash, string? field)
    {
        var bytes = field is null ? null : Encoding.UTF8.GetBytes(field);
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(length, bytes?.Length ?? -1); // Nothing is not the same as empty.
        hash.AppendData(length);
        if (bytes is not null) hash.AppendData(bytes);
    }
}

/// <param name="Seq">The row it was seen at.</param>
/// <param name="Code"><c>changed, missing, out-of-order, cut-off</c>.</param>
public sealed record AuditProblem(long Seq, string Code, string Cause);

/// <summary>Walks over rows, oldest first, and collects what does not fit.</summary>
/// <param name="known">Heads known from elsewhere: each must be in the log, as it was.</param>
public sealed class AuditCheck(params IReadOnlyList<AuditHead> known)
{
    /// <summary>After so many the log is not worth reading on; the first are the ones that tell where it began.</summary>
    public const int ProblemsMax = 100;

    private readonly List<AuditProblem> _problems = [];
    private readonly HashSet<long> _met = [];
    private AuditRow? _last;

    public long Rows { get; private set; }
    public AuditHead? Head => _last is null ? null : new AuditHead(_last.Seq, _last.Hash);

    public void Take(AuditRow row)
    {
        var (expected, prior) = _last is null ? (1, AuditChain.Genesis) : (_last.Seq + 1, _last.Hash);
        if (row.Seq > expected)
            Found(row.Seq, "missing",
                row.Seq == expected + 1 ? $"row {expected} is missing" : $"rows {expected} to {row.Seq - 1} are missing");
        else if (row.Seq < expected)
            Found(row.Seq, "out-of-order", $"row {row.Seq} stands behind row {expected - 1}");
        else if (row.Prior != prior)
            Found(row.Seq, "out-of-order", $"row {row.Seq} does not follow the row before it: one of them was put in its place");
        if (AuditChain.Hash(row.Seq, row.At, row.Entry, row.Prior) != row.Hash)
            Found(row.Seq, "changed", $"row {row.Seq} was changed after it was written");
        foreach (var head in known.Where(h => h.Seq == row.Seq))
        {
            _met.Add(head.Seq);
            if (head.Hash != row.Hash) Found(row.Seq, "changed", $"row {row.Seq} is not the one that was known as the newest");
        }
        (_last, Rows) = (row, Rows + 1);
    }

    public IReadOnlyList<AuditProblem> End()
    {
        foreach (var head in known.Where(h => !_met.Contains(h.Seq)).DistinctBy(h => h.Seq))
            Found(head.Seq, "cut-off", _last is { } last && last.Seq > head.Seq
                ? $"row {head.Seq}, known as the newest once, is missing"
                : $"the log ends at row {_last?.Seq ?? 0}, but row {head.Seq} was written");
        return _problems;
    }

    private void Found(long seq, string code, string cause)
    {
        if (_problems.Count < ProblemsMax) _problems.Add(new AuditProblem(seq, code, cause));
    }
}
