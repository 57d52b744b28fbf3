//! `windlass conflicts`: what two sides disagree about, both versions of it, and what people choose.
//!
//! Nothing here touches a file or an asset. A choice is noted in the ledger, for just the two revisions that it is about;
//! the next pass of the flow carries it out.

use std::sync::Arc;

use serde::Serialize;
use windlass_core::{
    AssetId, AssetPath, Conflict, ConflictSide, Error, Kind, Ledger, Question, Resolution, Result,
};

use super::{Ended, choices};
use crate::args::{Choice, ConflictsCommand, ConflictsListArgs, ConflictsResolveArgs, SubjectArgs};
use crate::config::{Config, EndpointConfig, Layered};
use crate::flows::sync::kept_under;
use crate::out::Out;
use crate::text;
use crate::wiring::{Access, Wiring};

/// How many conflicts are read in one call.
const CONFLICTS_A_CALL: u32 = 1_000;

/// Does what was typed.
pub(crate) async fn run(command: &ConflictsCommand, layered: &Layered, out: Out) -> Result<Ended> {
    match command {
        ConflictsCommand::List(args) => list(args, layered, out).await,
        ConflictsCommand::Show(args) => show(args, layered, out).await,
        ConflictsCommand::Resolve(args) => resolve(args, layered, out).await,
    }
}

/// A conflict as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    conflict: &'a Conflict,
    does_not_converge: bool,
}

impl<'a> Line<'a> {
    fn of(conflict: &'a Conflict) -> Self {
        Line {
            conflict,
            does_not_converge: conflict.does_not_converge(),
        }
    }
}

/// A conflict with everything that whoever chooses wants to know.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    see_file: String,
    see_asset: String,
    choices: Vec<Offer>,
}

/// Something that may be chosen.
#[derive(Serialize)]
struct Offer {
    choice: Resolution,
    /// What the next pass does then.
    effect: &'static str,
}

async fn list(args: &ConflictsListArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let flow = args.flow.as_deref();
    if let Some(flow) = flow {
        layered.config.flow(flow)?;
    }
    let flow = flow.map(|flow| layered.config.whole(flow));
    let Some(ledger) = ledger(layered, out).await? else {
        return nothing(out);
    };
    let mut table = text::table(
        &["flow", "subject", "file", "question", "passes", "choice"],
        &[4],
    );
    let mut sums = Sums::default();
    let listed = each(ledger.as_ref(), flow, |conflict| {
        sums.add(conflict);
        if out.json {
            return out.record("conflict", &Line::of(conflict));
        }
        table.add_row(row(conflict));
        Ok(())
    })
    .await;
    ledger.close().await?;
    listed?;
    if sums.all == 0 {
        return nothing(out);
    }
    if !out.json {
        out.data(&text::lines(&table))?;
        out.say(&sums.told());
    }
    Ok(match args.check && (sums.undecided > 0 || sums.stuck > 0) {
        true => Ended::WithFailures,
        false => Ended::Done,
    })
}

fn nothing(out: Out) -> Result<Ended> {
    if !out.json {
        out.data("no conflict waits")?;
    }
    Ok(Ended::Done)
}

fn row(conflict: &Conflict) -> Vec<String> {
    let found = &conflict.found;
    let choice = match conflict.resolution {
        Some(resolution) => format!("{resolution}, by the next pass"),
        None => "undecided".to_owned(),
    };
    vec![
        found.flow.clone(),
        found.subject.to_string(),
        found.file.path.to_string(),
        found.question.to_string(),
        conflict.passes.to_string(),
        match conflict.does_not_converge() {
            true => format!("{choice}; does not converge"),
            false => choice,
        },
    ]
}

#[derive(Default)]
struct Sums {
    all: u64,
    undecided: u64,
    stuck: u64,
}

impl Sums {
    fn add(&mut self, conflict: &Conflict) {
        self.all += 1;
        self.undecided += u64::from(conflict.is_undecided());
        self.stuck += u64::from(conflict.does_not_converge());
    }

    fn told(&self) -> String {
        let mut told = format!("{} undecided of {}", self.undecided, self.all);
        if self.stuck > 0 {
            let max = Conflict::PASSES_MAX;
            told.push_str(&format!(
                "; {} met by more than {max} passes and still there",
                self.stuck
            ));
        }
        told
    }
}

