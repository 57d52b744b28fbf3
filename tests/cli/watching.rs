//! `windlass watch` as a service manager meets it: started, asked how it is, told to read its configuration again, stopped
//! and started again.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use windlass_sandbox::Sandbox;

use crate::kills::{services, write_config};
use crate::program::{run, windlass};

/// How long anything may take that should take seconds: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where files go in CELUM.
const INBOX: &str = "/Brand Library/Inbox/Harvest";

/// A daemon that runs until it is dropped.
struct Watching {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Watching {
    fn start(dir: &Path) -> Self {
        let mut child = windlass(dir)
            .arg("watch")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Watching { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "{what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_until_said(&self, text: &str) {
        self.wait_for(text, || self.said().contains(text));
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.unwrap().success());
    }

    /// How it ends, and after how long, once it is told to.
    fn stop(mut self) -> (Option<i32>, Duration, String) {
        let began = Instant::now();
        self.signal("TERM");
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), began.elapsed(), self.said());
            }
            assert!(began.elapsed() < PATIENCE, "it goes on: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it answers.
    fn address(&self) -> String {
        self.wait_until_said("answering at http://");
        let said = self.said();
        let (_, rest) = said.split_once("answering at http://").unwrap();
        rest.split('/').next().unwrap().to_owned()
    }

    /// The status code and the body of an answer.
    fn ask(&self, path: &str) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        (code, serde_json::from_str(body).unwrap_or_default())
    }

    /// What the daemon says of its first flow, asked as rarely as it lets itself be asked.
    fn flow(&self) -> serde_json::Value {
        std::thread::sleep(Duration::from_millis(250));
        self.ask("/status").1["flows"][0].clone()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Only a process that this test started, by its handle.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn append(dir: &Path, text: &str) {
    let file = dir.join("windlass.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(file, before + text).unwrap();
}

fn put(sandbox: &Sandbox, name: &str) {
    let bytes = format!("what {name} holds").into_bytes();
    let path = format!("/Agencies/{name}");
    let dropbox = sandbox.dropbox();
    dropbox.put_file(&path, bytes.into(), None).unwrap();
}

fn has(sandbox: &Sandbox, name: &str) -> bool {
    let assets = sandbox.celum().assets();
    assets.iter().any(|asset| asset.filename == name)
}

#[test]
fn what_appears_is_placed_within_seconds_also_what_appeared_while_nobody_watched() {
    let (_runtime, sandbox) = services(17);
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &sandbox, "studio", "dam", "/Agencies", INBOX);
    // Nobody looks by himself: what is placed was rung for.
    let more = "\n[watch]\nlisten = \"127.0.0.1:0\"\npoll = 3600\n";
    append(dir.path(), more);

    let watching = Watching::start(dir.path());
    // The folder is not there yet, so no pass can come to its end.
    watching.wait_for("a reason", || {
        let (code, ready) = watching.ask("/readyz");
        assert_eq!(code, 503, "{ready}");
        ready["reasons"][0]
            .as_str()
            .is_some_and(|why| why.contains("after"))
    });
    assert_eq!(watching.ask("/healthz").0, 200);
    put(&sandbox, "first.tif");
    watching.wait_for("readiness", || watching.ask("/readyz").0 == 200);
    watching.wait_for("the first file", || has(&sandbox, "first.tif"));

    let is_listening = || watching.ask("/status").1["flows"][0]["why"] == "waits for changes";
    watching.wait_for("a listener", is_listening);
    for name in ["second.tif", "third.tif"] {
        put(&sandbox, name);
        let put_at = Instant::now();
        watching.wait_for(name, || has(&sandbox, name));
        let took = put_at.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        watching.wait_for("the pass to end", is_listening);
        sandbox.dropbox().reset_cursors().unwrap();
    }
    let (_, status) = watching.ask("/status");
    assert_eq!(status["ready"], true);
    assert_eq!(status["flows"][0]["flow"], "move");
    assert!(status["flows"][0]["complete_as_of"].is_string(), "{status}");
    let (code, _, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");

    put(&sandbox, "fourth.tif");
    let watching = Watching::start(dir.path());
    watching.wait_for("the fourth file", || has(&sandbox, "fourth.tif"));
    watching.wait_for("readiness", || watching.ask("/readyz").0 == 200);
    assert_eq!(watching.stop().0, Some(0));
    let placed = sandbox.celum().assets();
    for name in ["first.tif", "second.tif", "third.tif", "fourth.tif"] {
        let named = placed.iter().filter(|asset| asset.filename == name);
        assert_eq!(named.count(), 1, "{name}");
    }
    // What found nothing to do left no run behind.
    let runs = run(dir.path(), &["--json", "status"]).expect(0);
    assert_eq!(runs.records("run").len(), 4, "{}", runs.stdout);
}

#[test]
fn a_configuration_that_is_not_in_order_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    crate::plans::folders(dir.path(), "");
    append(dir.path(), "\n[watch]\npoll = 1\n");
    let good = fs::read_to_string(dir.path().join("windlass.toml")).unwrap();
    let nas = dir.path().join("nas");
    let watching = Watching::start(dir.path());
    watching.wait_until_said("move: 3 placed");

    append(dir.path(), "\n[watch.flow.moev]\npriority = \"high\"\n");
    watching.signal("HUP");
    watching.wait_until_said("the old one goes on");
    watching.wait_until_said("did you mean \"move\"?");
    fs::write(nas.join("d.tif"), "four").unwrap();
    watching.wait_until_said("move: 1 placed");

    // From now on only at a time that is far away.
    let scheduled = "\n[watch.flow.move]\nwindows = [\"00:00-24:00 off\"]\n";
    fs::write(dir.path().join("windlass.toml"), good + scheduled).unwrap();
    watching.signal("HUP");
    watching.wait_until_said("the configuration was read again");
    let before = watching.said();
    fs::write(nas.join("e.tif"), "five").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(watching.said(), before);
    assert_eq!(watching.stop().0, Some(0));
}

#[test]
fn what_is_in_flight_when_it_is_stopped_is_let_go_in_time_and_goes_on_later() {
    let (_runtime, sandbox) = services(19);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("nas")).unwrap();
    write_config(dir.path(), &sandbox, "nas", "studio", "", "/Out");
    // At this rate it takes more than half a minute.
    let more = "\n[watch]\ndrain = 6\nwindows = [\"00:00-24:00 at most 1 MB/s\"]\n";
    append(dir.path(), more);
    let film: Vec<u8> = (0..40_u32 << 20).map(|byte| (byte / 251) as u8).collect();
    fs::write(dir.path().join("nas/film.mov"), &film).unwrap();
    let watching = Watching::start(dir.path());
    watching.wait_for("a part", || sandbox.dropbox().bytes_received() > 4 << 20);
    let (code, took, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(sandbox.dropbox().bytes_received() < film.len() as u64);

    run(dir.path(), &["run", "move"]).expect(0);
    assert_eq!(sandbox.dropbox().bytes_received_again(), 0);
    let placed = sandbox.dropbox().tree();
    let placed = placed.iter().filter_map(|entry| entry.file.as_ref());
    let sizes: Vec<u64> = placed.map(|file| file.size).collect();
    assert_eq!(sizes, [film.len() as u64]);
}

#[test]
fn a_picture_that_is_saved_while_a_film_moves_does_not_wait_for_its_end() {
    let (_runtime, sandbox) = services(29);
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &sandbox, "studio", "dam", "/Agencies", INBOX);
    // The film takes a minute at this rate, and nobody looks by himself.
    let more = "\n[watch]\nlisten = \"127.0.0.1:0\"\npoll = 3600\n\
                windows = [\"00:00-24:00 at most 1 MB/s\"]\n";
    append(dir.path(), more);
    let film = vec![7_u8; 60 << 20];
    let dropbox = sandbox.dropbox();
    dropbox
        .put_file("/Agencies/film.mov", film.into(), None)
        .unwrap();
    let watching = Watching::start(dir.path());
    watching.wait_for("a pass at work", || {
        watching.flow()["progress"]["bytes_there"].as_u64() > Some(0)
    });
    put(&sandbox, "picture.tif");
    watching.wait_for("the picture", || has(&sandbox, "picture.tif"));
    assert!(!has(&sandbox, "film.mov"), "{}", watching.said());
    let (code, _, said) = watching.stop();
    assert_eq!(code, Some(0), "{said}");

    // Both are of one run, which goes on.
    let told = run(dir.path(), &["status", "--json"]).expect(0);
    assert_eq!(told.records("run").len(), 1, "{}", told.stdout);
    run(dir.path(), &["run", "move"]).expect(0);
    assert!(has(&sandbox, "film.mov"));
    let of_picture = sandbox.celum().assets().into_iter();
    let of_picture = of_picture.filter(|asset| asset.filename == "picture.tif");
    assert_eq!(of_picture.count(), 1);
}

