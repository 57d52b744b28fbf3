//! One instance at work: what it may ask of the host, what it may use up, and why it was stopped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use wasmtime::{ResourceLimiter, Trap};
use windlass_core::{Origin, Ruling, Verdict};

use crate::options::{
    HOST_CALLS_BASE, HOST_CALLS_PER_ASSET, HostOptions, LOG_LINE_BYTES_MAX, LOG_LINES_MAX,
};
use crate::tables::{Lookup, Missing, Tables};

/// How much a line of a guest's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Whose statements a guest is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    by_origin: [bool; Origin::ALL.len()],
}

impl Granted {
    pub(crate) fn of(origins: &[Origin]) -> Self {
        Granted {
            by_origin: Origin::ALL.map(|origin| origins.contains(&origin)),
        }
    }

    pub(crate) fn has(self, origin: Origin) -> bool {
        let place = Origin::ALL.iter().position(|known| *known == origin);
        place.is_some_and(|place| self.by_origin[place])
    }
}

/// What becomes of a guest's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Its first lines are passed on.
    Kept,
    /// It is dropped without a word: whoever measures would measure the writing.
    Dropped,
}

/// The state of one instance's store.
pub(crate) struct Guest {
    pub(crate) log: Log,
    pub(crate) granted: Granted,
    /// What it looked up and found, if that is to be kept.
    pub(crate) lookups: Option<Vec<Lookup>>,
    limits: Limits,
    tables: Arc<Tables>,
    today: Date,
    plugin: Arc<str>,
    calls_left: u64,
    lines: u32,
    dropped_lines: u64,
    /// The last line logged as an error: where the SDK puts a panic's message.
    last_error: Option<String>,
}

impl Guest {
    /// The state for a batch of `assets`.
    pub(crate) fn new(
        options: &HostOptions,
        tables: Arc<Tables>,
        today: Date,
        plugin: Arc<str>,
        granted: Granted,
        assets: usize,
    ) -> Self {
        Guest {
            log: Log::Kept,
            granted,
            lookups: None,
            limits: Limits {
                memory_bytes: options.memory_bytes,
                table_elements: options.table_elements,
                held_bytes: 0,
            },
            tables,
            today,
            plugin,
            calls_left: HOST_CALLS_BASE + HOST_CALLS_PER_ASSET * assets as u64,
            lines: 0,
            dropped_lines: 0,
            last_error: None,
        }
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }

    /// Linear memory that the instance holds, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.limits.held_bytes
    }

    /// Says how much of the log was dropped, once, at the end of a batch.
    pub(crate) fn report_dropped_lines(&self) {
        if self.dropped_lines > 0 {
            let (plugin, dropped) = (&*self.plugin, self.dropped_lines);
            tracing::warn!(
                plugin,
                dropped,
                "the plugin logs too much; lines were dropped"
            );
        }
    }

    /// Turns what stopped the guest into a [`Stop`].
    pub(crate) fn stopped_by(&self, error: &wasmtime::Error, options: &HostOptions) -> Stop {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return stop.clone();
        }
        let text = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Stop::Fuel,
            Some(Trap::Interrupt) => Stop::WallClock {
                limit: options.wall_clock,
            },
            Some(Trap::UnreachableCodeReached) => Stop::Trapped {
                message: self.last_error.clone().unwrap_or_else(|| {
                    format!(
                        "{text}; it logged no error before: in JavaScript and Python that is mostly an answer that is not \
                         of the shape that wit/v1 asks for"
                    )
                }),
            },
            Some(trap) => Stop::Trapped {
                message: trap.to_string(),
            },
            // The type of this one is private to wasmtime; a test holds the text.
            None if text.contains("hostcalls has been exhausted") => Stop::Output {
                limit_bytes: options.output_bytes,
            },
            None => Stop::Unreadable { message: text },
        }
    }

    /// Passes a line on, up to the limits of a batch.
    pub(crate) fn write_log(&mut self, level: Level, message: &str) -> wasmtime::Result<()> {
        self.count_call()?;
        let line = one_line(message, LOG_LINE_BYTES_MAX);
        if level == Level::Error {
            self.last_error = Some(line.clone());
        }
        if self.log == Log::Dropped {
            return Ok(());
        }
        if self.lines >= LOG_LINES_MAX {
            self.dropped_lines += 1;
            return Ok(());
        }
        self.lines += 1;
        let plugin = &*self.plugin;
        match level {
            Level::Debug => tracing::debug!(plugin, "{line}"),
            Level::Info => tracing::info!(plugin, "{line}"),
            Level::Warn => tracing::warn!(plugin, "{line}"),
            Level::Error => tracing::error!(plugin, "{line}"),
        }
        Ok(())
    }

    /// A cell of an operator's table; no such key is `None`.
    pub(crate) fn look_up(
        &mut self,
        table: String,
        key: String,
        column: Option<String>,
    ) -> wasmtime::Result<Result<Option<String>, Missing>> {
        self.count_call()?;
        let found = match self.tables.get(&table) {
            None => Err(Missing::Table),
            Some(table) => table.cell(&key, column.as_deref()),
        };
        let found = found.map(|cell| cell.map(str::to_owned));
        if let Some(lookups) = &mut self.lookups {
            lookups.push(Lookup {
                table,
                key,
                column,
                found: found.clone(),
            });
        }
        Ok(found)
    }

    /// The day on which the run started.
    pub(crate) fn day(&mut self) -> wasmtime::Result<Date> {
        self.count_call()?;
        Ok(self.today)
    }

    fn count_call(&mut self) -> wasmtime::Result<()> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or(Stop::HostCalls)?;
        Ok(())
    }
}

