using Godwit.Core.Vms;

namespace Godwit.Server.Templates;

/// <summary>One version of a template: a disk image, by its content, that VMs are cloned from. It never changes.</summary>
public sealed record Template
{
    public required string Name { get; init; }
    /// <summary>From 1. A store from before there were versions has the first of each.</summary>
    public int Version { get; init; } = 1;
    public required string Pool { get; init; }
    /// <summary>Which directory: pools of one name may be different directories on different hosts.</summary>
    public required string Share { get; init; }
    public required string File { get; init; }
    public required string Format { get; init; }
    public required string Sha256 { get; init; }
    public required long VirtualBytes { get; init; }
    public required long FileBytes { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>Who imported it; null where nobody wrote that down.</summary>
    public string? By { get; init; }
    /// <summary>That person's words.</summary>
    public string? Note { get; init; }
    /// <summary>VMs that read from it, as counted when it was read.</summary>
    public int Clones { get; init; }

    /// <summary><c>debian:2</c>.</summary>
    public override string ToString() => TemplateChoice.Text(Name, Version);
}