#[test]
fn a_flow_that_is_not_there_is_refused_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    crate::plans::folders(dir.path(), "");
    let refused = run(dir.path(), &["watch", "moev"]).expect(2);
    assert!(
        refused.stderr.contains("did you mean \"move\"?"),
        "{}",
        refused.stderr
    );
}

/// A port of loopback that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn status_shows_what_the_daemon_does_what_waits_and_what_comes_next() {
    let (_runtime, sandbox) = services(23);
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &sandbox, "studio", "dam", "/Agencies", INBOX);
    let port = free_port();
    let more = format!(
        "\n[watch]\nlisten = \"0.0.0.0:{port}\"\npoll = 3600\nwindows = [\"00:00-24:00 at most 2 MB/s\"]\n"
    );
    append(dir.path(), &more);
    put(&sandbox, "first.tif");
    let dropbox = sandbox.dropbox();
    dropbox
        .put_file("/Agencies/empty.tif", Vec::new().into(), None)
        .unwrap();
    // So large that the pass is met while it runs.
    let film = vec![7_u8; 24 << 20];
    dropbox
        .put_file("/Agencies/film.mov", film.into(), None)
        .unwrap();

    let watching = Watching::start(dir.path());
    watching.wait_until_said("answering at http://");
    let status = |args: &[&str]| run(dir.path(), &[&["status", "--flow", "move"], args].concat());
    let mut met = serde_json::Value::Null;
    watching.wait_for("a pass at work", || {
        met = status(&["--json"]).expect(0).records("flow").remove(0);
        met["progress"]["bytes_there"]
            .as_u64()
            .is_some_and(|there| there > 0)
    });
    assert_eq!(met["doing"], "running", "{met}");
    assert_eq!(met["progress"]["stage"], "working", "{met}");
    assert_eq!(met["progress"]["steps"], 2, "{met}");
    assert_eq!(met["rate"]["at-most"], 2_000_000, "{met}");
    let shown = status(&[]).expect(0);
    assert!(
        shown.stdout.contains("move: a full pass runs\n"),
        "{}",
        shown.stdout
    );
    // Not ready is no failure, except for who asks about it.
    assert_eq!(status(&["--check"]).code, Some(1));

    // Also what rang while the first pass ran has been looked at then.
    watching.wait_for("rest", || watching.flow()["why"] == "waits for changes");
    let told = status(&["--json", "--check"]).expect(0);
    let daemon = told.records("daemon").remove(0);
    assert_eq!(daemon["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(
        (&daemon["answers"], &daemon["ready"]),
        (&true.into(), &true.into())
    );
    let flow = told.records("flow").remove(0);
    assert_eq!(flow["flow"], "move");
    assert_eq!(flow["last"]["done"], true, "{flow}");
    assert_eq!(flow["next_is"], "full", "{flow}");
    assert_eq!(flow["backlog"]["held"], 1, "{flow}");
    assert!(flow["complete_as_of"].is_string(), "{flow}");
    assert!(flow.get("progress").is_none(), "{flow}");
    assert!(!told.records("run").is_empty(), "{}", told.stdout);
    let shown = status(&[]).expect(0).stdout;
    for line in [
        "\nready\n",
        "\nmove: waits for changes\n",
        ": everything is looked at again\n",
        "  window     at most 1.9 MiB/s\n",
        "  held back  1 file\n             1: ",
        "\nrun ",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let other = run(dir.path(), &["status", "--flow", "other"]).expect(0);
    assert!(!other.stdout.contains("move: "), "{}", other.stdout);
    assert_eq!(watching.stop().0, Some(0));
}

#[test]
fn a_pass_that_holds_what_the_one_before_held_leaves_no_run_behind() {
    let (_runtime, sandbox) = services(31);
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &sandbox, "studio", "dam", "/Agencies", INBOX);
    append(
        dir.path(),
        "\n[watch]\nlisten = \"127.0.0.1:0\"\npoll = 3600\n",
    );
    let dropbox = sandbox.dropbox();
    let hold = |name: &str| {
        let path = format!("/Agencies/{name}.tif");
        dropbox.put_file(&path, Vec::new().into(), None).unwrap();
    };
    hold("empty");
    let watching = Watching::start(dir.path());
    let runs = || {
        let told = run(dir.path(), &["status", "--json"]).expect(0);
        told.records("run").len()
    };
    let next_pass = |before: &serde_json::Value| {
        watching.wait_for("the next pass", || {
            let flow = watching.flow();
            flow["why"] == "waits for changes" && flow["last"]["began"] != *before
        });
        watching.flow()["last"]["began"].clone()
    };
    let mut last = next_pass(&serde_json::Value::Null);
    assert_eq!(runs(), 1);
    for number in 0..3 {
        dropbox.put_folder(&format!("/Agencies/{number}")).unwrap();
        last = next_pass(&last);
    }
    assert_eq!(runs(), 1, "nothing is new");
    hold("second");
    last = next_pass(&last);
    assert_eq!(runs(), 2, "one more is held");
    put(&sandbox, "whole.tif");
    watching.wait_for("the file", || has(&sandbox, "whole.tif"));
    last = next_pass(&last);
    dropbox.put_folder("/Agencies/last").unwrap();
    next_pass(&last);
    assert_eq!(runs(), 3, "{}", watching.said());
    assert_eq!(watching.flow()["backlog"]["held"], 2);
    assert_eq!(watching.stop().0, Some(0));
}

