//! `windlass plugin`: build a component, run its cases, measure it, look at it, make its failed calls again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use windlass_core::{Error, Kind, Result};
use windlass_plugin::{
    Benched, Call, CaseOutcome, FailedCall, HostOptions, Inspection, PluginHost, Replayed,
    TestedCase, TestedFile, case_files,
};

use super::Ended;
use crate::args::{InspectArgs, PluginArgs, PluginBenchArgs, PluginTestArgs, ReplayArgs};
use crate::out::Out;
use crate::{text, wiring};

/// Builds a plugin from its source folder.
pub(crate) async fn build(dir: &Path, out: Out) -> Result<Ended> {
    let component = wiring::build(dir.to_owned(), out).await?;
    let bytes = std::fs::read(&component).map_err(|error| {
        Error::new(Kind::Plugin, "the component that was built cannot be read").with_source(error)
    })?;
    let digest = windlass_core::Blake3::of(&bytes);
    if out.json {
        out.line(&serde_json::json!({
            "record": "component", "file": component, "digest": digest, "bytes": bytes.len(),
        }))?;
    } else {
        out.data(&format!(
            "{}\ndigest {digest}, {} bytes",
            component.display(),
            bytes.len()
        ))?;
    }
    Ok(Ended::Done)
}

/// A component, the files of its cases, and a host for them.
async fn prepared(args: &PluginArgs, out: Out) -> Result<(PathBuf, Vec<PathBuf>, PluginHost)> {
    let source = args.plugin.is_dir();
    let component = match source {
        true => wiring::build(args.plugin.clone(), out).await?,
        false => args.plugin.clone(),
    };
    let home = match source {
        true => &*args.plugin,
        false => args.plugin.parent().unwrap_or(Path::new("")),
    };
    let cases = args.cases.clone().unwrap_or_else(|| home.join("cases"));
    Ok((component, case_files(&cases)?, authors_host(out)?))
}

/// A host that keeps compiled code in the user's cache folder, so that only the first call after a build waits for
/// the compiler. Without such a folder each call waits.
fn authors_host(out: Out) -> Result<PluginHost> {
    let options = HostOptions::default();
    let Some(folder) = code_cache() else {
        return PluginHost::new(options);
    };
    let keeping = HostOptions {
        cache_dir: Some(folder),
        ..options.clone()
    };
    PluginHost::new(keeping).or_else(|error| {
        out.say(&format!("compiled plugins are not kept: {}", error.chain()));
        PluginHost::new(options)
    })
}

/// The folder of compiled code for whoever writes plugins.
fn code_cache() -> Option<PathBuf> {
    Some(user_cache()?.join("windlass").join("plugins"))
}

