//! Progress for people: bars on a terminal, now and then a line elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use windlass_core::{ByteSize, StepState};
use windlass_flow::{Event, Observer, Stop};

use crate::out::Out;

/// How many current files get a line of their own.
const LINES: usize = 6;

/// How often a line is said where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The observer that fits where stderr goes.
pub(crate) fn observer(out: Out) -> std::sync::Arc<dyn Observer> {
    match (out.draws(), out.quiet) {
        (true, _) => std::sync::Arc::new(Bars::new(out)),
        (false, false) => std::sync::Arc::new(Lines {
            out,
            state: Mutex::new(Sums::default()),
        }),
        (false, true) => std::sync::Arc::new(windlass_flow::Silent),
    }
}

/// The observer of a flow that a daemon keeps going: it says what went wrong, and with which flow.
pub(crate) fn teller(flow: &str, out: Out) -> std::sync::Arc<dyn Observer> {
    std::sync::Arc::new(Teller {
        flow: flow.to_owned(),
        out,
    })
}

#[derive(Debug)]
struct Teller {
    flow: String,
    out: Out,
}

impl Observer for Teller {
    fn observe(&self, event: Event<'_>) {
        let line = match event {
            Event::StepEnded {
                path,
                state,
                message,
                ..
            } => trouble(path.as_str(), state, message),
            Event::Stalled { .. } | Event::Found { .. } => remark(event),
            Event::Waiting { why } => {
                tracing::info!(flow = self.flow, why, "a pass waits");
                None
            }
            _ => None,
        };
        if let Some(line) = line {
            self.out.say(&format!("{}: {line}", self.flow));
        }
    }
}

/// What both kinds keep count of.
#[derive(Debug, Default)]
struct Sums {
    steps: u64,
    bytes: u64,
    ended: u64,
    moved: u64,
    failed: u64,
    said: Option<Instant>,
    /// When it was told last how far looking for duplicates is.
    hashed: Option<Instant>,
    began: Option<Instant>,
}

impl Sums {
    /// How fast bytes move and how long the rest takes at that pace; empty while nothing is known.
    fn pace(&self) -> String {
        let seconds = self
            .began
            .map_or(0.0, |began| began.elapsed().as_secs_f64());
        if self.moved == 0 || seconds < 1.0 {
            return String::new();
        }
        let rate = self.moved as f64 / seconds;
        let left = self.bytes.saturating_sub(self.moved) as f64 / rate;
        format!(
            ", {}/s, about {} left",
            ByteSize(rate as u64),
            indicatif::HumanDuration(Duration::from_secs_f64(left))
        )
    }
}

#[derive(Debug)]
struct Lines {
    out: Out,
    state: Mutex<Sums>,
}

impl Observer for Lines {
    fn observe(&self, event: Event<'_>) {
        let mut sums = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Listed { .. }
            | Event::Audited { .. }
            | Event::Sealing { .. }
            | Event::StepStarted { .. } => {}
            Event::Deciding { assets } => self.out.say(&format!("listed {assets} files")),
            Event::Hashed { assets, bytes } => {
                let recently = sums.hashed.is_some_and(|said| said.elapsed() < SAY_EVERY);
                if !recently {
                    sums.hashed = Some(Instant::now());
                    self.out.say(&hashed(assets, bytes));
                }
            }
            Event::RunStarted {
                run,
                steps,
                bytes,
                resumed,
            } => {
                *sums = Sums {
                    steps,
                    bytes,
                    said: Some(Instant::now()),
                    began: Some(Instant::now()),
                    ..Sums::default()
                };
                self.out
                    .say(&started(&run.to_string(), steps, bytes, resumed));
            }
            Event::StepEnded {
                path,
                state,
                message,
                ..
            } => {
                sums.ended += u64::from(state.is_terminal());
                if let Some(line) = trouble(path.as_str(), state, message) {
                    sums.failed += u64::from(state == StepState::Failed);
                    self.out.say(&line);
                }
            }
            Event::Moved { bytes } => sums.moved += bytes,
            Event::Waiting { why } => self.out.say(why),
            Event::Status(_) => {}
            Event::Stalled { .. } | Event::Found { .. } | Event::Stopping { .. } => {
                if let Some(line) = remark(event) {
                    self.out.say(&line);
                }
            }
        }
        if sums.said.is_some_and(|said| said.elapsed() >= SAY_EVERY) {
            sums.said = Some(Instant::now());
            let line = format!(
                "{} of {} files, {} of {}{}",
                sums.ended,
                sums.steps,
                ByteSize(sums.moved),
                ByteSize(sums.bytes),
                sums.pace(),
            );
            self.out.say(&line);
        }
    }
}

/// How far looking for duplicates is.
fn hashed(assets: u64, bytes: u64) -> String {
    let bytes = ByteSize(bytes);
    format!("looking for duplicates: hashed {assets} files, {bytes}")
}

#[derive(Debug)]
struct Bars {
    multi: MultiProgress,
    out: Out,
    state: Mutex<Drawn>,
}

#[derive(Debug)]
struct Drawn {
    sums: Sums,
    total: ProgressBar,
    files: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn new(out: Out) -> Self {
        let multi = MultiProgress::new();
        let total = multi.add(ProgressBar::new_spinner());
        total.enable_steady_tick(Duration::from_millis(120));
        total.set_style(style("{spinner} {msg}"));
        Bars {
            multi,
            out,
            state: Mutex::new(Drawn {
                sums: Sums::default(),
                total,
                files: BTreeMap::new(),
            }),
        }
    }
}

