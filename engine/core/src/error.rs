//! One error for every crate edge: a kind for the program, a sentence for the person, a hint for
//! the next step.
//!
//! Precise enums stay inside the crate that needs them and become this type where they leave it.
//! Retry logic reads [`Status`] and nothing else; the command line renders message, cause and hint.

use std::fmt;
use std::time::Duration;

/// Shorthand for results that cross a crate edge.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to branch on and stable enough to show in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A bug here or an answer nobody documented.
    Unexpected,
    /// The endpoint or this build cannot do what was asked.
    Unsupported,
    /// The configuration is wrong or incomplete.
    Config,
    /// The far side refused a value: a field, a name, a size.
    InvalidInput,
    /// The thing named does not exist, or is hidden from this credential.
    NotFound,
    /// Something else is already there, or it changed under us.
    Conflict,
    /// The credential may not do this.
    Denied,
    /// The credential is missing, wrong or expired beyond refreshing.
    Unauthenticated,
    /// The content was taken down by law or policy: never retried on its own.
    Restricted,
    /// Rights do not allow it at this moment.
    Blocked,
    /// The service asked us to slow down.
    Limited,
    /// Quota, disk or plan is exhausted.
    Capacity,
    /// The source changed, shrank or vanished while it was read.
    SourceChanged,
    /// Digests or sizes that must agree do not.
    Integrity,
    /// A request may or may not have taken effect; look before repeating it.
    Ambiguous,
    /// The service or the network is not there right now.
    Unavailable,
    /// A change cursor is no longer valid: list again.
    CursorReset,
    /// A plugin trapped, exceeded a limit or answered nonsense.
    Plugin,
    /// The ledger file is damaged or not a ledger.
    Corrupt,
    /// The user or a deadline stopped the work.
    Cancelled,
}

impl Kind {
    /// The stable code shown in JSON, logs and reports.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Unexpected => "unexpected",
            Kind::Unsupported => "unsupported",
            Kind::Config => "config",
            Kind::InvalidInput => "invalid-input",
            Kind::NotFound => "not-found",
            Kind::Conflict => "conflict",
            Kind::Denied => "denied",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Restricted => "restricted",
            Kind::Blocked => "blocked",
            Kind::Limited => "limited",
            Kind::Capacity => "capacity",
            Kind::SourceChanged => "source-changed",
            Kind::Integrity => "integrity",
            Kind::Ambiguous => "ambiguous",
            Kind::Unavailable => "unavailable",
            Kind::CursorReset => "cursor-reset",
            Kind::Plugin => "plugin",
            Kind::Corrupt => "corrupt",
            Kind::Cancelled => "cancelled",
        }
    }

    /// What a kind means for trying again unless the raiser knows better.
    fn usual_status(self) -> Status {
        match self {
            Kind::Limited | Kind::Unavailable | Kind::Ambiguous | Kind::SourceChanged => {
                Status::Temporary
            }
            _ => Status::Permanent,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Whether trying again can help. This is all that retry reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Trying again gives the same answer.
    Permanent,
    /// Trying again may succeed.
    Temporary,
    /// It was temporary and tries ran out.
    Persistent,
}

/// The error of every crate edge. One pointer wide, so results stay small.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    status: Status,
    message: String,
    hint: Option<String>,
    context: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with the usual status of its kind. `message` is one sentence without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            status: kind.usual_status(),
            message: message.into(),
            hint: None,
            context: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// Adds what the person can do next: which key, which variable, which file.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a named circumstance (operation, path, request id). Earlier ones are kept.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Keeps the underlying error; its text is part of [`Error::chain`].
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Overrides the status that the kind would have by itself.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.0.status = status;
        self
    }

    /// Records how long the far side asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Marks a temporary error as one whose tries ran out; others are unchanged.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        if self.0.status == Status::Temporary {
            self.0.status = Status::Persistent;
        }
        self
    }

    /// What went wrong, to branch on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// True while another try may succeed.
    pub fn is_temporary(&self) -> bool {
        self.0.status == Status::Temporary
    }

    /// The sentence for the person, without context, cause or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the person can do next, if anybody knew.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The circumstances, in the order they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// How long the far side asked us to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Message, context and causes in one line, for logs and reports. The hint is left out.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            let open = if index == 0 { " (" } else { ", " };
            write!(f, "{open}{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{:?}]: {}", self.0.kind, self.0.status, self.chain())?;
        if let Some(hint) = &self.0.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