/// Where programs keep what they can make again, by the XDG base directory specification.
fn user_cache() -> Option<PathBuf> {
    let stated = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let stated = stated.filter(|folder| folder.is_absolute());
    stated.or_else(|| Some(std::env::home_dir()?.join(".cache")))
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
            "start",
            "p50/asset",
            "work/asset",
            "memory",
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8],
    );
    for batches in &benched.batches {
        let file = batches.file.file_name().unwrap_or_default();
        table.add_row(vec![
            file.to_string_lossy().into_owned(),
            batches.assets.to_string(),
            format!("{:.0}", batches.assets_per_second),
            time(batches.p50_ns),
            time(batches.p99_ns),
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

/// Makes a failed call again.
pub(crate) async fn replay(args: &ReplayArgs, out: Out) -> Result<Ended> {
    let call = FailedCall::read(&args.file)?;
    let component = match &args.plugin {
        Some(source) if source.is_dir() => Some(wiring::build(source.clone(), out).await?),
        other => other.clone(),
    };
    let (call, replayed) = tokio::task::spawn_blocking(move || {
        let replayed = call.replay(component.as_deref(), code_cache())?;
        Ok::<_, Error>((call, replayed))
    })
    .await
    .map_err(|error| {
        Error::new(Kind::Unexpected, "making the call ended abnormally").with_source(error)
    })??;
    if out.json {
        out.record("replayed", &replayed)?;
    } else {
        out.data(&replayed_lines(&call, &replayed))?;
    }
    Ok(match replayed.stopped {
        None => Ended::Done,
        Some(_) => Ended::WithFailures,
    })
}

fn replayed_lines(call: &FailedCall, replayed: &Replayed) -> String {
    let plugin = &call.plugin;
    let about = match &call.call {
        Call::Start => "while it started".to_owned(),
        Call::Describe { asset } | Call::Route { asset, .. } => format!("on {}", asset.path),
        Call::Decide { release } => {
            format!("on {} for {:?}", release.asset.path, release.audience)
        }
    };
    let mut lines = format!(
        "{} {} failed {about} at {}\n  {}: {}\n",
        plugin.name, plugin.version, call.at, call.stopped.rule, call.stopped.reason
    );
    let whose = match replayed.same_component {
        true => "the same component".to_owned(),
        false => format!("another component ({})", replayed.digest),
    };
    match &replayed.stopped {
        Some(stopped) if *stopped == call.stopped => {
            lines.push_str(&format!("now, {whose}: it fails in the same way"));
        }
        Some(stopped) => lines.push_str(&format!(
            "now, {whose}: it fails in another way\n  {}: {}",
            stopped.rule, stopped.reason
        )),
        None => {
            let answer = replayed.answer.as_ref();
            let answer = answer.and_then(|answer| serde_json::to_string_pretty(answer).ok());
            let answer = answer.filter(|answer| answer != "null").unwrap_or_default();
            lines.push_str(&format!("now, {whose}: it answers\n{answer}"));
        }
    }
    lines.trim_end().to_owned()
}

/// Shows what a component is and whether it would load.
pub(crate) async fn inspect(args: &InspectArgs, out: Out) -> Result<Ended> {
    let file = args.file.clone();
    let inspection = tokio::task::spawn_blocking(move || {
        PluginHost::new(HostOptions::default())?.inspect(&file)
    })
    .await
    .map_err(|error| {
        Error::new(Kind::Unexpected, "inspecting ended abnormally").with_source(error)
    })??;
    if out.json {
        out.line(&inspection)?;
    } else {
        out.data(&describe(&inspection))?;
    }
    Ok(if inspection.problem.is_none() {
        Ended::Done
    } else {
        Ended::WithFailures
    })
}

fn describe(inspection: &Inspection) -> String {
    let mut table = text::table(&[], &[]);
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    };
    row("file", inspection.path.display().to_string());
    row("digest", inspection.digest.to_string());
    row(
        "size",
        windlass_core::ByteSize(inspection.size_bytes).to_string(),
    );
    if let Some((name, version)) = &inspection.identity {
        row("plugin", format!("{name} {version}"));
    }
    row(
        "API",
        inspection
            .shape
            .api_version
            .clone()
            .unwrap_or_else(|| "none".to_owned()),
    );
    let hooks: Vec<_> = inspection.hooks.iter().map(|hook| hook.name()).collect();
    if !hooks.is_empty() {
        row("hooks", hooks.join(", "));
    }
    let asks: Vec<_> = inspection.asks.iter().map(|origin| origin.name()).collect();
    if !asks.is_empty() {
        row("asks for", asks.join(", "));
    }
    row("exports", inspection.shape.exports.join(", "));
    row("imports", inspection.shape.imports.join(", "));
    if let Some(time) = inspection.compile_time {
        row("compiled in", format!("{} ms", time.as_millis()));
    }
    match &inspection.problem {
        None => row("loads", "yes".to_owned()),
        Some(problem) => row("loads", format!("no: {problem}")),
    }
    if let Some(hint) = &inspection.hint {
        row("hint", hint.clone());
    }
    text::lines(&table)
}
