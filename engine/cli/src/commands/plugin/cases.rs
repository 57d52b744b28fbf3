//! `windlass plugin test` and `bench`: a plugin is run on its own cases, and measured on them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use windlass_core::{Error, Kind, Result};
use windlass_plugin::{Benched, CaseOutcome, PluginHost, TestedCase, TestedFile, case_files};

use super::{authors_host, component_of};
use crate::args::{PluginArgs, PluginBenchArgs, PluginTestArgs};
use crate::commands::Ended;
use crate::out::Out;
use crate::text;

/// A component, the files of its cases, and a host for them.
async fn prepared(args: &PluginArgs, out: Out) -> Result<(PathBuf, Vec<PathBuf>, PluginHost)> {
    let component = component_of(&args.plugin, out).await?;
    // Whoever mistyped the plugin has no use for a word about cases.
    if !component.is_file() {
        let message = format!("cannot read the plugin {}", component.display());
        return Err(Error::new(Kind::NotFound, message)
            .with_hint("name a plugin's source folder, or a component file"));
    }
    let home = match args.plugin.is_dir() {
        true => &*args.plugin,
        false => args.plugin.parent().unwrap_or(Path::new("")),
    };
    let cases = args.cases.clone().unwrap_or_else(|| home.join("cases"));
    Ok((component, case_files(&cases)?, authors_host(out)?))
}

/// Runs a plugin's cases.
pub(crate) async fn test(args: &PluginTestArgs, out: Out) -> Result<Ended> {
    let (component, files, host) = prepared(&args.plugin, out).await?;
    let started = Instant::now();
    let tested = host.test(&component, &files, args.bless).await?;
    let tally = Tally::of(&tested, started.elapsed().as_millis());
    if out.json {
        for file in &tested {
            out.record("cases", file)?;
        }
        out.record("tested", &tally)?;
    } else {
        for file in &tested {
            out.data(&file_lines(file))?;
        }
        out.data(&tally.sentence())?;
        if tally.differ > 0 && !args.bless {
            out.say("where what came is right, `--bless` writes it into the cases");
        }
    }
    Ok(match tally.differ + tally.problems {
        0 => Ended::Done,
        _ => Ended::WithFailures,
    })
}

/// How many cases went how.
#[derive(Default, Serialize)]
struct Tally {
    hold: usize,
    differ: usize,
    blessed: usize,
    problems: usize,
    milliseconds: u128,
}

impl Tally {
    fn of(tested: &[TestedFile], milliseconds: u128) -> Tally {
        let mut tally = Tally {
            problems: tested.iter().filter(|file| file.problem.is_some()).count(),
            milliseconds,
            ..Tally::default()
        };
        for case in tested.iter().flat_map(|file| &file.cases) {
            match case.outcome {
                CaseOutcome::Holds => tally.hold += 1,
                CaseOutcome::Differs { .. } => tally.differ += 1,
                CaseOutcome::Blessed { .. } => tally.blessed += 1,
            }
        }
        tally
    }

    fn sentence(&self) -> String {
        let all = self.hold + self.differ + self.blessed;
        let mut sentence = format!("{} of {all} cases hold", self.hold);
        for (count, what) in [
            (self.blessed, "blessed"),
            (self.problems, "files with a problem"),
        ] {
            if count > 0 {
                sentence.push_str(&format!(", {what}: {count}"));
            }
        }
        format!("{sentence} ({} ms)", self.milliseconds)
    }
}

/// A file's own line, then what differs in it.
fn file_lines(file: &TestedFile) -> String {
    let path = file.file.display();
    let mut lines = String::new();
    if let Some(problem) = &file.problem {
        lines.push_str(&format!("{path}: {}\n", problem.trim_end()));
    }
    if !file.cases.is_empty() {
        let outcomes = file.cases.iter().map(|case| &case.outcome);
        let hold = outcomes.filter(|outcome| **outcome == CaseOutcome::Holds);
        let (hold, all) = (hold.count(), file.cases.len());
        lines.push_str(&format!("{path}: {hold} of {all} hold\n"));
    }
    for TestedCase { name, outcome } in &file.cases {
        let (word, difference) = match outcome {
            CaseOutcome::Holds => continue,
            CaseOutcome::Differs { difference } => ("differs", difference),
            CaseOutcome::Blessed { difference } => ("blessed", difference),
        };
        lines.push_str(&format!("  {word}: {name}\n"));
        for line in difference.lines() {
            lines.push_str(&format!("    {line}\n"));
        }
    }
    lines
}

/// Measures a plugin.
pub(crate) async fn bench(args: &PluginBenchArgs, out: Out) -> Result<Ended> {
    let (component, files, host) = prepared(&args.plugin, out).await?;
    let time = args.time;
    let benched = tokio::task::spawn_blocking(move || host.bench(&component, &files, time))
        .await
        .map_err(|error| {
            Error::new(Kind::Unexpected, "measuring ended abnormally").with_source(error)
        })??;
    if out.json {
        out.record("benched", &benched)?;
    } else {
        out.data(&costs(&benched))?;
    }
    Ok(Ended::Done)
}

fn costs(benched: &Benched) -> String {
    let size = windlass_core::ByteSize(benched.size_bytes);
    let compiled = time(benched.compile_ns);
    let loaded = benched.load_cached_ns.map_or_else(String::new, |ns| {
        format!(", loaded in {} once compiled", time(ns))
    });
    let mut table = text::table(
        &[
            "cases",
            "assets",
            "assets/s",
            "p50",
            "p99",
            "instance",
            "start",
            "p50/asset",
            "work/asset",
            "memory",
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    for batches in &benched.batches {
        let file = batches.file.file_name().unwrap_or_default();
        table.add_row(vec![
            file.to_string_lossy().into_owned(),
            batches.assets.to_string(),
            format!("{:.0}", batches.assets_per_second),
            time(batches.p50_ns),
            time(batches.p99_ns),
            time(batches.instance_p50_ns),
            time(batches.start_p50_ns),
            time(batches.asset_p50_ns),
            batches.asset_fuel_max.to_string(),
            windlass_core::ByteSize(batches.memory_bytes).to_string(),
        ]);
    }
    format!(
        "{size}, compiled in {compiled}{loaded}\n\n{}",
        text::lines(&table)
    )
}

/// A time in the unit that suits it.
fn time(nanoseconds: u64) -> String {
    let nanoseconds = nanoseconds as f64;
    match nanoseconds {
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}
