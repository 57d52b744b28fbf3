//! What is measured is what is there: work and memory are exact, times are only in order.

use std::fs;
use std::time::Duration;

use windlass_core::Kind;

use super::*;
use crate::Benched;

fn bench(options: HostOptions, path: &str) -> windlass_core::Result<Benched> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.toml");
    fs::write(&file, format!("[[case]]\nname = 'a'\npath = '{path}'\n")).unwrap();
    let host = PluginHost::new(options).unwrap();
    host.bench(misbehaving(), &[file], Duration::ZERO)
}

#[test]
fn work_and_memory_are_the_same_on_every_run() {
    let (first, second) = (bench(small(), "/a").unwrap(), bench(small(), "/a").unwrap());
    let exact = |benched: &Benched| -> Vec<_> {
        let batches = benched.batches.iter();
        batches
            .map(|b| (b.assets, b.calls, b.asset_fuel_max, b.memory_bytes))
            .collect()
    };
    assert_eq!(exact(&first), exact(&second));
    let [one, many] = first.batches.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!((one.assets, many.assets), (1, 256));
    for batches in [one, many] {
        assert!(batches.calls >= 100);
        assert!(
            batches.asset_fuel_max > 0 && batches.start_p50_ns > 0,
            "{batches:?}"
        );
        assert!(batches.start_p50_ns <= batches.p99_ns && batches.p50_ns <= batches.p99_ns);
        // A WebAssembly page at the least, the limit at the most.
        let range = (64 << 10)..=(small().memory_bytes as u64);
        assert!(range.contains(&batches.memory_bytes), "{batches:?}");
    }
    assert!(first.load_cached_ns.is_some());
    assert_eq!(first.size_bytes, fs::metadata(misbehaving()).unwrap().len());
}

#[test]
fn what_an_instance_holds_is_counted() {
    let options = || HostOptions {
        memory_bytes: 64 << 20,
        output_bytes: 8 << 20,
        ..small()
    };
    let light = bench(options(), "/a").unwrap();
    // An answer of 1 MiB is made in the guest's memory.
    let host = PluginHost::new(options()).unwrap();
    let plugin = host.load(misbehaving(), load_options()).unwrap();
    let heavy = plugin
        .run_once(&crate::question::Describe, &assets(&["/large"]))
        .unwrap();
    let more = heavy.memory_bytes as u64 - light.batches[0].memory_bytes;
    assert!((1 << 20..4 << 20).contains(&more), "{more}");
}

#[test]
fn without_a_cache_nothing_is_said_of_one() {
    let options = HostOptions {
        cache_dir: None,
        ..small()
    };
    assert_eq!(bench(options, "/a").unwrap().load_cached_ns, None);
}

#[test]
fn a_plugin_that_fails_has_no_figures() {
    let error = bench(small(), "/trap").unwrap_err();
    assert_eq!(error.kind(), Kind::Plugin);
    assert!(error.chain().contains("told to trap by /trap"), "{error:?}");
}

#[test]
fn every_case_is_measured_and_the_dearest_counts() {
    let work = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cases.toml");
        fs::write(&file, text).unwrap();
        let host = PluginHost::new(small()).unwrap();
        let benched = host.bench(misbehaving(), &[file], Duration::ZERO).unwrap();
        benched.batches[0].asset_fuel_max
    };
    let case = |path: &str| format!("[[case]]\nname = '{path}'\npath = '{path}'\n");
    let (cheap, dear) = (case("/a"), case(&format!("/{}", "a".repeat(500))));
    assert!(work(&cheap) < work(&dear));
    assert_eq!(work(&format!("{cheap}{dear}")), work(&dear));
    assert_eq!(work(&format!("{dear}{cheap}")), work(&dear));
}
