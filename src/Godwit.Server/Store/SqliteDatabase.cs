using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Godwit.Server.Store;

/// <summary>
/// One SQLite file, WAL, synchronous=FULL: a commit that returned survives a power cut. One connection and a lock are
/// the one writer; everything runs on the caller's thread, so the simulator runs the real file.
/// </summary>
public sealed class SqliteDatabase : Database
{
    public const int SchemaVersion = 14;
    private const int IoError = 10, Corrupt = 11, Full = 13, NotADatabase = 26;

    private readonly Lock _one = new();
    private readonly SqliteConnection _connection;
    private readonly Action<Exception>? _broken;

    /// <summary>Is told how long each transaction took, its wait for the one before it included; null: nobody is.</summary>
    public (TimeProvider Time, Action<TimeSpan> Took)? Measured { get; set; }

    /// <param name="path">The file; made where it is not there.</param>
    /// <param name="broken">Called when a commit was not to be had (an fsync failed, the disk is full, the file is damaged):
    /// the process must end, because after a failed fsync the same handle would lie about what is on the disk.</param>
    public SqliteDatabase(string path, Action<Exception> broken)
    {
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = path,
            Mode = SqliteOpenMode.ReadWriteCreate,
            Pooling = false,
            ForeignKeys = true,
            DefaultTimeout = 5,
        }.ToString());
        try
        {
            _connection.Open();
            Pragma("PRAGMA journal_mode = WAL");
            Pragma("PRAGMA synchronous = FULL");
            Pragma("PRAGMA cache_size = -4096");
            Pragma("PRAGMA journal_size_limit = 16777216");
            Prepare(path);
            // A former process may have ended at a failed sync, with pages in the kernel's cache that never reached the disk:
            // what is seen is written anew and synced before anything is built on it.
            Pragma("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        catch (Exception reason)
        {
            _connection.Dispose();
            if (reason is SqliteException) throw new StoreFailedException($"{path} cannot be opened: {reason.Message}", reason);
            throw;
        }
        _broken = broken; // Until here the caller is told by an exception.
    }

    public override Task<T> RunAsync<T>(Func<Work, T> body)
    {
        try
        {
            T result;
            Work work;
            var measured = Measured;
            var began = measured?.Time.GetTimestamp() ?? 0;
            lock (_one)
            {
                using var transaction = _connection.BeginTransaction(deferred: false);
                work = new Work(_connection, transaction);
                result = body(work);
                transaction.Commit();
            }
            Announce(work);
            measured?.Took(measured.Value.Time.GetElapsedTime(began));
            return Task.FromResult(result);
        }
        catch (SqliteException error) when (error.SqliteErrorCode is IoError or Corrupt or NotADatabase or Full)
        {
            // Full, too: who called may be in the middle of a story, and a story goes on from its record at the next start.
            var failed = new StoreFailedException(error.SqliteErrorCode == Full
                ? "the disk that holds the store is full: nothing was changed"
                : $"the store cannot be trusted any more: {error.Message}", error);
            _broken?.Invoke(failed);
            throw failed;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _connection.Dispose();
    }

    private void Prepare(string path)
    {
        RunAsync(work =>
        {
            var made = work.Number("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'") > 0;
            if (!made)
            {
                work.Execute(Script("Schema.sql"));
                work.Execute("INSERT INTO meta (name, value) VALUES ('schema', '1')");
            }
            var found = work.Number("SELECT value FROM meta WHERE name = 'schema'");
            // Each step once, all in this transaction: a store is of its old version or of ours, never between.
            while (found is > 0 and < SchemaVersion)
            {
                work.Execute(Script($"Schema.{++found}.sql"));
                work.Execute("UPDATE meta SET value = @version WHERE name = 'schema'",
                    ("@version", found.ToString(CultureInfo.InvariantCulture)));
            }
            if (found != SchemaVersion)
                throw new InvalidDataException(
                    $"{path} has schema {found}; this server knows {SchemaVersion}: start the godwit that wrote it");
        }).GetAwaiter().GetResult(); // Complete already: SQLite never waits here.
    }

    private void Pragma(string sql)
    {
        using var command = _connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteScalar();
    }

    private static string Script(string name)
    {
        using var stream = typeof(SqliteDatabase).Assembly.GetManifestResourceStream($"Godwit.Server.Store.{name}")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