#[test]
fn where_no_daemon_answers_status_says_so_within_its_time_and_has_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    crate::plans::folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    let before = run(dir.path(), &["status"]).expect(0);
    assert_eq!(before.stderr, "");
    let refused = run(dir.path(), &["status", "--check"]).expect(2);
    assert!(
        refused.stderr.contains("watch.listen"),
        "{}",
        refused.stderr
    );

    // Whoever has the port takes the call and says nothing, or something else, or is not there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    append(dir.path(), &format!("\n[watch]\nlisten = \"{address}\"\n"));
    let began = Instant::now();
    let asked = run(dir.path(), &["status"]).expect(0);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(asked.stdout, before.stdout);
    let said = format!("no daemon answers at http://{address}: nothing was heard for 2 s\n");
    assert_eq!(asked.stderr, said);

    let other = std::thread::spawn(move || {
        // The call that was given up is in the queue as well.
        for stream in silent.incoming().take(2) {
            let mut stream = stream.unwrap();
            // What is not read when it is closed would take the answer with it.
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let asked = run(dir.path(), &["status"]).expect(0);
    assert!(
        asked.stderr.contains("no daemon of this version"),
        "{}",
        asked.stderr
    );
    assert_eq!(asked.stdout, before.stdout);
    other.join().unwrap();

    let asked = run(dir.path(), &["--json", "status", "--check"]).expect(1);
    let daemon = asked.records("daemon").remove(0);
    assert_eq!(daemon["answers"], false);
    let why = daemon["message"].as_str().unwrap();
    assert!(why.contains("refused"), "{why}");
    assert_eq!(asked.records("run").len(), 1);
}
