//! The edges: data on stdout, talk on stderr. Nothing else in the program prints.

#![expect(clippy::print_stderr, reason = "this is the one place that talks")]

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use windlass_core::{Error, Kind, Result};

/// Where data and talk go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    /// Data as JSON, one value a line.
    pub(crate) json: bool,
    /// No talk but errors.
    pub(crate) quiet: bool,
}

impl Out {
    /// Prints data. A reader that went away ends the program quietly: that is no failure.
    pub(crate) fn data(self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| {
                if text.ends_with('\n') {
                    Ok(())
                } else {
                    stdout.write_all(b"\n")
                }
            })
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                Err(Error::new(Kind::Capacity, "the output cannot be written").with_source(error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Prints one value as a line of JSON.
    pub(crate) fn line<T: Serialize>(self, value: &T) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|error| {
            Error::new(Kind::Unexpected, "a value cannot be written as JSON").with_source(error)
        })?;
        self.data(&text)
    }

    /// Prints one value as a line of JSON that says what it is: `record` is added to its members.
    pub(crate) fn record<T: Serialize>(self, record: &str, value: &T) -> Result<()> {
        #[derive(Serialize)]
        struct Record<'a, T> {
            record: &'a str,
            #[serde(flatten)]
            value: &'a T,
        }
        self.line(&Record { record, value })
    }

    /// Says something to the person.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// True when progress bars make sense.
    pub(crate) fn draws(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Shows an error: one sentence with its causes, then the hint.
    pub(crate) fn error(self, error: &Error) {
        if self.json {
            let value = serde_json::json!({
                "record": "error",
                "error": error.kind().code(),
                "message": error.chain(),
                "hint": error.hint(),
            });
            // The exit code tells of the failure even when stdout is gone.
            drop(self.line(&value));
        }
        eprintln!("error: {}", error.chain());
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
    }
}
