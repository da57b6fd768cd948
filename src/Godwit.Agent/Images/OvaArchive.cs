using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Godwit.Agent.Images;

/// <summary>
/// An OVA of one disk: a tar that begins with its OVF, which lists every other file; a manifest, if there is one, gives
/// their digests. Only where the disk lies is learnt here; it is read in place and held to its own format's rules.
/// </summary>
internal static partial class OvaArchive
{
    private const int ManifestBytesMax = 64 << 10;

    /// <summary>Null only where <paramref name="findings"/> has got a reason.</summary>
    public static InspectedImage? Inspect(ImageBytes archive, Findings findings)
    {
        var entries = TarEntries.Read(archive, findings);
        if (!findings.IsClean) return null;
        if (entries.Count == 0 || !HasEnd(entries[0].Name, ".ovf") || entries.Count(e => HasEnd(e.Name, ".ovf")) != 1)
        {
            findings.Add("archive-ovf", "it is an archive, but no OVA: its first file, and no other, is to be an .ovf",
                "unpack it, and import the disk image that is in it");
            return null;
        }
        if (OvfOf(archive, entries[0], findings) is not { } ovf) return null;
        CheckEntries(entries, ovf, findings);
        var disk = findings.IsClean ? TheDisk(entries, ovf, findings) : null;
        var digests = findings.IsClean ? Digests(archive, entries, findings) : [];
        return findings.IsClean && disk is not null ? InspectDisk(archive, disk, digests, findings) : null;
    }

    private static bool HasEnd(string name, string end) => name.EndsWith(end, StringComparison.OrdinalIgnoreCase);

    private static OvfDescription? OvfOf(ImageBytes archive, TarEntry entry, Findings findings)
    {
        if (entry.Bytes is > 0 and <= OvfDescription.BytesMax)
            return OvfDescription.Read(archive.UpTo((ulong)entry.Offset, (int)entry.Bytes), findings);
        findings.Add("archive-ovf", $"its OVF has {entry.Bytes} bytes; 1 to {OvfDescription.BytesMax} are possible");
        return null;
    }

    private static void CheckEntries(IReadOnlyList<TarEntry> entries, OvfDescription ovf, Findings findings)
    {
        foreach (var file in ovf.Files)
        {
            var entry = entries.FirstOrDefault(e => e.Name == file.Href);
            if (!TarEntries.IsPlainName(file.Href) || entry is null)
                findings.Add("archive-ovf", $"its OVF lists the file '{Shown(file.Href)}', which is not in the archive");
            else if (!file.HasSize(entry.Bytes))
                findings.Add("archive-ovf", $"its OVF gives {entry.Name} '{Shown(file.Size)}' bytes; it has {entry.Bytes}");
            if (file.Compression is not ("" or "identity") || file.ChunkSize.Length > 0)
                findings.Add("image-packed", $"'{Shown(file.Href)}' is compressed or in chunks",
                    "unpack it, and import the disk image that is in it");
        }
        foreach (var entry in entries.Skip(1))
            if (!HasEnd(entry.Name, ".mf") && !HasEnd(entry.Name, ".cert") && ovf.Files.All(f => f.Href != entry.Name))
                findings.Add("archive-entry", $"the archive has {entry.Name}, which its OVF does not list");
        if (ovf.Files.Select(f => f.Id).Distinct(StringComparer.Ordinal).Count() != ovf.Files.Count
            || ovf.Files.Select(f => f.Href).Distinct(StringComparer.Ordinal).Count() != ovf.Files.Count)
            findings.Add("archive-ovf", "its OVF lists a file twice");
    }

    private static TarEntry? TheDisk(IReadOnlyList<TarEntry> entries, OvfDescription ovf, Findings findings)
    {
        if (ovf.Disks.Any(d => d.ParentRef.Length > 0))
            findings.Add("image-backing-file", "one of its disks is the difference to another");
        var disks = ovf.Disks.Where(d => d.FileRef.Length > 0).ToList();
        if (disks.Count != 1)
        {
            findings.Add("image-disks", $"it has {disks.Count} disks with content; a template is one disk",
                "unpack it (tar -xf), and import each disk image as a template of its own");
            return null;
        }
        var file = ovf.Files.FirstOrDefault(f => f.Id == disks[0].FileRef);
        if (file is null) findings.Add("archive-ovf", $"its disk refers to the file '{Shown(disks[0].FileRef)}', which it does not list");
        return file is null ? null : entries.First(e => e.Name == file.Href);
    }

