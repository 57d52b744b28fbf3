//! Opening: the lock, a look at the file, its schema, and what a dead process left behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Row, SqlSafeStr};
use windlass_core::{Error, Kind, Result};

use crate::error::{damaged, explain, explain_migration};
use crate::jots::Jots;
use crate::ledger::SqlLedger;
use crate::lock::Lock;
use crate::options::LedgerOptions;
use crate::writer::Writer;

/// Marks a SQLite file as a ledger: "WNDL". Also written by the first migration.
pub(crate) const APPLICATION_ID: i64 = 0x574e_444c;

/// The newest schema this version knows. Also written by the last migration.
pub(crate) const SCHEMA_VERSION: i64 = 4;

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Everything but these is escaped in the file part of a connection URL.
const KEPT_IN_URL: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Write,
    Read,
}

/// Where a ledger is and how connections to it are made.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The file, absolute.
    pub(crate) file: PathBuf,
    pub(crate) options: LedgerOptions,
}

/// Opens the ledger for [`SqlLedger::open`].
pub(crate) async fn open(path: &Path, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
    let file = resolve(path)?;
    let target = Target { file, options };
    if target.options.read_only {
        inspect(&target.file, true)?;
        let readers = target.readers().await?;
        target.check_identity(&readers).await?;
        return Ok(Arc::new(SqlLedger::reading(target, readers)));
    }
    let lock = {
        let (file, wait) = (target.file.clone(), target.options.lock_wait);
        let taking = tokio::task::spawn_blocking(move || Lock::take(&file, wait));
        taking.await.map_err(|error| {
            Error::new(
                Kind::Unexpected,
                "taking the ledger's lock ended abnormally",
            )
            .with_source(error)
        })??
    };
    inspect(&target.file, false)?;
    let mut writer = Writer::new(target.clone(), lock);
    let epoch = writer.prepare().await?;
    let jots_max = target.options.jots_bytes_max.bytes();
    let jots = Jots::new(&target.file, &epoch, jots_max);
    // Whatever lies there is folded or of no use.
    jots.remove();
    let readers = target.readers().await?;
    Ok(Arc::new(SqlLedger::writing(target, readers, writer, jots)))
}

/// Opens a ledger to write that must be there already.
pub(crate) async fn open_existing(path: &Path, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
    inspect(&resolve(path)?, true)?;
    open(path, options).await
}

/// The file behind a path or an `sqlite:` URL, absolute, its folder without links.
fn resolve(path: &Path) -> Result<PathBuf> {
    let Some(text) = path.to_str() else {
        return Err(
            Error::new(Kind::Config, "the path of the ledger is not UTF-8")
                .with_context("ledger", path.display()),
        );
    };
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return Err(Error::new(
            Kind::Unsupported,
            "a ledger in PostgreSQL is not supported by this version",
        )
        .with_hint("name a file; several machines cannot share a ledger yet"));
    }
    let text = text.strip_prefix("sqlite:").unwrap_or(text);
    let text = text.strip_prefix("//").unwrap_or(text);
    let path = Path::new(text);
    let Some(name) = path.file_name() else {
        return Err(
            Error::new(Kind::Config, "the path of the ledger names no file")
                .with_context("ledger", path.display())
                .with_hint("name a file such as windlass.db"),
        );
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| {
        Error::new(Kind::Config, "the folder of the ledger does not exist")
            .with_context("ledger", path.display())
            .with_source(error)
            .with_hint(format!(
                "create {}, or name another ledger file",
                folder.display()
            ))
    })?;
    Ok(folder.join(name))
}

/// Looks at the file's first bytes, so that a mistaken path is told before SQLite touches it.
fn inspect(file: &Path, must_exist: bool) -> Result<()> {
    use std::io::{ErrorKind, Read};
    let mut start = Vec::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    let told = |error: Error| error.with_context("ledger", file.display());
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(told(
            Error::new(Kind::NotFound, "there is no ledger yet")
                .with_hint("run a flow first, or name the right file"),
        )),
        Err(error) => Err(told(
            Error::new(Kind::Config, "the ledger file cannot be read").with_source(error),
        )
        .with_hint("give the user that runs windlass read and write access to it")),
        // A process that ended right after creating it leaves an empty file.
        Ok(0) if !must_exist => Ok(()),
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(told(damaged(file, "the file is not a ledger"))),
    }
}

