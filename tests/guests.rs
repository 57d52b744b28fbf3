//! The plugins' own workspace: its tests are part of this one's, so that one command runs them all. A program of its own,
//! because it compiles with all processors, which tests that count calls of a busy sandbox would feel.

use std::path::Path;
use std::process::Command;

#[test]
fn the_plugins_own_tests_pass() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--locked", "--manifest-path"])
        .arg(manifest)
        // What cargo tells the tests of this workspace is not meant for that one.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let passed: u32 = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|line| line.split(' ').next()?.parse::<u32>().ok())
        .sum();
    assert!(passed >= 10, "only {passed} tests ran:\n{stdout}");
}
