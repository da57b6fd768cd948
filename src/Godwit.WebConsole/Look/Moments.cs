using System.Globalization;

namespace Godwit.WebConsole.Look;

/// <summary>Times as pages show them: UTC, to the second, as the command line and the logs have them.</summary>
public static class Moments
{
    public static string Of(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
