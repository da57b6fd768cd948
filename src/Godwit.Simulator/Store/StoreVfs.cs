using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Godwit.Simulator.Store;

/// <summary>
/// SQLite's own door to the operating system (sqlite.org/vfs.html), led to a <see cref="StoreDisk"/>: the real library,
/// its real WAL and its real recovery, over a disk that fails and forgets. Locks are granted: a store has one server.
/// </summary>
internal static unsafe class StoreVfs
{
    public const string Name = "godwit-sim";
    private const int Ok = 0, ShortRead = 10 | (2 << 8), CannotOpen = 14, NotFound = 12, PathBytesMax = 512;
    private const int SectorBytes = 4096;

    [StructLayout(LayoutKind.Sequential)]
    private struct Vfs
    {
        public int Version, FileBytes, PathMax;
        public Vfs* Next;
        public byte* Name;
        public void* Data;
        public delegate* unmanaged[Cdecl]<Vfs*, byte*, OpenFile*, int, int*, int> Open;
        public delegate* unmanaged[Cdecl]<Vfs*, byte*, int, int> Delete;
        public delegate* unmanaged[Cdecl]<Vfs*, byte*, int, int*, int> Access;
        public delegate* unmanaged[Cdecl]<Vfs*, byte*, int, byte*, int> FullPathname;
        public void* DlOpen, DlError, DlSym, DlClose;
        public delegate* unmanaged[Cdecl]<Vfs*, int, byte*, int> Randomness;
        public delegate* unmanaged[Cdecl]<Vfs*, int, int> Sleep;
        public delegate* unmanaged[Cdecl]<Vfs*, double*, int> CurrentTime;
        public delegate* unmanaged[Cdecl]<Vfs*, int, byte*, int> LastError;
        public delegate* unmanaged[Cdecl]<Vfs*, long*, int> CurrentTime64;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Methods
    {
        public int Version;
        public delegate* unmanaged[Cdecl]<OpenFile*, int> Close;
        public delegate* unmanaged[Cdecl]<OpenFile*, byte*, int, long, int> Read;
        public delegate* unmanaged[Cdecl]<OpenFile*, byte*, int, long, int> Write;
        public delegate* unmanaged[Cdecl]<OpenFile*, long, int> Truncate;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int> Sync;
        public delegate* unmanaged[Cdecl]<OpenFile*, long*, int> Size;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int> Lock;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int> Unlock;
        public delegate* unmanaged[Cdecl]<OpenFile*, int*, int> CheckReserved;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, void*, int> Control;
        public delegate* unmanaged[Cdecl]<OpenFile*, int> Sector;
        public delegate* unmanaged[Cdecl]<OpenFile*, int> Characteristics;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int, int, void**, int> ShmMap;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int, int, int> ShmLock;
        public delegate* unmanaged[Cdecl]<OpenFile*, void> ShmBarrier;
        public delegate* unmanaged[Cdecl]<OpenFile*, int, int> ShmUnmap;
    }

    /// <summary>As sqlite3_file: its methods first, then ours.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct OpenFile
    {
        public Methods* Methods;
        public nint Handle;
    }

    /// <summary>One opening of one file, and the shared memory of its WAL index.</summary>
    private sealed class Opened(StoreDisk? disk, StoreFile file)
    {
        private readonly int _generation = disk?.Generation ?? 0;
        public StoreFile File => file;
        public List<nint> Shared { get; } = [];
        /// <summary>Its process has ended: the handle is a leftover of the simulation.</summary>
        public bool IsGone => disk is not null && disk.Generation != _generation;
    }

    private static readonly Lock Once = new();
    private static Vfs* _vfs;
    private static Methods* _methods;

    [DllImport("e_sqlite3", EntryPoint = "sqlite3_vfs_register", CallingConvention = CallingConvention.Cdecl)]
    private static extern int RegisterVfs(Vfs* vfs, int makeDefault);

