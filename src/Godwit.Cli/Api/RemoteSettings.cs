namespace Godwit.Cli.Api;

/// <summary>What one needs for a server elsewhere: who one is, and how the server is known. Nothing is read until it is needed.</summary>
/// <param name="Token">GODWIT_TOKEN; null: in <paramref name="TokenFile"/>, if that is there.</param>
/// <param name="TokenFile">GODWIT_TOKEN_FILE, else token in ~/.config/godwit; 0600. Logging in writes it.</param>
/// <param name="Ca">GODWIT_CA: the path of the cluster's CA certificate, or <c>sha256:</c> and its fingerprint; else ca.pem there.</param>
internal sealed record RemoteSettings(string? Token, string TokenFile, string Ca)
{
    public const string TokenVariable = "GODWIT_TOKEN", TokenFileVariable = "GODWIT_TOKEN_FILE", CaVariable = "GODWIT_CA";
    private const int TokenCharsMax = 200;
    private const UnixFileMode OthersModes = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    public static RemoteSettings Of(Func<string, string?> environment)
    {
        var home = Text("XDG_CONFIG_HOME") ?? Path.Combine(Text("HOME") ?? "/root", ".config");
        return new(Text(TokenVariable), Text(TokenFileVariable) ?? Path.Combine(home, "godwit", "token"),
            Text(CaVariable) ?? Path.Combine(home, "godwit", "ca.pem"));

        string? Text(string name) => environment(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>Null where there is none: the server then says how to get one.</summary>
    public string? ReadToken()
    {
        if (Token is not null) return Checked(Token.Trim(), TokenVariable);
        if (!File.Exists(TokenFile)) return null;
        if ((File.GetUnixFileMode(TokenFile) & OthersModes) != 0)
            throw new ApiException(new ApiError("token-file-open",
                $"{TokenFile} can be used by others (mode {Convert.ToString((int)File.GetUnixFileMode(TokenFile), 8)})")
            { Next = $"chmod 600 {TokenFile}; if others had access, take the token back: godwit token revoke" });
        return Checked(File.ReadAllText(TokenFile).Trim(), TokenFile);
    }

    /// <summary>Private from its first byte on.</summary>
    public void SaveToken(string token)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(TokenFile))!,
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.Delete(TokenFile);
        using var file = new FileStream(TokenFile, new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        using var writer = new StreamWriter(file);
        writer.WriteLine(token);
    }

    public void ForgetToken() => File.Delete(TokenFile);

    private static string Checked(string token, string origin) =>
        token.Length is > 0 and <= TokenCharsMax && token.All(c => char.IsAsciiLetterOrDigit(c) || c == '_') ? token
            : throw new ApiException(new ApiError("token-unusable", $"{origin} holds no token")
            { Next = "log in: godwit login NAME; or set it to what 'godwit token create' showed" });
}
