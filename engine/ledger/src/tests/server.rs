//! A ledger on a server: who may have it, what is refused with which sentence, and a server that goes away in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sqlx::{Connection, Executor, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use windlass_core::{
    AssetId, AssetPath, Error, Kind, LeasedStep, Ledger, RunId, RunState, Secret, Status,
    StepState, WorkerId,
};

use crate::conformance::{TestServer, done, placement, report, step};
use crate::place::Place;
use crate::tests::options;
use crate::{LedgerOptions, SqlLedger};

const TTL: Duration = Duration::from_secs(60);

fn at(url: impl Into<String>, folder: &Path) -> Place {
    Place::of_server(&Secret::new(url.into()), &folder.join("windlass.db")).unwrap()
}

async fn open(url: &str, folder: &Path) -> Result<Arc<SqlLedger>, Error> {
    SqlLedger::open_at(at(url, folder), options(&Arc::default())).await
}

async fn refusal(url: &str, folder: &Path) -> Error {
    open(url, folder).await.expect_err("it must be refused")
}

fn reading() -> LedgerOptions {
    LedgerOptions {
        read_only: true,
        ..options(&Arc::default())
    }
}

/// A running run with `count` steps, all taken.
async fn taken(ledger: &SqlLedger, count: u64) -> (RunId, Vec<LeasedStep>) {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let steps: Vec<_> = (1..=count).map(step).collect();
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let worker = WorkerId::fresh();
    let taken = ledger.lease(run, &worker, count as u32, TTL).await.unwrap();
    (run, taken)
}

#[tokio::test]
async fn a_ledger_belongs_to_one_process_on_any_machine() {
    let server = TestServer::shared();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = server.schema().await;
    let ledger = open(&url, here.path()).await.unwrap();
    // Another machine has scratch files of its own; the server knows who was first.
    let error = refusal(&url, there.path()).await;
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Conflict, Status::Temporary)
    );
    let holder = format!(
        "another windlass (windlass {} from 127.0.0.1) is using the ledger",
        std::process::id()
    );
    assert_eq!(error.message(), holder);
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let reader = SqlLedger::open_at(at(url.as_str(), there.path()), reading())
        .await
        .unwrap();
    assert_eq!(reader.runs(None, 9).await.unwrap()[0].id, run);
    let error = reader.begin_run(run, "ingest").await.unwrap_err();
    assert_eq!(error.message(), "the ledger is opened for reading only");
    reader.close().await.unwrap();
    ledger.close().await.unwrap();
    let ledger = open(&url, there.path()).await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn ledgers_in_two_schemas_of_one_database_are_apart() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (server.place(folder.path()).await, server.schema().await);
    let other_folder = tempfile::tempdir().unwrap();
    let one = SqlLedger::open_at(one, options(&Arc::default()))
        .await
        .unwrap();
    let other = open(&other, other_folder.path()).await.unwrap();
    one.begin_run(RunId::fresh(), "ingest").await.unwrap();
    assert_eq!(other.runs(None, 9).await.unwrap(), []);
    assert_ne!(one.id().await.unwrap(), other.id().await.unwrap());
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn what_a_server_refuses_is_one_sentence_without_the_password() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    server
        .run("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'offen'")
        .await;
    server
        .run("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    let port = server.port();
    let cases = [
        (
            format!("postgres://locked:geheim@127.0.0.1:{port}/postgres"),
            Kind::Unauthenticated,
            "the ledger's database server does not accept this user and password",
        ),
        (
            format!("postgres://windlass:geheim@127.0.0.1:{port}/missing"),
            Kind::Config,
            "the ledger's database does not exist on its server",
        ),
        (
            format!("postgres://guest:geheim@127.0.0.1:{port}/postgres"),
            Kind::Denied,
            "the database user may not do in the ledger's database what a ledger needs",
        ),
        (
            format!(
                "postgres://windlass:geheim@127.0.0.1:{port}/postgres?options[search_path]=missing"
            ),
            Kind::Config,
            "the schema that the ledger's URL names does not exist",
        ),
        (
            format!("postgres://windlass:geheim@127.0.0.1:{port}/postgres?sslmode=verify-full"),
            Kind::Unavailable,
            "the ledger's database server cannot be reached over TLS",
        ),
        (
            format!("postgres://windlass:geheim@127.0.0.1:{port}/postgres?sslmode=sometimes"),
            Kind::Config,
            "the ledger's URL has a setting that cannot be understood",
        ),
        (
            "postgres://windlass:geheim@127.0.0.1:1/postgres".to_owned(),
            Kind::Unavailable,
            "the ledger cannot be opened: its database server cannot be reached",
        ),
    ];
    for (url, kind, message) in cases {
        let error = refusal(&url, folder.path()).await;
        assert_eq!(
            (error.kind(), error.message()),
            (kind, message),
            "{url}: {}",
            error.chain()
        );
        assert!(error.hint().is_some(), "{url}");
        assert!(
            !error.chain().to_string().contains("geheim"),
            "{}",
            error.chain()
        );
    }
}

