using System.Formats.Asn1;
using System.Security.Cryptography.X509Certificates;

namespace Godwit.Core.Identity;

/// <summary>The URI in a certificate's subject alternative name (RFC 5280 4.2.1.6), which .NET does not read by itself.</summary>
public static class SubjectUri
{
    private const string SubjectAlternativeName = "2.5.29.17";
    private static readonly Asn1Tag UriTag = new(TagClass.ContextSpecific, 6);

    /// <summary>Null unless the certificate has exactly one such extension, with one name in it, and that is a URI.</summary>
    public static string? Read(X509Certificate2 certificate)
    {
        var extensions = certificate.Extensions.Where(e => e.Oid?.Value == SubjectAlternativeName).ToList();
        if (extensions.Count != 1) return null;
        try
        {
            var reader = new AsnReader(extensions[0].RawData, AsnEncodingRules.DER);
            var names = reader.ReadSequence();
            reader.ThrowIfNotEmpty();
            if (!names.PeekTag().HasSameClassAndValue(UriTag)) return null;
            string uri = names.ReadCharacterString(UniversalTagNumber.IA5String, UriTag);
            return names.HasData ? null : uri;
        }
        catch (AsnContentException)
        {
            return null; // Not what we write: whoever made it, it names nobody.
        }
    }

    public static X509Extension ToExtension(string uri)
    {
        var builder = new SubjectAlternativeNameBuilder();
        builder.AddUri(new Uri(uri));
        return builder.Build(critical: true);
    }
}
