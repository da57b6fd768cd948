namespace Godwit.Agent.Host;

/// <summary>
/// Opens a file with the rights of another uid. Linux keeps these rights by thread, so a thread is made for it and
/// ends with it: no other code ever runs with them. With a uid of its own the thread also loses root's power to pass
/// over file modes.
/// </summary>
internal static class OpenAsUid
{
    /// <summary>Null, or the system's words. Blocks its thread as long as the file system does.</summary>
    public static Task<string?> WhyNotAsync(string path, int uid, bool write)
    {
        var answer = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => answer.SetResult(WhyNot(path, uid, write))) { IsBackground = true, Name = "godwit-open" }.Start();
        return answer.Task;
    }

    private static string? WhyNot(string path, int uid, bool write)
    {
        if (uid != Libc.EffectiveUid())
        {
            _ = Libc.SetFileGid(uid);
            _ = Libc.SetFileUid(uid);
            if (Libc.SetFileUid(-1) != uid) return $"this agent may not open files as uid {uid}"; // -1 changes nothing and tells.
        }
        var descriptor = Libc.Open(path, (write ? Libc.OpenReadWrite : Libc.OpenReadOnly) | Libc.OpenCloseOnExec | Libc.OpenNonBlock);
        if (descriptor < 0) return Libc.LastError();
        _ = Libc.Close(descriptor);
        return null;
    }
}
