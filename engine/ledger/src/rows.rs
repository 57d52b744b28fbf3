//! Between rows and values: sets as JSON going in, columns coming out.
//!
//! A set travels as one JSON text and is spread by `json_each` inside the statement, or by `jsonb_each` where its
//! elements have members: those stay parsed until each member was taken. Digests travel as hex and become blobs there.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;
use windlass_core::{
    Action, AssetId, AssetPath, Blake3, ContentHash, ContentRecord, Digests, Error, Evidence, Hold,
    Kind, Part, Placed, Placement, Result, Revision, RunId, RunRecord, RunState, StepId,
    StepRecord, StepState, Tally, Withdrawal,
};

use crate::error::{explain, nonsense};
use crate::place::{Database, Place};
use crate::statement::with_nul;

/// Rows as the JSON that `json_each` spreads.
#[derive(Clone, Debug)]
pub(crate) struct Set(String);

impl Set {
    pub(crate) fn into_json(self) -> String {
        self.0
    }
}

/// A set as `json_each` spreads it.
pub(crate) fn set<T: Serialize>(rows: &[T]) -> Result<Set> {
    json(rows).map(Set)
}

/// A value as a column holds it as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(Kind::Unexpected, "a value cannot be written as JSON").with_source(error)
    })
}

/// A size as the database counts. Errors: `InvalidInput` beyond 2^63 bytes.
pub(crate) fn signed(size: u64) -> Result<i64> {
    i64::try_from(size).map_err(|_| {
        Error::new(
            Kind::InvalidInput,
            format!("{size} bytes are more than any asset has"),
        )
    })
}

/// Reads columns of one row; errors name the ledger.
pub(crate) struct Columns<'a> {
    pub(crate) ledger: &'a Place,
    pub(crate) row: &'a AnyRow,
}

