//! A ledger in a database of a PostgreSQL server: how it is connected to, recognised and brought up to date, and what
//! gives it to one process at a time.

use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, ConnectOptions, Row};
use windlass_core::{Error, Kind, Result, Status};

use crate::error::{damaged, explain, no_schema};
use crate::open::{Role, number};
use crate::place::{Place, Server};
use crate::sqlite::migration;

/// How often a lock that another process holds is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Oldest server that knows what is asked of it.
const SERVER_VERSION_MIN: i64 = 13;

/// How to connect.
pub(crate) fn url(server: &Server) -> Result<AnyConnectOptions, sqlx::Error> {
    // Does nothing but the first time.
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = server.url().expose().parse()?;
    Ok(options.disable_statement_logging())
}

// A commit must survive a power cut whatever the server's default is; what is stronger stays. The session of a machine
// that vanished must end, because it holds the lock. Look-ups go along indexes, as they should on anything but a turning
// disk.
pub(crate) const SET_UP: &str = "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write'); \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
     SELECT set_config('idle_session_timeout', '0', false) \
         WHERE CAST(current_setting('server_version_num') AS INTEGER) >= 140000; \
     SET idle_in_transaction_session_timeout = 0; SET random_page_cost = 1.1; SET client_min_messages = warning";

const READ_ONLY: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";

pub(crate) async fn set_up(connection: &mut AnyConnection, role: Role) -> Result<(), sqlx::Error> {
    let name = format!(
        "SELECT set_config('application_name', 'windlass {}', false) \
         WHERE current_setting('application_name') = ''",
        std::process::id()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(name))
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(SET_UP).execute(&mut *connection).await?;
    if role == Role::Read {
        sqlx::raw_sql(READ_ONLY).execute(connection).await?;
    }
    Ok(())
}

// The lock belongs to the session: the server drops it with the connection, however that ends.
const LOCK: &str =
    "SELECT pg_try_advisory_lock(1464747084, hashtext(current_schema()) & 2147483647)";

const HOLDER: &str = "SELECT activity.application_name || COALESCE(' from ' || host(activity.client_addr), '') \
     FROM pg_locks JOIN pg_stat_activity AS activity ON activity.pid = pg_locks.pid \
     WHERE pg_locks.locktype = 'advisory' AND pg_locks.granted AND pg_locks.classid = 1464747084 \
     AND CAST(pg_locks.objid AS BIGINT) = hashtext(current_schema()) & 2147483647 LIMIT 1";

