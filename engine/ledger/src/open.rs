//! Opening: the lock, a look at the place, its schema, and what a dead process left behind.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Executor, Row};
use windlass_core::{Error, Kind, Result};

use crate::error::{explain, explain_migration, is_lost};
use crate::jots::Jots;
use crate::ledger::SqlLedger;
use crate::lock::Lock;
use crate::options::LedgerOptions;
use crate::place::{Database, Place};
use crate::writer::Writer;
use crate::{postgres, sqlite};

/// The newest schema this version knows. Also written by the last migration.
pub(crate) const SCHEMA_VERSION: i64 = 6;

/// How long connecting to a server may take.
const CONNECTING_MAX: Duration = Duration::from_secs(15);

/// A server that answers at all answers within this.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// How long a pause between two tries to reach a server is at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Write,
    Read,
}

/// Where a ledger is and how connections to it are made.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) options: LedgerOptions,
}

/// Opens the ledger for [`SqlLedger::open`].
pub(crate) async fn open(place: Place, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
    let target = Target { place, options };
    if target.options.read_only {
        target.inspect(true)?;
        let readers = target.readers().await?;
        target.check_identity(&readers).await?;
        return Ok(Arc::new(SqlLedger::reading(target, readers)));
    }
    let lock = Lock::of(&target).await?;
    target.inspect(false)?;
    let mut writer = Writer::new(target.clone(), lock);
    let epoch = writer.prepare().await?;
    let jots_max = target.options.jots_bytes_max.bytes();
    let jots = Jots::new(target.place.beside(), &epoch, jots_max);
    // Whatever lies there is folded or of no use.
    jots.remove();
    let readers = target.readers().await?;
    Ok(Arc::new(SqlLedger::writing(target, readers, writer, jots)))
}

/// Opens a ledger to write that must be there already.
pub(crate) async fn open_existing(place: Place, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
    let reading = LedgerOptions {
        read_only: true,
        ..options.clone()
    };
    let target = Target {
        place,
        options: reading,
    };
    target.inspect(true)?;
    if target.place.database() == Database::Postgres {
        let readers = target.readers().await?;
        let mut connection = readers
            .acquire()
            .await
            .map_err(|error| explain(&target.place, "read", error))?;
        if target.identity(&mut connection).await? == 0 {
            return Err(target.missing());
        }
        drop(connection);
        readers.close().await;
    }
    open(target.place, options).await
}

impl Target {
    /// Looks at what can be told before a database is asked.
    fn inspect(&self, must_exist: bool) -> Result<()> {
        match &self.place {
            Place::File(file) => sqlite::inspect(file, must_exist),
            Place::Server(_) => Ok(()),
        }
    }

    /// A connection that may write. To a server it holds the lock, which it waits for as long as the options say.
    pub(crate) async fn connect(&self) -> Result<AnyConnection> {
        let told = |error| explain(&self.place, "opened", error);
        match &self.place {
            Place::File(file) => {
                let url = sqlite::url(file, "rwc").map_err(told)?;
                let mut connection = url.connect().await.map_err(told)?;
                sqlite::set_up(&mut connection, Role::Write, &self.options)
                    .await
                    .map_err(told)?;
                Ok(connection)
            }
            Place::Server(server) => {
                let url = postgres::url(server).map_err(told)?;
                let connecting = async {
                    let mut connection = url.connect().await?;
                    postgres::set_up(&mut connection, Role::Write).await?;
                    Ok(connection)
                };
                let mut connection = self
                    .within(CONNECTING_MAX, connecting)
                    .await
                    .map_err(told)?;
                postgres::lock(&self.place, &mut connection, self.options.lock_wait).await?;
                Ok(connection)
            }
        }
    }

    /// A connection of its own for looking at all of it and for copying: `VACUUM INTO` needs one that no setting keeps
    /// from writing, although it writes only the copy.
    pub(crate) async fn connect_to_copy(&self) -> Result<AnyConnection, sqlx::Error> {
        match &self.place {
            Place::File(file) => sqlite::url(file, self.mode())?.connect().await,
            Place::Server(server) => {
                let mut connection = postgres::url(server)?.connect().await?;
                postgres::set_up(&mut connection, Role::Read).await?;
                Ok(connection)
            }
        }
    }

    /// A connection to a file that is there and nobody else knows.
    pub(crate) async fn connect_to_change(file: &Path) -> Result<AnyConnection, sqlx::Error> {
        sqlite::url(file, "rw")?.connect().await
    }