impl Observer for Bars {
    fn observe(&self, event: Event<'_>) {
        let mut drawn = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Listed { assets } => drawn.total.set_message(format!("listing: {assets} files")),
            Event::Audited { files } => drawn.total.set_message(format!("verified {files} files")),
            Event::Sealing { files, of } => {
                let told = format!("reading back {files} of {of} files to seal the archive");
                drawn.total.set_message(told);
            }
            Event::Hashed { assets, bytes } => drawn.total.set_message(hashed(assets, bytes)),
            Event::Deciding { assets } => {
                drawn
                    .total
                    .set_message(format!("deciding about {assets} files"));
            }
            Event::RunStarted {
                run,
                steps,
                bytes,
                resumed,
            } => {
                self.say(&started(&run.to_string(), steps, bytes, resumed));
                drawn.sums = Sums {
                    steps,
                    bytes,
                    ..Sums::default()
                };
                drawn.total.set_length(bytes);
                drawn.total.set_position(0);
                drawn.total.reset_eta();
                drawn.total.set_style(style(
                    "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} eta {eta}  {msg}",
                ));
                drawn.total.set_message(format!("0/{steps} files"));
            }
            Event::StepStarted { path, size } => self.begin(&mut drawn, path.as_str(), size),
            Event::StepEnded {
                path,
                state,
                message,
                ..
            } => {
                if let Some(bar) = drawn.files.remove(path.as_str()) {
                    bar.finish_and_clear();
                    self.multi.remove(&bar);
                }
                drawn.sums.ended += u64::from(state.is_terminal());
                drawn.sums.failed += u64::from(state == StepState::Failed);
                let message_now = count(&drawn.sums);
                drawn.total.set_message(message_now);
                if let Some(line) = trouble(path.as_str(), state, message) {
                    self.say(&line);
                }
                if drawn.sums.ended == drawn.sums.steps {
                    drawn.total.finish_and_clear();
                }
            }
            Event::Moved { bytes } => drawn.total.inc(bytes),
            Event::Waiting { why } => drawn.total.set_message(why.to_owned()),
            Event::Status(_) => {}
            Event::Stalled { .. } | Event::Found { .. } | Event::Stopping { .. } => {
                if let Some(line) = remark(event) {
                    self.say(&line);
                }
            }
        }
    }
}

impl Bars {
    fn say(&self, line: &str) {
        // Suspends the bars, so that the line is not drawn over.
        self.multi.suspend(|| self.out.say(line));
    }

    fn begin(&self, drawn: &mut Drawn, path: &str, size: u64) {
        if drawn.files.len() >= LINES {
            return;
        }
        let bar = self.multi.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {wide_msg}"));
        bar.set_message(format!("{} {path}", ByteSize(size)));
        bar.enable_steady_tick(Duration::from_millis(200));
        drawn.files.insert(path.to_owned(), bar);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let drawn = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for bar in drawn.files.values().chain([&drawn.total]) {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; one that does not parse falls back to the default look.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn count(sums: &Sums) -> String {
    match sums.failed {
        0 => format!("{}/{} files", sums.ended, sums.steps),
        failed => format!("{}/{} files, {failed} failed", sums.ended, sums.steps),
    }
}

fn started(run: &str, steps: u64, bytes: u64, resumed: bool) -> String {
    let verb = if resumed { "going on with run" } else { "run" };
    format!(
        "{verb} {run}: {} to do, {}",
        crate::text::files(steps),
        ByteSize(bytes)
    )
}

fn trouble(path: &str, state: StepState, message: Option<&str>) -> Option<String> {
    let message = message?;
    let word = match state {
        StepState::Failed => "failed",
        StepState::Held => "held",
        StepState::Open => "trying again",
        StepState::Done | StepState::Skipped | StepState::Leased => return None,
    };
    Some(format!("{word}: {path}: {message}"))
}

/// What is worth a line of its own wherever it is shown.
fn remark(event: Event<'_>) -> Option<String> {
    match event {
        Event::Stalled { path, silent, why } => {
            let seconds = silent.as_secs();
            Some(format!(
                "stalled for {seconds} s, taken up again: {path}: {why}"
            ))
        }
        Event::Found { finding } => Some(format!("{}: {}", finding.subject, finding.message)),
        // Who asked was answered when the signal came.
        Event::Stopping {
            why: why @ Stop::Deadline,
            left,
        } => Some(format!(
            "stopping: {}; what is in flight gets {} s to end",
            why.reason(),
            left.as_secs()
        )),
        _ => None,
    }
}

/// How far reading an archive is: a bar on a terminal, now and then a line elsewhere. May be told from any thread.
#[derive(Debug)]
pub(crate) struct Reading {
    out: Out,
    bar: ProgressBar,
    said: Mutex<Instant>,
}

impl Reading {
    pub(crate) fn new(out: Out) -> Self {
        let bar = match out.draws() {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        bar.set_style(style(
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ));
        Reading {
            out,
            bar,
            said: Mutex::new(Instant::now()),
        }
    }

    /// So many files and bytes were read, of so many each.
    pub(crate) fn show(&self, files: [u64; 2], bytes: [u64; 2]) {
        let [done, total] = files;
        if self.out.draws() {
            self.bar.set_length(bytes[1]);
            self.bar.set_position(bytes[0]);
            self.bar.set_message(format!("{done}/{total} files"));
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= SAY_EVERY {
            *said = Instant::now();
            self.out.say(&format!(
                "verified {done} of {total} files, {} of {}",
                ByteSize(bytes[0]),
                ByteSize(bytes[1])
            ));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner for one long step; invisible where nothing is drawn.
pub(crate) fn spinner(out: Out, message: &'static str) -> ProgressBar {
    if !out.draws() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(style("{spinner} {msg}"));
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// How far making files got.
pub(crate) fn made(files: u64, bytes: u64) -> String {
    format!(
        "making an agency's files: {files} files, {}",
        ByteSize(bytes)
    )
}