#[tokio::test]
async fn what_is_no_ledger_is_left_alone() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let place = |url: &str| at(url, folder.path());
    // Nothing there yet.
    let empty = server.schema().await;
    let error = SqlLedger::open_at(place(&empty), reading())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "there is no ledger yet")
    );
    let error = SqlLedger::compact(place(&empty), options(&Arc::default()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    // Another program's.
    let foreign = server.schema().await;
    let mut connection = sqlx::PgConnection::connect(&foreign).await.unwrap();
    connection
        .execute("CREATE TABLE invoice (id BIGINT)")
        .await
        .unwrap();
    let error = refusal(&foreign, folder.path()).await;
    assert_eq!(error.message(), "the database is one of another program");
    let tables =
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()";
    let tables: i64 = connection.fetch_one(tables).await.unwrap().get(0);
    assert_eq!(tables, 1);
    connection.close().await.unwrap();
    // A newer version's.
    let newer = server.schema().await;
    open(&newer, folder.path())
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let mut connection = sqlx::PgConnection::connect(&newer).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations SELECT 99, 'later', installed_on, success, checksum, execution_time \
                 FROM _sqlx_migrations LIMIT 1";
    connection.execute(later).await.unwrap();
    connection.close().await.unwrap();
    let error = refusal(&newer, folder.path()).await;
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(
        error.message(),
        "the ledger was written by a newer version of windlass (schema 99; this one knows 6)"
    );
}

#[tokio::test]
async fn commits_survive_a_power_cut_whatever_the_server_defaults_to() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let target = crate::open::Target {
        place: server.place(folder.path()).await,
        options: options(&Arc::default()),
    };
    let mut connection = target.connect().await.unwrap();
    let row = sqlx::query("SELECT current_setting('synchronous_commit')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "on");
    connection.close().await.unwrap();
    let mut plain = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let row = plain.fetch_one("SHOW synchronous_commit").await.unwrap();
    assert_eq!(row.get::<String, _>(0), "off");
    plain.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_again_is_waited_for() {
    let server = Arc::new(
        tokio::task::spawn_blocking(TestServer::start)
            .await
            .unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let url = server.schema().await;
    let ledger = open(&url, folder.path()).await.unwrap();
    let (run, steps) = taken(&ledger, 6).await;
    for (round, pair) in (0..).zip(steps.chunks(2)) {
        let crashing = Arc::clone(&server);
        tokio::task::spawn_blocking(move || crashing.crash())
            .await
            .unwrap();
        let starting = Arc::clone(&server);
        let starts = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(300));
            starting.start_again();
        });
        let reports: Vec<_> = pair
            .iter()
            .map(|step| report(step, done(placement(step.id.0.unsigned_abs()))))
            .collect();
        let (finished, read) = tokio::join!(ledger.finish(&reports), ledger.steps(run, None, 99));
        // Nobody put the steps back meanwhile: the same process has them.
        assert_eq!(finished.unwrap(), [true, true], "round {round}");
        assert_eq!(read.unwrap().len(), 6);
        starts.await.unwrap();
    }
    let steps = ledger.steps(run, None, 99).await.unwrap();
    assert!(steps.iter().all(|step| step.state == StepState::Done));
    assert_eq!(ledger.custody(None, None, 99).await.unwrap().len(), 6);
    ledger.close().await.unwrap();
}