async fn show(args: &SubjectArgs, layered: &Layered, out: Out) -> Result<Ended> {
    layered.config.flow(&args.flow)?;
    let Some(ledger) = ledger(layered, out).await? else {
        return Err(unknown(args));
    };
    let found = find(ledger.as_ref(), args).await;
    ledger.close().await?;
    let conflict = found?;
    let see = |side: &ConflictSide| seen(&layered.config, side);
    let (see_file, see_asset) = (see(&conflict.found.file), see(&conflict.found.asset));
    let choices = offers(&conflict);
    if out.json {
        let shown = Shown {
            line: Line::of(&conflict),
            see_file,
            see_asset,
            choices,
        };
        out.record("conflict", &shown)?;
        return Ok(Ended::Done);
    }
    let choices: Vec<(&str, &str)> = choices
        .iter()
        .map(|offer| (offer.choice.word(), offer.effect))
        .collect();
    out.data(&text::conflict(
        &conflict,
        [&see_file, &see_asset],
        &choices,
    ))?;
    Ok(Ended::Done)
}

/// Leaves a choice to the process that writes the ledger.
async fn leave(
    args: &ConflictsResolveArgs,
    layered: &Layered,
    wiring: &Wiring<'_>,
    out: Out,
) -> Result<Ended> {
    let ledger = wiring.ledger(Access::ReadOnly).await?;
    let conflict = find(ledger.as_ref(), &args.subject).await;
    ledger.close().await?;
    let (conflict, resolution) = (conflict?, args.choice.resolution());
    let file = choices::beside(&layered.base.join(&layered.config.ledger.file));
    choices::leave(&file, &conflict.found, resolution)?;
    out.say("another program writes the ledger: it takes the choice over with its next pass");
    tell(conflict, resolution, out)
}

/// Notes a choice.
async fn resolve(args: &ConflictsResolveArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let subject = &args.subject;
    layered.config.flow(&subject.flow)?;
    let resolution = args.choice.resolution();
    let wiring = Wiring::new(layered, out);
    let ledger = match wiring.ledger(Access::ReadWrite).await {
        Ok(ledger) => ledger,
        Err(error) if error.kind() == Kind::Conflict => {
            return leave(args, layered, &wiring, out).await;
        }
        Err(error) => return Err(error),
    };
    let noted = async {
        let conflict = find(ledger.as_ref(), subject).await?;
        let noted = ledger.resolve_conflict(&conflict.found, resolution).await?;
        Ok((conflict, noted))
    };
    let noted: Result<_> = noted.await;
    ledger.close().await?;
    let (conflict, is_noted) = noted?;
    if !is_noted {
        return Err(Error::new(
            Kind::Conflict,
            "it is about other revisions since this moment",
        )
        .with_hint("look at it once more with `windlass conflicts show`"));
    }
    tell(conflict, resolution, out)
}

fn tell(conflict: Conflict, resolution: Option<Resolution>, out: Out) -> Result<Ended> {
    match out.json {
        true => {
            let chosen = Conflict {
                resolution,
                ..conflict
            };
            out.record("conflict", &Line::of(&chosen))?;
        }
        false => out.data(&chosen(&conflict, resolution))?,
    }
    Ok(Ended::Done)
}

/// What was noted, and what comes of it.
fn chosen(conflict: &Conflict, resolution: Option<Resolution>) -> String {
    let path = &conflict.found.file.path;
    let Some(resolution) = resolution else {
        return format!("{path}: undecided again; both sides stay as they are");
    };
    let offers = offers(conflict);
    let effect = offers.iter().find(|offer| offer.choice == resolution);
    let effect = effect.map_or("", |offer| offer.effect);
    format!(
        "{path}: {resolution} is noted for just these two revisions\n\
         the next pass of {} carries it out: {effect}\n\
         if either side changes before, it is undecided again",
        conflict.found.flow
    )
}

impl Choice {
    fn resolution(&self) -> Option<Resolution> {
        match self {
            Choice {
                take_file: true, ..
            } => Some(Resolution::TakeFile),
            Choice {
                take_asset: true, ..
            } => Some(Resolution::TakeAsset),
            Choice {
                keep_both: true, ..
            } => Some(Resolution::KeepBoth),
            Choice { .. } => None,
        }
    }
}