/// Cuts a guest's text to `bytes_max` and to one line, so that it cannot forge lines of a log.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text[..end].chars().map(plain).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

/// Memory and tables of one store. What goes beyond traps, with the limit in the message.
struct Limits {
    memory_bytes: usize,
    table_elements: usize,
    /// Of all memories together. Each is told here when it is made and whenever it grows.
    held_bytes: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All memories of the instance together.
        let held = self.held_bytes + desired.saturating_sub(current);
        if held > self.memory_bytes {
            return Err(Stop::Memory {
                limit_bytes: self.memory_bytes,
            }
            .into());
        }
        self.held_bytes = held;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            return Err(Stop::Table {
                limit: self.table_elements,
            }
            .into());
        }
        Ok(true)
    }
}

/// Why a guest did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Trapped {
        message: String,
    },
    Fuel,
    WallClock {
        limit: Duration,
    },
    Memory {
        limit_bytes: usize,
    },
    Table {
        limit: usize,
    },
    Output {
        limit_bytes: usize,
    },
    HostCalls,
    /// The wrong number of answers.
    Count {
        asked: usize,
        answered: usize,
    },
    /// Others of its batch failed for so long that this one's turn never came.
    Search {
        limit: Duration,
    },
    /// Answers that break the component model's own rules: bad text, bad pointers.
    Unreadable {
        message: String,
    },
}

impl Stop {
    /// The limit or rule that was broken, in the words that reports show.
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            Stop::Trapped { .. } => "plugin trapped",
            Stop::Fuel => "limit: work",
            Stop::WallClock { .. } => "limit: wall clock",
            Stop::Memory { .. } => "limit: memory",
            Stop::Table { .. } => "limit: table",
            Stop::Output { .. } => "limit: output",
            Stop::HostCalls => "limit: host calls",
            Stop::Count { .. } => "contract: one answer an asset",
            Stop::Search { .. } => "limit: search",
            Stop::Unreadable { .. } => "contract: readable answers",
        }
    }

    /// The verdict on the asset that made a plugin fail.
    pub(crate) fn verdict<T>(&self) -> Verdict<T> {
        Verdict::Held {
            reason: self.to_string(),
            rule: self.rule().to_owned(),
        }
    }

    /// The ruling on the release that made a plugin fail.
    pub(crate) fn ruling(&self) -> Ruling {
        Ruling::held(self.to_string(), self.rule())
    }

    /// Whether the same input would stop the guest again, on any machine.
    pub(crate) fn is_deterministic(&self) -> bool {
        !matches!(self, Stop::WallClock { .. } | Stop::Search { .. })
    }
}

/// Whether a hold's rule says that the plugin failed, rather than what it thinks of the asset.
pub(crate) fn is_failure(rule: &str) -> bool {
    rule == "plugin trapped" || rule.starts_with("limit: ") || rule.starts_with("contract: ")
}

impl std::error::Error for Stop {}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Trapped { message } => write!(f, "the plugin failed: {message}"),
            Stop::Fuel => f.write_str("the plugin used up the work that it is allowed"),
            Stop::WallClock { limit } => write!(f, "the plugin took longer than {limit:?}"),
            Stop::Memory { limit_bytes } => {
                let mib = limit_bytes >> 20;
                write!(
                    f,
                    "the plugin wants more than the {mib} MiB of memory that it is allowed"
                )
            }
            Stop::Table { limit } => {
                write!(f, "the plugin wants a table of more than {limit} elements")
            }
            Stop::Output { limit_bytes } => {
                let kib = limit_bytes >> 10;
                write!(f, "the plugin handed over more than {kib} KiB at once")
            }
            Stop::HostCalls => f.write_str("the plugin called the host more often than allowed"),
            Stop::Count { asked, answered } => {
                write!(f, "the plugin gave {answered} answers for {asked} assets")
            }
            Stop::Search { limit } => write!(
                f,
                "the plugin failed on so many assets that {limit:?} were over first"
            ),
            Stop::Unreadable { message } => {
                write!(f, "the plugin's answer is unreadable: {message}")
            }
        }
    }
}