impl Target {
    /// A connection that may write.
    pub(crate) async fn connect(&self) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = url(&self.file, "rwc")?.connect().await?;
        self.set_up(&mut connection, Role::Write).await?;
        Ok(connection)
    }

    /// A connection of its own for copying the file: `VACUUM INTO` needs one that no setting keeps
    /// from writing, although it writes only the copy.
    pub(crate) async fn connect_to_copy(&self) -> Result<AnyConnection, sqlx::Error> {
        let mode = if self.options.read_only { "ro" } else { "rw" };
        url(&self.file, mode)?.connect().await
    }

    /// A connection to a file that is there and nobody else knows.
    pub(crate) async fn connect_to_change(file: &Path) -> Result<AnyConnection, sqlx::Error> {
        url(file, "rw")?.connect().await
    }

    /// The time, in epoch milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.options.clock.now().as_millisecond()
    }

    /// The connections that reads share.
    async fn readers(&self) -> Result<AnyPool> {
        let told = |error| explain(&self.file, "read", error);
        let mode = if self.options.read_only { "ro" } else { "rw" };
        let target = self.clone();
        AnyPoolOptions::new()
            .max_connections(self.options.readers.max(1))
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let target = target.clone();
                Box::pin(async move { target.set_up(connection, Role::Read).await })
            })
            .connect_with(url(&self.file, mode).map_err(told)?)
            .await
            .map_err(told)
    }

    /// FULL is the only setting that keeps an acknowledged commit through a power cut, and group
    /// commit makes it cheap. The write-ahead log is checkpointed every 40 MB.
    async fn set_up(&self, connection: &mut AnyConnection, role: Role) -> Result<(), sqlx::Error> {
        let cache_kib = match role {
            Role::Write => self.options.cache.bytes() >> 10,
            Role::Read => 4 << 10,
        };
        let mut pragmas = format!(
            "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{cache_kib};"
        );
        match role {
            Role::Read => pragmas.push_str("PRAGMA query_only = ON;"),
            Role::Write => pragmas.push_str(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA wal_autocheckpoint = 10000;",
            ),
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas))
            .execute(&mut *connection)
            .await?;
        if let (Role::Write, Some(max)) = (role, self.options.file_bytes_max) {
            let page: i64 = number(connection, "PRAGMA page_size").await?;
            let pages = max.bytes() / page.max(1).unsigned_abs();
            let limit = format!("PRAGMA max_page_count = {}", pages.max(1));
            sqlx::raw_sql(sqlx::AssertSqlSafe(limit))
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// Whether this is a ledger, and one of a schema that a reader understands.
    async fn check_identity(&self, readers: &AnyPool) -> Result<()> {
        let told = |error| explain(&self.file, "read", error);
        let mut connection = readers.acquire().await.map_err(told)?;
        let version = self.identity(&mut connection).await?;
        if version < SCHEMA_VERSION {
            return Err(Error::new(
                Kind::Unsupported,
                "the ledger was written by an older version and must be brought up to date first",
            )
            .with_context("ledger", self.file.display())
            .with_hint("run any flow once: that does it"));
        }
        Ok(())
    }

    /// The schema's version, 0 for a file that is to become a ledger. Errors: `Corrupt` for files of
    /// other programs, `Unsupported` for a newer schema.
    async fn identity(&self, connection: &mut AnyConnection) -> Result<i64> {
        let told = |error| explain(&self.file, "read", error);
        let application = number(connection, "PRAGMA application_id")
            .await
            .map_err(told)?;
        let version = number(connection, "PRAGMA user_version")
            .await
            .map_err(told)?;
        // A process that died between creating the file and its schema leaves only this table.
        let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations'";
        let tables = number(connection, tables).await.map_err(told)?;
        match (application, version) {
            (0, 0) if tables == 0 => Ok(0),
            (APPLICATION_ID, version) if version <= SCHEMA_VERSION => Ok(version),
            (APPLICATION_ID, version) => Err(Error::new(
                Kind::Unsupported,
                format!(
                    "the ledger was written by a newer version of windlass (schema {version}; this \
                     one knows {SCHEMA_VERSION})"
                ),
            )
            .with_context("ledger", self.file.display())
            .with_hint("use that version, or name another ledger file")),
            _ => Err(
                damaged(&self.file, "the file is a database of another program")
                    .with_context("ledger", self.file.display()),
            ),
        }
    }

    /// Checks a file that is there and brings its schema up to date. Answers whether it was new.
    pub(crate) async fn bring_up_to_date(&self, connection: &mut AnyConnection) -> Result<bool> {
        let version = self.identity(connection).await?;
        if version > 0 {
            self.quick_check(connection).await?;
        }
        if version < SCHEMA_VERSION {
            migrator()
                .run_direct(None, connection, false)
                .await
                .map_err(|error| explain_migration(&self.file, error))?;
        }
        Ok(version == 0)
    }

    async fn quick_check(&self, connection: &mut AnyConnection) -> Result<()> {
        let told = |error| explain(&self.file, "read", error);
        let size = std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        if size > self.options.check_bytes_max.bytes() {
            return Ok(());
        }
        let row = sqlx::query("PRAGMA quick_check(1)")
            .fetch_one(connection)
            .await
            .map_err(told)?;
        let found: String = row.try_get(0).map_err(told)?;
        if found == "ok" {
            return Ok(());
        }
        Err(damaged(&self.file, "the ledger file is damaged")
            .with_context("ledger", self.file.display())
            .with_context("found", found.replace('\n', " ").trim()))
    }
}

fn url(file: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    // Does nothing but the first time.
    sqlx::any::install_default_drivers();
    let file = file.to_string_lossy();
    let file = utf8_percent_encode(&file, &KEPT_IN_URL);
    let options: AnyConnectOptions = format!("sqlite://{file}?mode={mode}").parse()?;
    Ok(options.disable_statement_logging())
}

/// The one number that a statement answers.
async fn number(connection: &mut AnyConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// What brings any ledger up to date.
pub(crate) fn migrator() -> Migrator {
    let migrations = [
        (
            1,
            "init",
            include_str!("../migrations/sqlite/0001_init.sql"),
        ),
        (
            2,
            "notes",
            include_str!("../migrations/sqlite/0002_notes.sql"),
        ),
        (
            3,
            "proof",
            include_str!("../migrations/sqlite/0003_proof.sql"),
        ),
        (
            4,
            "reuse",
            include_str!("../migrations/sqlite/0004_reuse.sql"),
        ),
    ];
    let migrations = migrations.map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.into())
}
