namespace Godwit.Core.Checking;

/// <summary>Something that is not as it should be, found by comparing what the store says with what hosts have.</summary>
/// <param name="Code">Kebab-case, stable: <c>vm-frozen</c>, <c>leak-tap</c>.</param>
/// <param name="Host">Where; null: in the store.</param>
/// <param name="Thing">What: a VM's name, a tap, a path, an operation's id.</param>
/// <param name="What">One sentence with the names and numbers.</param>
/// <param name="Next">What is done about it by <c>--repair</c>, or by whom else.</param>
public sealed record Finding(string Code, HostId? Host, string Thing, string What, string Next)
{
    /// <summary>When it was first seen, as far as this server knows; null in what is pure.</summary>
    public DateTimeOffset? Since { get; init; }
    /// <summary>Provably safe to put right without a person.</summary>
    public bool CanBeRepaired { get; init; }
    public bool IsRepaired { get; init; }
}
