namespace Godwit.Core.Placement;

/// <summary>What a person wishes about who is where. A hard rule is never broken by a move; a soft one has its price.</summary>
public abstract record PlacementRule
{
    private PlacementRule() { }

    public required string Name { get; init; }
    public bool IsHard { get; init; } = true;
    /// <summary>The VMs it speaks of.</summary>
    public required string VmTag { get; init; }

    /// <summary>No two of them on one host.</summary>
    public sealed record Apart : PlacementRule;

    /// <summary>All of them on one host.</summary>
    public sealed record Together : PlacementRule;

    /// <summary>Only on hosts with the tag.</summary>
    public sealed record OnHosts : PlacementRule { public required string HostTag { get; init; } }

    /// <summary>Never on hosts with the tag.</summary>
    public sealed record NotOnHosts : PlacementRule { public required string HostTag { get; init; } }
}

public enum RuleKind { Apart, Together, OnHosts, NotOnHosts }

/// <summary>A rule as it is written down and told.</summary>
/// <param name="HostTag">Of rules about hosts only.</param>
public sealed record RuleRecord(string Name, RuleKind Kind, string VmTag, string? HostTag = null, bool IsHard = true)
{
    public PlacementRule ToRule() => Kind switch
    {
        RuleKind.Apart => new PlacementRule.Apart { Name = Name, VmTag = VmTag, IsHard = IsHard },
        RuleKind.Together => new PlacementRule.Together { Name = Name, VmTag = VmTag, IsHard = IsHard },
        RuleKind.OnHosts => new PlacementRule.OnHosts { Name = Name, VmTag = VmTag, HostTag = HostTag!, IsHard = IsHard },
        _ => new PlacementRule.NotOnHosts { Name = Name, VmTag = VmTag, HostTag = HostTag!, IsHard = IsHard },
    };

    /// <summary>Every reason why it cannot be a rule.</summary>
    public IEnumerable<Refusal> Broken()
    {
        if (!Names.IsValid(Name)) yield return new("bad-name", $"'{Name}' cannot be a rule's name", $"a name is {Names.Rule}");
        if (!Enum.IsDefined(Kind)) yield return new("bad-rule", $"{(int)Kind} is no kind of rule", "see 'godwit rule add --help'");
        if (!PlacementTags.IsValid(VmTag)) yield return new("bad-tag", $"'{VmTag}' cannot be a tag", $"a tag is {PlacementTags.Rule}");
        var isAboutHosts = Kind is RuleKind.OnHosts or RuleKind.NotOnHosts;
        if (isAboutHosts && !PlacementTags.IsValid(HostTag))
            yield return new("bad-tag", $"'{HostTag}' cannot be a tag of hosts", $"a tag is {PlacementTags.Rule}");
        if (!isAboutHosts && HostTag is not null)
            yield return new("bad-rule", $"a rule about VMs and each other names no hosts, such as '{HostTag}'", "leave the hosts out");
    }
}

/// <summary>A VM that is where a rule does not want it.</summary>
public sealed record RuleBreach(VmId Vm, string VmName, HostId Host, string Why);

/// <summary>What a person's word may set aside; never room, never compatibility.</summary>
[Flags]
public enum Overridden
{
    None = 0,
    /// <summary>Rules are wishes then, hard ones too.</summary>
    Rules = 1,
    /// <summary>A person moves it, so its pin does not hold it.</summary>
    Pin = 2,
}