impl Columns<'_> {
    pub(crate) fn text(&self, column: &str) -> Result<String> {
        let text = self.maybe_text(column)?;
        text.ok_or_else(|| nonsense(self.ledger, column, "nothing"))
    }

    pub(crate) fn maybe_text(&self, column: &str) -> Result<Option<String>> {
        let text: Option<String> = self.told(self.row.try_get(column))?;
        Ok(match self.ledger.database() {
            Database::Sqlite => text,
            Database::Postgres => text.map(|text| with_nul(&text).into_owned()),
        })
    }

    pub(crate) fn number(&self, column: &str) -> Result<i64> {
        self.told(self.row.try_get(column))
    }

    pub(crate) fn maybe_number(&self, column: &str) -> Result<Option<i64>> {
        self.told(self.row.try_get(column))
    }

    /// A count or size: never negative.
    pub(crate) fn size(&self, column: &str) -> Result<u64> {
        let number = self.number(column)?;
        u64::try_from(number).map_err(|_| nonsense(self.ledger, column, &number.to_string()))
    }

    pub(crate) fn maybe_size(&self, column: &str) -> Result<Option<u64>> {
        let number = self.maybe_number(column)?;
        let size = |number: i64| {
            u64::try_from(number).map_err(|_| nonsense(self.ledger, column, &number.to_string()))
        };
        number.map(size).transpose()
    }

    fn blob(&self, column: &str) -> Result<Option<[u8; 32]>> {
        let bytes: Option<Vec<u8>> = self.told(self.row.try_get(column))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let length = bytes.len();
        let exact = bytes.try_into().map(Some);
        exact.map_err(|_| nonsense(self.ledger, column, &format!("{length} bytes")))
    }

    pub(crate) fn blake3(&self, column: &str) -> Result<Blake3> {
        let bytes = self.blob(column)?;
        let bytes = bytes.ok_or_else(|| nonsense(self.ledger, column, "nothing"))?;
        Ok(Blake3(bytes))
    }

    pub(crate) fn maybe_blake3(&self, column: &str) -> Result<Option<Blake3>> {
        Ok(self.blob(column)?.map(Blake3))
    }

    pub(crate) fn content_hash(&self, column: &str) -> Result<Option<ContentHash>> {
        Ok(self.blob(column)?.map(ContentHash))
    }

    pub(crate) fn instant(&self, column: &str, epoch_ms: i64) -> Result<Timestamp> {
        Timestamp::from_millisecond(epoch_ms)
            .map_err(|_| nonsense(self.ledger, column, &epoch_ms.to_string()))
    }

    /// A value that is written as one of a few words.
    pub(crate) fn word<T>(&self, column: &str, of_word: impl Fn(&str) -> Option<T>) -> Result<T> {
        let word = self.text(column)?;
        of_word(&word).ok_or_else(|| nonsense(self.ledger, column, &word))
    }

    pub(crate) fn action(&self) -> Result<Action> {
        self.word("action", Action::from_word)
    }

    pub(crate) fn step_state(&self) -> Result<StepState> {
        self.word("state", StepState::from_word)
    }

    pub(crate) fn run_state(&self) -> Result<RunState> {
        self.word("state", RunState::from_word)
    }

    pub(crate) fn run_record(&self) -> Result<RunRecord> {
        let id = self.word("id", |word| word.parse().ok().map(RunId))?;
        let started = self.number("started")?;
        let finished = self.maybe_number("finished")?;
        Ok(RunRecord {
            id,
            flow: self.text("flow")?,
            state: self.run_state()?,
            started: self.instant("started", started)?,
            finished: match finished {
                Some(at) => Some(self.instant("finished", at)?),
                None => None,
            },
            unchanged: Tally {
                steps: self.size("unchanged_assets")?,
                bytes: self.size("unchanged_bytes")?,
                bytes_moved: 0,
            },
            origin: self.maybe_json("origin")?,
        })
    }

    /// A value that is kept as JSON.
    fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let text = self.maybe_text(column)?;
        let parsed = text.map(|text| {
            serde_json::from_str(&text).map_err(|_| nonsense(self.ledger, column, &text))
        });
        parsed.transpose()
    }

    pub(crate) fn step_record(&self) -> Result<StepRecord> {
        let ended = match self.maybe_number("ended")? {
            None => None,
            Some(at) => Some(self.instant("ended", at)?),
        };
        Ok(StepRecord {
            id: StepId(self.number("id")?),
            action: self.action()?,
            reason: self.text("reason")?,
            state: self.step_state()?,
            attempt: self.attempt()?,
            endpoint: self.text("endpoint")?,
            asset: AssetId::new(self.text("asset")?),
            revision: Revision::new(self.text("revision")?),
            path: AssetPath::new(&self.text("path")?),
            size: self.size("size")?,
            bytes_moved: self.size("bytes_moved")?,
            message: self.maybe_text("message")?,
            hint: self.maybe_text("hint")?,
            error: self.maybe_text("error")?,
            placed: self.maybe_json("placed")?,
            ended,
            took_ms: self.maybe_size("took")?,
        })
    }

    pub(crate) fn attempt(&self) -> Result<u32> {
        let attempt = self.number("attempt")?;
        u32::try_from(attempt).map_err(|_| nonsense(self.ledger, "attempt", &attempt.to_string()))
    }

    pub(crate) fn part(&self) -> Result<Part> {
        let digest: Vec<u8> = self.told(self.row.try_get("digest"))?;
        Ok(Part {
            offset: self.size("start")?,
            length: self.size("length")?,
            digest: digest.into(),
        })
    }

    pub(crate) fn intent(&self) -> Result<Digests> {
        Ok(Digests {
            size: self.size("size")?,
            blake3: self.blake3("blake3")?,
            content_hash: self.content_hash("content_hash")?,
        })
    }

    pub(crate) fn content_record(&self) -> Result<ContentRecord> {
        let content_hash = self.content_hash("content_hash")?;
        Ok(ContentRecord {
            content_hash: content_hash
                .ok_or_else(|| nonsense(self.ledger, "content_hash", "nothing"))?,
            blake3: self.blake3("blake3")?,
            size: self.size("size")?,
        })
    }

    pub(crate) fn hold(&self) -> Result<Hold> {
        Ok(Hold {
            flow: self.text("flow")?,
            source: self.text("source")?,
            source_asset: AssetId::new(self.text("source_asset")?),
            source_revision: Revision::new(self.text("source_revision")?),
            draft_digest: self.blake3("draft_digest")?,
            reason: self.text("reason")?,
            since: self.instant("at", self.number("at")?)?,
        })
    }

    pub(crate) fn placement(&self) -> Result<Placement> {
        Ok(Placement {
            flow: self.text("flow")?,
            source: self.text("source")?,
            source_asset: AssetId::new(self.text("source_asset")?),
            source_revision: Revision::new(self.text("source_revision")?),
            source_path: AssetPath::new(&self.text("source_path")?),
            sink: self.text("sink")?,
            placed: Placed {
                asset: AssetId::new(self.text("sink_asset")?),
                revision: Revision::new(self.text("sink_revision")?),
                size: self.size("sink_size")?,
                content_hash: self.content_hash("sink_content_hash")?,
                evidence: self.word("evidence", evidence_of_word)?,
            },
            digests: Digests {
                size: self.size("size")?,
                blake3: self.blake3("blake3")?,
                content_hash: self.content_hash("content_hash")?,
            },
            draft_digest: self.blake3("draft_digest")?,
            collection: AssetPath::new(&self.text("collection")?),
            linked: self.number("linked")? != 0,
        })
    }

    pub(crate) fn withdrawal(&self) -> Result<Withdrawal> {
        Ok(Withdrawal {
            placement: self.placement()?,
            reason: self.text("reason")?,
            kept: self.maybe_text("kept")?.map(|path| AssetPath::new(&path)),
            links: self.maybe_json("links")?.unwrap_or_default(),
            recipients: self.maybe_json("recipients")?.unwrap_or_default(),
            note: self.maybe_json("note")?,
            at: self.instant("at", self.number("at")?)?,
        })
    }

    fn told<T>(&self, value: Result<T, sqlx::Error>) -> Result<T> {
        value.map_err(|error| explain(self.ledger, "read", error))
    }
}

/// The word under which evidence is recorded.
pub(crate) fn evidence_word(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::E0 => "E0",
        Evidence::E1 => "E1",
        Evidence::E2 => "E2",
        Evidence::E3 => "E3",
    }
}

pub(crate) fn evidence_of_word(word: &str) -> Option<Evidence> {
    [Evidence::E0, Evidence::E1, Evidence::E2, Evidence::E3]
        .into_iter()
        .find(|evidence| evidence_word(*evidence) == word)
}