/// A server of its own, and a ledger there that waits so many milliseconds for it.
async fn impatient(folder: &Path, wait: u64) -> (Arc<TestServer>, Arc<SqlLedger>) {
    let server = tokio::task::spawn_blocking(TestServer::start);
    let server = Arc::new(server.await.unwrap());
    let options = LedgerOptions {
        server_wait: Duration::from_millis(wait),
        ..options(&Arc::default())
    };
    let place = at(server.schema().await, folder);
    let ledger = SqlLedger::open_at(place, options).await.unwrap();
    (server, ledger)
}

async fn crash(server: &Arc<TestServer>) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || server.crash())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_is_an_error_that_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ledger) = impatient(folder.path(), 400).await;
    let (run, steps) = taken(&ledger, 2).await;
    crash(&server).await;
    let report = report(&steps[0], done(placement(1)));
    let (one, other, read) = tokio::join!(
        ledger.finish(std::slice::from_ref(&report)),
        ledger.set_cursor("agency", None),
        ledger.runs(None, 9)
    );
    for error in [one.unwrap_err(), other.unwrap_err(), read.unwrap_err()] {
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Unavailable, Status::Temporary),
            "{error:?}"
        );
        assert!(
            error
                .message()
                .contains("its database server cannot be reached"),
            "{error:?}"
        );
    }
    let starting = Arc::clone(&server);
    tokio::task::spawn_blocking(move || starting.start_again())
        .await
        .unwrap();
    // Whoever still holds the step reports it again, and it counts.
    assert_eq!(ledger.finish(&[report]).await.unwrap(), [true]);
    assert_eq!(ledger.tally(run).await.unwrap().len(), 2);
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_wait_together_for_a_server_that_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ledger) = impatient(folder.path(), 500).await;
    crash(&server).await;
    let calls = (0..100).map(|_| ledger.begin_run(RunId::fresh(), "ingest"));
    let waited = tokio::time::timeout(
        Duration::from_secs(20),
        futures_util::future::join_all(calls),
    );
    let answers = waited.await.expect("not one after the other");
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), Kind::Unavailable);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_any_more_is_as_good_as_gone() {
    let server = TestServer::shared();
    let (proxy, through) = Proxy::before(server).await;
    let folder = tempfile::tempdir().unwrap();
    let impatient = LedgerOptions {
        server_wait: Duration::from_secs(1),
        ..options(&Arc::default())
    };
    let ledger = SqlLedger::open_at(at(through, folder.path()), impatient)
        .await
        .unwrap();
    // The commit arrives and its answer never comes, though the connection stays.
    proxy.next.store(SWALLOW_ANSWER, Ordering::SeqCst);
    let run = RunId::fresh();
    let began = tokio::time::timeout(Duration::from_secs(60), ledger.begin_run(run, "ingest"));
    // The session that holds the lock is still there, so nobody can be asked what became of it.
    let answer = began.await.expect("it ends");
    assert_eq!(answer.unwrap_err().kind(), Kind::Unavailable);
    proxy.hang_up.notify_waiters();
    ledger.begin_run(run, "ingest").await.unwrap();
    assert_eq!(ledger.runs(None, 9).await.unwrap().len(), 1);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_a_server_cannot_look_up_again_is_refused_before_it_is_delivered() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqlLedger::open_at(server.place(folder.path()).await, options(&Arc::default()))
        .await
        .unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let mut state = 1_u64;
    let mut noise = |length: usize| -> String {
        let digit = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + (state >> 59) as u8 % 26)
        };
        (0..length).map(digit).collect()
    };
    // Nothing in them that an index could make shorter.
    let mut long = step(1);
    long.asset = AssetId::new(noise(2_400));
    long.path = AssetPath::new(&noise(4_000));
    ledger.add_steps(run, &[long.clone()]).await.unwrap();
    let mut longer = step(2);
    longer.asset = AssetId::new(noise(3_000));
    let error = ledger.add_steps(run, &[longer]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.hint().is_some());
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let taken = ledger.lease(run, &WorkerId::fresh(), 9, TTL).await.unwrap();
    let mut placed = placement(1);
    placed.source_asset = long.asset.clone();
    placed.placed.asset = AssetId::new(noise(4_000));
    let asset = placed.placed.asset.clone();
    let accepted = ledger
        .finish(&[report(&taken[0], done(placed))])
        .await
        .unwrap();
    assert_eq!(accepted, [true]);
    let found = ledger.placed_as("dam", &[asset]).await.unwrap();
    assert_eq!(found[0][0].source_asset, long.asset);
    assert_eq!(ledger.steps_at(run, &long.path).await.unwrap().len(), 1);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn texts_are_ordered_by_their_bytes_whatever_the_language_of_the_database() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    server.run("DROP DATABASE IF EXISTS german").await;
    server
        .run(
            "CREATE DATABASE german TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu \
             ICU_LOCALE 'de' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await;
    let url = server.url().replace("/postgres", "/german");
    // There, ä comes before B.
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let row = connection.fetch_one("SELECT 'ä' < 'B'").await.unwrap();
    assert!(row.get::<bool, _>(0));
    connection.close().await.unwrap();
    let ledger = open(&url, folder.path()).await.unwrap();
    let (_, steps) = taken(&ledger, 4).await;
    let names = ["ä", "a", "B", "_"];
    let reports: Vec<_> = steps
        .iter()
        .zip(names)
        .map(|(step, name)| {
            let mut placement = placement(1);
            placement.source_asset = AssetId::new(name);
            report(step, done(placement))
        })
        .collect();
    assert_eq!(ledger.finish(&reports).await.unwrap(), [true; 4]);
    let mut listed = Vec::new();
    let mut after = None;
    // Page by page, where each begins after the last of the one before.
    while let [one] = ledger
        .placements_after("ingest", "agency", after.as_ref(), 1)
        .await
        .unwrap()
        .as_slice()
    {
        listed.push(one.source_asset.to_string());
        after = Some(one.source_asset.clone());
    }
    assert_eq!(listed, ["B", "_", "a", "ä"]);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_name_is_refused() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    server.run("DROP DATABASE IF EXISTS latin").await;
    server
        .run("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .await;
    let url = server.url().replace("/postgres", "/latin");
    let error = refusal(&url, folder.path()).await;
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.message().contains("LATIN1"), "{error:?}");
}