    /// <summary>Each line: <c>SHA256(name)= hex</c>. Every file it names is there, once; a wrong line is a refusal.</summary>
    private static List<ClaimedDigest> Digests(ImageBytes archive, IReadOnlyList<TarEntry> entries, Findings findings)
    {
        List<ClaimedDigest> digests = [];
        var manifests = entries.Where(e => HasEnd(e.Name, ".mf")).ToList();
        if (manifests.Count == 0) return digests;
        if (manifests.Count > 1 || manifests[0].Bytes > ManifestBytesMax)
        {
            findings.Add("archive-manifest", $"it has {manifests.Count} manifests, or one of more than {ManifestBytesMax} bytes");
            return digests;
        }
        var text = Encoding.Latin1.GetString(archive.UpTo((ulong)manifests[0].Offset, (int)manifests[0].Bytes));
        foreach (var line in text.Split('\n').Select(l => l.Trim()).Where(l => l.Length > 0))
        {
            var match = DigestLine().Match(line);
            var entry = match.Success ? entries.FirstOrDefault(e => e.Name == match.Groups["name"].Value) : null;
            var hex = match.Groups["hex"].Value.ToLowerInvariant();
            HashAlgorithmName? algorithm = (match.Groups["algorithm"].Value, hex.Length) switch
            {
                ("SHA1", 40) => HashAlgorithmName.SHA1,
                ("SHA256", 64) => HashAlgorithmName.SHA256,
                ("SHA512", 128) => HashAlgorithmName.SHA512,
                _ => null,
            };
            if (entry is null || algorithm is null || digests.Exists(d => d.Name == entry.Name))
            {
                findings.Add("archive-manifest", $"its manifest has the line '{Shown(line)}', which fits no file of the archive");
                return digests;
            }
            digests.Add(new ClaimedDigest(entry.Name, entry.Offset, entry.Bytes, algorithm.Value, hex));
        }
        return digests;
    }

    private static InspectedImage? InspectDisk(ImageBytes archive, TarEntry entry, List<ClaimedDigest> digests, Findings findings)
    {
        // Whole sectors, as the tool will see it: tar fills up the last one.
        var bytes = (entry.Bytes + ImageInspector.Sector - 1) / ImageInspector.Sector * ImageInspector.Sector;
        if (!archive.Holds((ulong)entry.Offset, (ulong)bytes))
        {
            findings.AddShort($"the end of {entry.Name}", archive);
            return null;
        }
        var image = archive.Part(entry.Offset, bytes);
        var format = ImageSignatures.Seen(image, image.UpTo(0, ImageInspector.Sector));
        if (format is null or ImageFormat.Ova or ImageFormat.Raw)
        {
            findings.Add("image-format-unknown", $"its disk {entry.Name} is none of vmdk, qcow2, vhdx and vhd",
                "unpack it (tar -xf), and import the disk image by itself");
            return null;
        }
        return ImageInspector.Disk(image, format.Value, findings) is not { } disk ? null : new InspectedImage
        {
            Format = ImageFormat.Ova,
            Kind = $"OVA with {disk.Kind}",
            VirtualBytes = disk.VirtualBytes,
            Disk = new DiskPlace(format.Value, entry.Offset, bytes),
            Digests = digests,
        };
    }

    private static string Shown(string name) => Findings.Printable(Encoding.Latin1.GetBytes(name));

    [GeneratedRegex("^(?<algorithm>SHA1|SHA256|SHA512) ?\\((?<name>.{1,99})\\) ?= ?(?<hex>[0-9A-Fa-f]{40,128})\\z",
        RegexOptions.CultureInvariant)]
    private static partial Regex DigestLine();
}
