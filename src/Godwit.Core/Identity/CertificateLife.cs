using System.Globalization;
using System.Security.Cryptography.X509Certificates;

namespace Godwit.Core.Identity;

/// <summary>From when to when a certificate holds, and when its holder should ask for the next. Pure.</summary>
public readonly record struct CertificateLife(DateTimeOffset NotBefore, DateTimeOffset NotAfter)
{
    public static CertificateLife Of(X509Certificate2 certificate) =>
        new(certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());

    /// <summary>Two thirds are over: for certificates of 30 days ten are left to try again and again.</summary>
    public DateTimeOffset RenewAt => NotAfter - (NotAfter - NotBefore) / 3;

    /// <summary>Null, or what is wrong now, with both clocks: the one that wrote the certificate and the one that reads it.</summary>
    public string? Problem(DateTimeOffset now)
    {
        if (now < NotBefore)
            return $"it is not valid before {Text(NotBefore)}, and the clock here says {Text(now)}: one of the two clocks is wrong";
        if (now > NotAfter)
            return $"it expired at {Text(NotAfter)}, and the clock here says {Text(now)}: let the host join again, or set the clock";
        return null;
    }

    public static string Text(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