/// What a [`Proxy`] does with the next commit.
const PASS: u8 = 0;
const LOSE_COMMIT: u8 = 1;
const LOSE_ANSWER: u8 = 2;
const SWALLOW_ANSWER: u8 = 3;

/// Stands between a ledger and its server, and loses what it is told to.
struct Proxy {
    next: Arc<AtomicU8>,
    /// Ends connections that say nothing any more.
    hang_up: Arc<Notify>,
}

impl Proxy {
    /// With the URL of an empty schema behind it.
    async fn before(server: &TestServer) -> (Proxy, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (next, to) = (Arc::new(AtomicU8::new(PASS)), server.port());
        let told = Arc::clone(&next);
        let hang_up = Arc::new(Notify::new());
        let hung_up = Arc::clone(&hang_up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::spawn(pass_on(
                    client,
                    server,
                    Arc::clone(&told),
                    Arc::clone(&hung_up),
                ));
            }
        });
        let ports = [server.port(), port].map(|port| format!(":{port}/"));
        let through = server.schema().await.replace(&ports[0], &ports[1]);
        (Proxy { next, hang_up }, through)
    }
}

/// Passes bytes on until one side ends, or something is to be lost: then both ends are closed without a word.
async fn pass_on(
    mut client: TcpStream,
    mut server: TcpStream,
    next: Arc<AtomicU8>,
    hang_up: Arc<Notify>,
) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let commits = asked[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
                let fate = if commits { next.swap(PASS, Ordering::SeqCst) } else { PASS };
                if fate == LOSE_COMMIT {
                    return;
                }
                server.write_all(&asked[..count]).await.unwrap();
                if fate == SWALLOW_ANSWER {
                    return hang_up.notified().await;
                }
                if fate == LOSE_ANSWER {
                    assert!(server.read(&mut answered).await.unwrap() > 0);
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_counts_once_and_one_that_is_lost_is_made_again() {
    let server = TestServer::shared();
    let (proxy, through) = Proxy::before(server).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&through, folder.path()).await.unwrap();
    for lost in [LOSE_COMMIT, LOSE_ANSWER] {
        let run = RunId::fresh();
        ledger.begin_run(run, "ingest").await.unwrap();
        // Neither may be there twice: steps have no key that would tell, and calls are a sum.
        proxy.next.store(lost, Ordering::SeqCst);
        ledger.add_steps(run, &[step(1), step(2)]).await.unwrap();
        assert_eq!(proxy.next.load(Ordering::SeqCst), PASS, "nothing was lost");
        assert_eq!(ledger.steps(run, None, 9).await.unwrap().len(), 2);
        ledger.set_run_state(run, RunState::Running).await.unwrap();

        proxy.next.store(lost, Ordering::SeqCst);
        let worker = WorkerId::fresh();
        let steps = ledger.lease(run, &worker, 9, TTL).await.unwrap();
        assert_eq!(
            steps.iter().map(|step| step.attempt).collect::<Vec<_>>(),
            [1, 1]
        );

        // The answer to a report that was kept is that it counted, although the step is not held any more.
        proxy.next.store(lost, Ordering::SeqCst);
        let reports: Vec<_> = steps
            .iter()
            .map(|step| report(step, done(placement(1))))
            .collect();
        assert_eq!(ledger.finish(&reports).await.unwrap(), [true, true]);
        let custody = ledger.custody(Some(run), None, 9).await.unwrap();
        assert_eq!(custody.len(), 2);
    }
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn many_calls_that_share_a_lost_commit_each_get_their_answer() {
    let server = TestServer::shared();
    let (proxy, through) = Proxy::before(server).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&through, folder.path()).await.unwrap();
    for lost in [LOSE_COMMIT, LOSE_ANSWER, LOSE_COMMIT] {
        let (run, steps) = taken(&ledger, 40).await;
        proxy.next.store(lost, Ordering::SeqCst);
        let one = |step: &LeasedStep| {
            let (ledger, report) = (Arc::clone(&ledger), report(step, done(placement(9))));
            async move { ledger.finish(&[report]).await.unwrap() }
        };
        let answers = futures_util::future::join_all(steps.iter().map(one)).await;
        assert!(answers.iter().all(|answer| *answer == [true]));
        assert_eq!(ledger.custody(Some(run), None, 99).await.unwrap().len(), 40);
    }
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_another_process_took_over_from_is_told_so() {
    let server = TestServer::shared();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = server.schema().await;
    let impatient = LedgerOptions {
        server_wait: Duration::from_millis(300),
        ..options(&Arc::default())
    };
    let ledger = SqlLedger::open_at(at(url.as_str(), here.path()), impatient)
        .await
        .unwrap();
    let (_, steps) = taken(&ledger, 1).await;
    // The network between this process and the server fails for so long that the server gives its session up.
    let schema = url.rsplit_once('=').unwrap().1;
    let end = format!(
        "SELECT pg_terminate_backend(pg_locks.pid) FROM pg_locks WHERE locktype = 'advisory' \
         AND CAST(objid AS BIGINT) = hashtext('{schema}') & 2147483647"
    );
    server.run(&end).await;
    let other = open(&url, there.path()).await.unwrap();
    let error = ledger
        .finish(&[report(&steps[0], done(placement(1)))])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
    other.close().await.unwrap();
    // It has the ledger again, and knows that the other one put its step back.
    let accepted = ledger
        .finish(&[report(&steps[0], done(placement(1)))])
        .await
        .unwrap();
    assert_eq!(accepted, [false]);
    ledger.close().await.unwrap();
}
