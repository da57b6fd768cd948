using System.Text.Encodings.Web;
using System.Text.Json;
using ServerJson = Godwit.Server.Api.ApiJson;

namespace Godwit.Cli.Api;

/// <summary>JSON as the API writes it, so that --json shows a document the API could have sent.</summary>
internal static class ApiJson
{
    /// <summary>What goes to the server is strict there; what comes from a newer one may have more members.</summary>
    public static JsonSerializerOptions Wire => ServerJson.Lenient;

    public static JsonSerializerOptions Compact { get; } = ForPeople(indented: false);
    public static JsonSerializerOptions Indented { get; } = ForPeople(indented: true);

    // Not for a browser: an arrow may stay an arrow.
    private static JsonSerializerOptions ForPeople(bool indented) =>
        new(ServerJson.Lenient) { WriteIndented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