/// What may be chosen, and what each choice does.
fn offers(conflict: &Conflict) -> Vec<Offer> {
    let found = &conflict.found;
    let is_file_gone = found.file.revision.is_none();
    let (file, asset) = match found.question {
        Question::RemovedAndChanged if is_file_gone => (
            "the asset is removed as the file was",
            "the file appears again as the asset is now",
        ),
        Question::RemovedAndChanged => (
            "the file becomes the asset again",
            "the file is removed as the asset was",
        ),
        Question::BothChanged | Question::Proposed => (
            "the file's bytes become a new version of the asset",
            "the file becomes what the asset is; what the file was stays in its history",
        ),
        Question::PlaceTaken => (
            "what the file's side has there is what the asset becomes",
            "what the asset's side has there is what the file becomes; what the file was stays in its history",
        ),
    };
    let offer = |choice, effect| Offer { choice, effect };
    vec![
        offer(Resolution::TakeFile, file),
        offer(Resolution::TakeAsset, asset),
        offer(
            Resolution::KeepBoth,
            "both stay as they are until either of them changes again",
        ),
    ]
}

/// Where people find the bytes of a side.
fn seen(config: &Config, side: &ConflictSide) -> String {
    let Some(revision) = &side.revision else {
        return format!("gone from {}", side.endpoint);
    };
    match config.endpoint.get(&side.endpoint) {
        Some(EndpointConfig::Dropbox(_)) => {
            let path = side.path.as_str();
            format!("https://www.dropbox.com/home{path}, version history, revision {revision}")
        }
        Some(EndpointConfig::Celum(celum)) => {
            let host = celum.api_root.host_str().unwrap_or_default();
            format!("asset {} at {host}, version {revision}", side.asset)
        }
        Some(EndpointConfig::Local(local)) => {
            let path = side.path.as_str().trim_start_matches('/');
            local.root.join(path).display().to_string()
        }
        None => format!("asset {} of {}", side.asset, side.endpoint),
    }
}

/// The ledger to look at; `None` before the first run, when there is none.
async fn ledger(layered: &Layered, out: Out) -> Result<Option<Arc<dyn Ledger>>> {
    match Wiring::new(layered, out).ledger(Access::ReadOnly).await {
        Ok(ledger) => Ok(Some(ledger)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands over all conflicts, one by one.
async fn each(
    ledger: &dyn Ledger,
    flow: Option<&str>,
    mut each: impl FnMut(&Conflict) -> Result<()>,
) -> Result<()> {
    let mut last: Option<(String, AssetId)> = None;
    loop {
        let after = last
            .as_ref()
            .map(|(flow, subject)| (flow.as_str(), subject));
        let page = ledger.conflicts(flow, after, CONFLICTS_A_CALL).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        last = Some((end.found.flow.clone(), end.found.subject.clone()));
        page.iter().try_for_each(&mut each)?;
    }
}

/// How many conflicts of a flow wait, given its name or that of one of its ways.
pub(super) async fn waiting(ledger: &dyn Ledger, flow: &str) -> Result<u64> {
    let mut count = 0;
    each(ledger, Some(kept_under(flow)), |_| {
        count += 1;
        Ok(())
    })
    .await?;
    Ok(count)
}

/// The one conflict of a flow that is meant by its subject or by the path of its file.
async fn find(ledger: &dyn Ledger, args: &SubjectArgs) -> Result<Conflict> {
    let path = args
        .subject
        .starts_with('/')
        .then(|| AssetPath::new(&args.subject).key());
    let mut exact = None;
    let mut at_path = Vec::new();
    each(ledger, Some(kept_under(&args.flow)), |conflict| {
        let found = &conflict.found;
        if found.subject.as_str() == args.subject {
            exact = Some(conflict.clone());
        } else if path.as_ref() == Some(&found.file.path.key()) {
            at_path.push(conflict.clone());
        }
        Ok(())
    })
    .await?;
    match (exact, at_path.len()) {
        (Some(exact), _) => Ok(exact),
        (None, 0 | 1) => at_path.pop().ok_or_else(|| unknown(args)),
        (None, count) => {
            let ids: Vec<&str> = at_path
                .iter()
                .map(|one| one.found.subject.as_str())
                .collect();
            Err(Error::new(
                Kind::InvalidInput,
                format!("{count} conflicts are about {}", args.subject),
            )
            .with_hint(format!("name one of them: {}", ids.join(", "))))
        }
    }
}

fn unknown(args: &SubjectArgs) -> Error {
    let SubjectArgs { flow, subject } = args;
    Error::new(
        Kind::NotFound,
        format!("no conflict of flow {flow:?} is about {subject:?}"),
    )
    .with_hint(format!(
        "`windlass conflicts list {flow}` lists those that wait"
    ))
}
