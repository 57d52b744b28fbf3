//! Running the binary, bounded in time.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a finished program left.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The values of stdout, one a line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The values of one record kind.
    pub(crate) fn records(&self, record: &str) -> Vec<serde_json::Value> {
        self.json()
            .into_iter()
            .filter(|value| value["record"] == record)
            .collect()
    }

    /// What a demo printed about one of its chapters, by the chapter's flow; the first of them.
    pub(crate) fn chapter(&self, flow: &str) -> Finished {
        let is_chapter = |line: &&str| line.contains("\"record\":\"chapter\"");
        let begins =
            |line: &&str| is_chapter(line) && line.contains(&format!("\"flow\":\"{flow}\""));
        let lines = self.stdout.lines().skip_while(|line| !begins(line)).skip(1);
        let lines: Vec<&str> = lines.take_while(|line| !is_chapter(line)).collect();
        Finished {
            code: self.code,
            stdout: lines.join("\n"),
            stderr: String::new(),
        }
    }

    /// Fails unless the program ended with this code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// The binary with an environment in which nothing of the caller's configuration leaks in.
pub(crate) fn windlass(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WINDLASS") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Finished {
    finish(windlass(dir).args(args))
}

/// Runs a prepared command to its end; it is ended by force after five minutes.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(child)
}

fn wait(mut child: Child) -> Finished {
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let status = end_within(&mut child, Duration::from_secs(300));
    Finished {
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn end_within(child: &mut Child, limit: Duration) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            panic!("the program did not end within {limit:?}: {status}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A sandbox that serves until it is dropped.
pub(crate) struct Served {
    child: Child,
    /// The line of JSON that it printed.
    pub(crate) endpoints: serde_json::Value,
}

impl Served {
    /// Starts `windlass sandbox --json` with further arguments, and waits until it serves.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Served {
        let mut child = windlass(dir)
            .args(["sandbox", "--json", "--quiet"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        Served {
            child,
            endpoints: value["endpoints"].clone(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only a process that this test started, by its handle.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
