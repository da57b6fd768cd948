using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Server.Api;

/// <summary>
/// JSON of the API and of the store: camelCase, enums as kebab-case words (<c>rolled-back</c>), ids as strings.
/// Strict: what is unknown, doubled, missing or null where it may not be is refused, so that a typing error in a
/// request is never silently another request.
/// </summary>
public static class ApiJson
{
    public const int DepthMax = 32;

    public static JsonSerializerOptions Strict { get; } = Frozen(strict: true);

    /// <summary>For readers of another version of ourselves: a newer server's extra members are skipped.</summary>
    public static JsonSerializerOptions Lenient { get; } = Frozen(strict: false);

    public static void Configure(JsonSerializerOptions options, bool strict)
    {
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.DictionaryKeyPolicy = null;
        options.PropertyNameCaseInsensitive = false;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.MaxDepth = DepthMax;
        options.Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping; // Read by people in terminals; never part of HTML.
        options.AllowDuplicateProperties = !strict;
        options.RespectNullableAnnotations = true;
        options.RespectRequiredConstructorParameters = strict;
        options.UnmappedMemberHandling =
            strict ? JsonUnmappedMemberHandling.Disallow : JsonUnmappedMemberHandling.Skip;
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false));
    }

    private static JsonSerializerOptions Frozen(bool strict)
    {
        var options = new JsonSerializerOptions();
        Configure(options, strict);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }
}