/// Takes the ledger for this connection, waiting up to `wait`.
///
/// Errors: `Conflict` when another session keeps it.
pub(crate) async fn lock(
    place: &Place,
    connection: &mut AnyConnection,
    wait: Duration,
) -> Result<()> {
    let told = |error| explain(place, "opened", error);
    let give_up = Instant::now() + wait;
    loop {
        let row = sqlx::query(LOCK)
            .fetch_one(&mut *connection)
            .await
            .map_err(told)?;
        match row.try_get::<Option<bool>, _>(0).map_err(told)? {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => return Err(no_schema().with_context("ledger", place)),
        }
        if Instant::now() >= give_up {
            break;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    let holder = sqlx::query(HOLDER)
        .fetch_optional(connection)
        .await
        .map_err(told)?;
    let holder: Option<String> = holder.and_then(|row| row.try_get(0).ok());
    let who = holder
        .map(|holder| format!(" ({holder})"))
        .unwrap_or_default();
    Err(Error::new(
        Kind::Conflict,
        format!("another windlass{who} is using the ledger"),
    )
    .with_status(Status::Temporary)
    .with_context("ledger", place)
    .with_hint("wait until it has ended, stop it, or name another database"))
}

const TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'";

const OURS: &str = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() \
     AND table_name IN ('_sqlx_migrations', 'custody', 'identity', 'jots', 'placement')";

const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";

const ENCODING: &str = "SELECT current_setting('server_encoding')";

const SERVER_VERSION: &str = "SELECT CAST(current_setting('server_version_num') AS BIGINT) / 10000";

/// The schema's version, 0 where there is nothing yet. Errors: `Corrupt` for schemas of other programs.
pub(crate) async fn identity(place: &Place, connection: &mut AnyConnection) -> Result<i64> {
    let told = |error| explain(place, "read", error);
    let server = number(connection, SERVER_VERSION).await.map_err(told)?;
    if server < SERVER_VERSION_MIN {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "the ledger's database server is PostgreSQL {server}; it must be {SERVER_VERSION_MIN} or newer"
            ),
        )
        .with_context("ledger", place));
    }
    let row = sqlx::query(ENCODING).fetch_one(&mut *connection).await;
    let encoding: String = row.and_then(|row| row.try_get(0)).map_err(told)?;
    if encoding != "UTF8" {
        return Err(Error::new(
            Kind::Unsupported,
            format!("the ledger's database holds texts as {encoding}; file names need UTF8"),
        )
        .with_context("ledger", place)
        .with_hint("create it with ENCODING 'UTF8' TEMPLATE template0"));
    }
    match number(connection, OURS).await.map_err(told)? {
        5 => number(connection, VERSION).await.map_err(told),
        _ if number(connection, TABLES).await.map_err(told)? == 0 => Ok(0),
        _ => {
            Err(damaged(place, "the database is one of another program")
                .with_context("ledger", place))
        }
    }
}

// The server does so by itself before long. Until then it takes all rows of a table for those of one flow in a thousand, and reads
// them all for every look-up.
const NEVER_COUNTED: &str = "SELECT COUNT(*) FROM pg_stat_user_tables WHERE schemaname = current_schema() \
     AND relname IN ('placement', 'step', 'content', 'custody', 'withdrawal') AND last_analyze IS NULL AND last_autoanalyze IS NULL \
     AND pg_relation_size(relid) > 1000000";

/// Lets the server count what large tables hold, where it has not done that yet.
pub(crate) async fn count_rows(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if number(connection, NEVER_COUNTED).await? > 0 {
        for table in ["placement", "step", "content", "custody", "withdrawal"] {
            let sql = sqlx::AssertSqlSafe(format!("ANALYZE {table}"));
            sqlx::raw_sql(sql).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// What brings any database up to date. The first one is the fourth schema: no database had an older one. From there
/// on each has the number of the one that does the same to a file.
pub(crate) fn migrator() -> Migrator {
    const MIGRATIONS: [(i64, &str, &str); 3] = [
        (
            4,
            "init",
            include_str!("../migrations/postgres/0004_init.sql"),
        ),
        (
            5,
            "withdrawals",
            include_str!("../migrations/postgres/0005_withdrawals.sql"),
        ),
        (
            6,
            "conflicts",
            include_str!("../migrations/postgres/0006_conflicts.sql"),
        ),
    ];
    Migrator::with_migrations(MIGRATIONS.map(migration).into())
}

/// Begins a transaction and answers the token by which [`was_committed`] knows it. Its number would not do: a standby that
/// takes over may give that to somebody else again.
pub(crate) async fn begin(connection: &mut AnyConnection) -> Result<String, sqlx::Error> {
    let token = uuid::Uuid::now_v7().simple().to_string();
    // One round trip. The token is made of digits.
    let begin = format!("BEGIN; UPDATE jots SET last_commit = '{token}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(begin))
        .execute(connection)
        .await?;
    Ok(token)
}

/// Whether a transaction whose commit was sent, and never answered, was carried out. Whoever asks holds the lock, so that
/// nobody else has written since.
pub(crate) async fn was_committed(
    connection: &mut AnyConnection,
    token: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT last_commit FROM jots")
        .fetch_one(connection)
        .await?;
    let last: Option<String> = row.try_get(0)?;
    Ok(last.as_deref() == Some(token))
}