    public static void Register()
    {
        lock (Once)
        {
            if (_vfs is not null) return;
            SQLitePCL.Batteries_V2.Init();
            _methods = (Methods*)NativeMemory.AllocZeroed((nuint)sizeof(Methods));
            *_methods = new Methods
            {
                Version = 2, Close = &Close, Read = &Read, Write = &Write, Truncate = &Truncate, Sync = &Sync, Size = &Size,
                Lock = &Granted, Unlock = &Granted, CheckReserved = &CheckReserved, Control = &Control, Sector = &Sector,
                Characteristics = &None, ShmMap = &ShmMap, ShmLock = &ShmLock, ShmBarrier = &ShmBarrier, ShmUnmap = &ShmUnmap,
            };
            _vfs = (Vfs*)NativeMemory.AllocZeroed((nuint)sizeof(Vfs));
            *_vfs = new Vfs
            {
                Version = 2, FileBytes = sizeof(OpenFile), PathMax = PathBytesMax, Name = Unmanaged(Name), Open = &Open, Delete = &Delete,
                Access = &Access, FullPathname = &FullPathname, Randomness = &Randomness, Sleep = &Sleep, CurrentTime = &CurrentTime,
                LastError = &LastError, CurrentTime64 = &CurrentTime64,
            };
            if (RegisterVfs(_vfs, 0) != Ok) throw new InvalidOperationException("SQLite does not take the simulator's disk");
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Open(Vfs* vfs, byte* name, OpenFile* file, int flags, int* flagsOut)
    {
        file->Methods = null;
        var path = name is null ? null : Marshal.PtrToStringUTF8((nint)name)!;
        var disk = path is null ? null : StoreDisk.Under(path);
        if (path is not null && disk is null) return CannotOpen;
        var opened = new Opened(disk, path is null ? new StoreFile(null) : disk!.Open(path));
        file->Handle = GCHandle.ToIntPtr(GCHandle.Alloc(opened));
        file->Methods = _methods;
        if (flagsOut is not null) *flagsOut = flags;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Delete(Vfs* vfs, byte* name, int syncDirectory)
    {
        var path = Marshal.PtrToStringUTF8((nint)name)!;
        StoreDisk.Under(path)?.Delete(path);
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Access(Vfs* vfs, byte* name, int flags, int* found)
    {
        var path = Marshal.PtrToStringUTF8((nint)name)!;
        *found = StoreDisk.Under(path)?.Has(path) == true ? 1 : 0;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int FullPathname(Vfs* vfs, byte* name, int bytes, byte* full)
    {
        var path = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name);
        if (path.Length + 1 > bytes) return CannotOpen;
        path.CopyTo(new Span<byte>(full, bytes));
        full[path.Length] = 0;
        return Ok;
    }

    /// <summary>For salts and temporary names: always the same, as everything here.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Randomness(Vfs* vfs, int bytes, byte* target)
    {
        for (var i = 0; i < bytes; i++) target[i] = (byte)(i * 37 + 11);
        return bytes;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Sleep(Vfs* vfs, int micros) => micros;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int CurrentTime(Vfs* vfs, double* days)
    {
        *days = 2463000;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int CurrentTime64(Vfs* vfs, long* milliseconds)
    {
        *milliseconds = 2463000L * 86_400_000;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int LastError(Vfs* vfs, int bytes, byte* text) => Ok;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Close(OpenFile* file)
    {
        foreach (var region in Of(file).Shared) NativeMemory.Free((void*)region);
        GCHandle.FromIntPtr(file->Handle).Free();
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Read(OpenFile* file, byte* target, int bytes, long offset) =>
        Of(file).File.Read(offset, new Span<byte>(target, bytes)) == bytes ? Ok : ShortRead;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Write(OpenFile* file, byte* source, int bytes, long offset) =>
        Of(file) is { IsGone: false } opened
            ? (int)opened.File.WriteAt(offset, new ReadOnlySpan<byte>(source, bytes)) : (int)DiskAnswer.Gone;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Truncate(OpenFile* file, long length) =>
        Of(file) is { IsGone: false } opened ? (int)opened.File.Truncate(length) : (int)DiskAnswer.Gone;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Sync(OpenFile* file, int flags) =>
        Of(file) is { IsGone: false } opened ? (int)opened.File.Sync() : (int)DiskAnswer.Gone;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Size(OpenFile* file, long* bytes)
    {
        *bytes = Of(file).File.Length;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Granted(OpenFile* file, int level) => Ok;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int CheckReserved(OpenFile* file, int* held)
    {
        *held = 0;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Control(OpenFile* file, int operation, void* argument) => NotFound;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Sector(OpenFile* file) => SectorBytes;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int None(OpenFile* file) => 0;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int ShmMap(OpenFile* file, int region, int bytes, int extend, void** target)
    {
        var shared = Of(file).Shared;
        while (extend != 0 && shared.Count <= region) shared.Add((nint)NativeMemory.AllocZeroed((nuint)bytes));
        *target = region < shared.Count ? (void*)shared[region] : null;
        return Ok;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int ShmLock(OpenFile* file, int offset, int count, int flags) => Ok;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ShmBarrier(OpenFile* file) => Thread.MemoryBarrier();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int ShmUnmap(OpenFile* file, int delete) => Ok;

    private static Opened Of(OpenFile* file) => (Opened)GCHandle.FromIntPtr(file->Handle).Target!;

    private static byte* Unmanaged(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var copy = (byte*)NativeMemory.AllocZeroed((nuint)bytes.Length + 1);
        bytes.CopyTo(new Span<byte>(copy, bytes.Length));
        return copy;
    }
}
