using System.Globalization;
using System.Xml;

namespace Godwit.Agent.Images;

/// <summary>
/// What an OVF says of its files and disks; its hardware is not looked at. Read as a stream of elements without DTD, so
/// that no entity can be declared and nothing is fetched. Layout: DMTF DSP0243.
/// </summary>
internal sealed record OvfDescription(IReadOnlyList<OvfFile> Files, IReadOnlyList<OvfDisk> Disks)
{
    public const int BytesMax = 1 << 20;
    private const int DepthMax = 64, ElementsMax = 20_000;

    /// <summary>Null where <paramref name="findings"/> has got a reason.</summary>
    public static OvfDescription? Read(byte[] xml, Findings findings)
    {
        List<OvfFile> files = [];
        List<OvfDisk> disks = [];
        var settings = new XmlReaderSettings
        {
            DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null, MaxCharactersInDocument = BytesMax,
            IgnoreComments = true, IgnoreProcessingInstructions = true, IgnoreWhitespace = true,
        };
        try
        {
            using var reader = XmlReader.Create(new MemoryStream(xml), settings);
            for (var elements = 0; reader.Read();)
            {
                if (reader.NodeType != XmlNodeType.Element) continue;
                if (++elements > ElementsMax || reader.Depth > DepthMax)
                {
                    findings.Add("archive-ovf",
                        $"its OVF has more than {ElementsMax} elements, or more than {DepthMax} inside each other");
                    return null;
                }
                var parent = reader.Depth;
                if (reader.LocalName == "File" && parent == 2) files.Add(File(reader));
                else if (reader.LocalName == "Disk" && parent == 2) disks.Add(Disk(reader));
                if (files.Count > TarEntries.EntriesMax || disks.Count > TarEntries.EntriesMax)
                {
                    findings.Add("archive-ovf", $"its OVF lists more than {TarEntries.EntriesMax} files or disks");
                    return null;
                }
            }
            return new OvfDescription(files, disks);
        }
        catch (XmlException broken)
        {
            findings.Add("archive-ovf",
                $"its OVF cannot be read: {Findings.Printable(System.Text.Encoding.ASCII.GetBytes(broken.Message))}",
                "export it again; an OVF has no DTD");
            return null;
        }
    }

    private static OvfFile File(XmlReader at) =>
        new(Attribute(at, "id"), Attribute(at, "href"), Attribute(at, "size"), Attribute(at, "compression"), Attribute(at, "chunkSize"));

    private static OvfDisk Disk(XmlReader at) => new(Attribute(at, "fileRef"), Attribute(at, "parentRef"));

    /// <summary>By local name, whichever prefix the writer chose; empty where it is not there.</summary>
    private static string Attribute(XmlReader at, string name)
    {
        var value = "";
        for (var found = at.MoveToFirstAttribute(); found; found = at.MoveToNextAttribute())
            if (at.LocalName == name) value = at.Value;
        at.MoveToElement();
        return value;
    }
}

internal sealed record OvfFile(string Id, string Href, string Size, string Compression, string ChunkSize)
{
    /// <summary>No size given is right; a size that is given must be right.</summary>
    public bool HasSize(long bytes) =>
        Size.Length == 0 || (long.TryParse(Size, NumberStyles.None, CultureInfo.InvariantCulture, out var said) && said == bytes);
}

internal sealed record OvfDisk(string FileRef, string ParentRef);