    fn mode(&self) -> &'static str {
        match self.options.read_only {
            true => "ro",
            false => "rw",
        }
    }

    /// The time, in epoch milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.options.clock.now().as_millisecond()
    }

    /// Begins to write. A server's transaction has a number, by which it is known when its commit is not answered.
    pub(crate) async fn begin(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Option<String>, sqlx::Error> {
        match self.place.database() {
            Database::Sqlite => {
                connection.execute("BEGIN IMMEDIATE").await?;
                Ok(None)
            }
            Database::Postgres => postgres::begin(connection).await.map(Some),
        }
    }

    /// A statement of the writer, for as long as a server is waited for: one that vanished with its network never answers, and
    /// the operating system notices after a quarter of an hour, or not at all.
    pub(crate) async fn in_time<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.within(self.options.server_wait.max(SHORTEST_WAIT), statement)
            .await
    }

    /// The same for a read, which may count millions of rows.
    pub(crate) async fn in_long_time<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let limit = self.options.server_wait.max(SHORTEST_WAIT) * 10;
        self.within(limit, statement).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        if self.place.database() == Database::Sqlite {
            return statement.await;
        }
        let silent = || std::io::Error::new(ErrorKind::TimedOut, "the server does not answer");
        tokio::time::timeout(limit, statement)
            .await
            .unwrap_or_else(|_| Err(silent().into()))
    }

    /// What begins a transaction that reads everything as it is at one moment.
    pub(crate) fn snapshot(&self) -> &'static str {
        match self.place.database() {
            Database::Sqlite => "BEGIN",
            Database::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// The connections that reads share.
    async fn readers(&self) -> Result<AnyPool> {
        let told = |error| explain(&self.place, "read", error);
        let target = self.clone();
        let mut pool = AnyPoolOptions::new();
        if self.place.database() == Database::Postgres {
            pool = pool.acquire_timeout(self.options.server_wait);
        }
        let pool = pool
            .max_connections(self.options.readers.max(1))
            // A server may have gone away since; a file stays.
            .test_before_acquire(self.place.database() == Database::Postgres)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let target = target.clone();
                Box::pin(async move {
                    match target.place.database() {
                        Database::Sqlite => {
                            sqlite::set_up(connection, Role::Read, &target.options).await
                        }
                        Database::Postgres => postgres::set_up(connection, Role::Read).await,
                    }
                })
            });
        let url = match &self.place {
            Place::File(file) => sqlite::url(file, self.mode()),
            Place::Server(server) => postgres::url(server),
        };
        pool.connect_with(url.map_err(told)?).await.map_err(told)
    }

    /// Whether this is a ledger, and one of a schema that a reader understands.
    async fn check_identity(&self, readers: &AnyPool) -> Result<()> {
        let told = |error| explain(&self.place, "read", error);
        let mut connection = readers.acquire().await.map_err(told)?;
        match self.identity(&mut connection).await? {
            0 if self.place.database() == Database::Postgres => Err(self.missing()),
            version if version < SCHEMA_VERSION => Err(Error::new(
                Kind::Unsupported,
                "the ledger was written by an older version and must be brought up to date first",
            )
            .with_context("ledger", &self.place)
            .with_hint("run any flow once: that does it")),
            _ => self.check_complete(&mut connection).await,
        }
    }

    fn missing(&self) -> Error {
        Error::new(Kind::NotFound, "there is no ledger yet")
            .with_context("ledger", &self.place)
            .with_hint("run a flow first, or name the right database")
    }

    /// The schema's version, 0 where there is nothing yet. Errors: `Corrupt` for what belongs to other programs,
    /// `Unsupported` for a newer schema.
    async fn identity(&self, connection: &mut AnyConnection) -> Result<i64> {
        let version = match self.place.database() {
            Database::Sqlite => sqlite::identity(&self.place, connection).await?,
            Database::Postgres => postgres::identity(&self.place, connection).await?,
        };
        if version <= SCHEMA_VERSION {
            return Ok(version);
        }
        Err(Error::new(
            Kind::Unsupported,
            format!(
                "the ledger was written by a newer version of windlass (schema {version}; this \
                 one knows {SCHEMA_VERSION})"
            ),
        )
        .with_context("ledger", &self.place)
        .with_hint("use that version, or name another ledger file"))
    }

    /// Checks what is there and brings its schema up to date. Answers whether it was new.
    pub(crate) async fn bring_up_to_date(&self, connection: &mut AnyConnection) -> Result<bool> {
        let is_new = self.migrate(connection).await?;
        self.check_complete(connection).await?;
        if self.place.database() == Database::Postgres {
            postgres::count_rows(connection)
                .await
                .map_err(|error| explain(&self.place, "read", error))?;
        }
        Ok(is_new)
    }

    /// The same for what may be incomplete.
    pub(crate) async fn migrate(&self, connection: &mut AnyConnection) -> Result<bool> {
        let version = self.identity(connection).await?;
        let database = self.place.database();
        if version > 0 && database == Database::Sqlite {
            sqlite::quick_check(&self.place, connection, &self.options).await?;
        }
        if version < SCHEMA_VERSION {
            let migrator = match database {
                Database::Sqlite => sqlite::migrator(),
                Database::Postgres => postgres::migrator(),
            };
            migrator
                .run_direct(None, connection, false)
                .await
                .map_err(|error| explain_migration(&self.place, error))?;
        }
        Ok(version == 0)
    }

    /// Refuses what a copy left that was interrupted: it has no name yet.
    async fn check_complete(&self, connection: &mut AnyConnection) -> Result<()> {
        let named = number(connection, "SELECT COUNT(*) FROM identity")
            .await
            .map_err(|error| explain(&self.place, "read", error))?;
        match named {
            1 => Ok(()),
            _ => Err(Error::new(
                Kind::Corrupt,
                "the ledger is not complete: copying it was interrupted",
            )
            .with_context("ledger", &self.place)
            .with_hint("run `windlass ledger copy` again; what is here is replaced")),
        }
    }
}

/// How long a server that cannot be reached is waited for.
pub(crate) struct Patience {
    ends: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(target: &Target) -> Self {
        let wait = match target.place.database() {
            Database::Sqlite => Duration::ZERO,
            Database::Postgres => target.options.server_wait,
        };
        Patience {
            ends: Instant::now() + wait,
            pause: Duration::from_millis(50),
        }
    }

    /// Whether something may do when it is tried again, after the pause that this makes.
    pub(crate) async fn waits(&mut self) -> bool {
        if Instant::now() + self.pause >= self.ends {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = PAUSE_MAX.min(self.pause * 2);
        true
    }

    /// The same for what failed with a database error, which must be one that passes.
    pub(crate) async fn waits_after(&mut self, error: &sqlx::Error) -> bool {
        is_lost(error) && self.waits().await
    }
}

/// The one number that a statement answers.
pub(crate) async fn number(
    connection: &mut AnyConnection,
    sql: &'static str,
) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}
