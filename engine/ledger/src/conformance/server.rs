//! A PostgreSQL server for tests: the machine's own packages, data in a scratch folder, loopback only, gone with the
//! process that started it, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use sqlx::{Connection, Executor};
use windlass_core::Secret;

use crate::place::Place;

/// A running server.
#[derive(Debug)]
pub struct TestServer {
    port: u16,
    /// Serves the lines that [`SUPERVISOR`] understands; ends when its input does.
    supervisor: Mutex<Supervisor>,
    schemas: AtomicU64,
}

#[derive(Debug)]
struct Supervisor {
    _child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Runs as a user that is not root, which PostgreSQL insists on. Whatever ends the tests ends its input, and that ends the
/// server. `locked` is a user whose password is asked for; the server's own default loses commits in a power cut, as some
/// administrators choose.
const SUPERVISOR: &str = r#"
bin=$1 folder=$2 port=$3
trap '' INT
fail() { echo "failed: $1"; tail -n 5 "$folder/log"; exit 1; }
"$bin/initdb" -D "$folder/data" -U windlass -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 || fail initdb
cp "$folder/data/pg_hba.conf" "$folder/hba"
{ echo "host all locked 127.0.0.1/32 scram-sha-256"; cat "$folder/hba"; } >"$folder/data/pg_hba.conf"
start() {
    "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 -o "-p $port -k $folder -c listen_addresses=127.0.0.1 \
-c fsync=off -c synchronous_commit=off -c max_connections=300 -c shared_buffers=64MB" start >/dev/null 2>&1 || fail start
}
stop() { "$bin/pg_ctl" -D "$folder/data" -w -t 60 -m "$1" stop >/dev/null 2>&1; }
start
echo ready
while read -r order; do
    case $order in
        start) start;;
        *) stop "$order";;
    esac
    echo ready
done
stop immediate
rm -rf "$folder"
"#;

impl TestServer {
    /// The one that all tests of a process share.
    pub fn shared() -> &'static TestServer {
        static SHARED: OnceLock<TestServer> = OnceLock::new();
        SHARED.get_or_init(TestServer::start)
    }

    /// One of a test's own, which it may stop.
    pub fn start() -> TestServer {
        let programs = programs();
        let folder =
            std::env::temp_dir().join(format!("windlass-pg-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let port = free_port();
        let mut command = if is_root() {
            let nobody = id_of_nobody();
            std::os::unix::fs::chown(&folder, Some(nobody), None).unwrap();
            let mut command = Command::new("runuser");
            command.args(["-u", "nobody", "--", "sh", "-c", SUPERVISOR, "supervisor"]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", SUPERVISOR, "supervisor"]);
            command
        };
        let mut child = command
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .current_dir("/")
            // What a terminal sends to the tests is not for the server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut supervisor = Supervisor {
            _child: child,
            orders,
            answers,
        };
        supervisor.wait();
        TestServer {
            port,
            supervisor: Mutex::new(supervisor),
            schemas: AtomicU64::new(0),
        }
    }

    /// The port on loopback where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database, as its owner.
    pub fn url(&self) -> String {
        format!("postgres://windlass@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of an empty schema that nobody else has.
    pub async fn schema(&self) -> String {
        let schema = format!("test{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE SCHEMA {schema}")).await;
        format!("{}?options[search_path]={schema}", self.url())
    }

    /// A place for a ledger that nobody else has, with scratch files in `folder`.
    pub async fn place(&self, folder: &Path) -> Place {
        let url = self.schema().await;
        Place::of_server(&Secret::new(url), &folder.join("windlass.db")).unwrap()
    }

    /// Runs statements as the owner of the database.
    pub async fn run(&self, sql: &str) {
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.unwrap();
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ends it as a power cut would, without a word to those that are connected.
    pub fn crash(&self) {
        self.order("immediate");
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut supervisor = self.supervisor.lock().unwrap();
        writeln!(supervisor.orders, "{order}").unwrap();
        supervisor.wait();
    }
}

impl Supervisor {
    fn wait(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        if line.trim() != "ready" {
            let mut rest = String::new();
            std::io::Read::read_to_string(&mut self.answers, &mut rest).ok();
            panic!("PostgreSQL does not start: {line}{rest}");
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn is_root() -> bool {
    asked("id", &["-u"]) == "0"
}

fn id_of_nobody() -> u32 {
    asked("id", &["-u", "nobody"]).parse().unwrap()
}

fn asked(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The folder of the server's programs. Debian's packages are installed where they are missing and this process may.
fn programs() -> PathBuf {
    if let Some(found) = find_programs() {
        return found;
    }
    let apt_get = Path::new("/usr/bin/apt-get");
    if is_root() && apt_get.is_file() {
        tracing::warn!(
            "PostgreSQL is not installed: installing the package postgresql with apt-get"
        );
        for arguments in [
            &["update", "-qq"][..],
            &[
                "install",
                "-qq",
                "-y",
                "--no-install-recommends",
                "postgresql",
            ],
        ] {
            let done = Command::new(apt_get)
                .args(["-o", "DPkg::Lock::Timeout=300"])
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            assert!(
                done.is_ok_and(|status| status.success()),
                "apt-get could not install PostgreSQL"
            );
        }
    }
    find_programs().expect(
        "these tests need PostgreSQL 15 or newer: install it (Debian: apt-get install postgresql), or put its \
         programs on the PATH",
    )
}

fn find_programs() -> Option<PathBuf> {
    let on_path = PathBuf::from(asked("sh", &["-c", "command -v pg_ctl"]));
    let mut folders: Vec<PathBuf> = on_path.parent().map(PathBuf::from).into_iter().collect();
    // Debian keeps them off the PATH, each version in a folder of its own; the newest is last.
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let version = folder.file_name()?.to_str()?.parse().ok()?;
            Some((version, folder.join("bin")))
        })
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    let has_all = |folder: &PathBuf| {
        let programs = ["initdb", "pg_ctl", "postgres"];
        programs
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    folders.into_iter().find(has_all)
}
