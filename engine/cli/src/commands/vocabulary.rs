//! `windlass vocabulary`: values that the other side does not have, and what people decided about them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{Asset, Error, Kind, Result};
use windlass_flow::{MissingValue, PlanWriter, PlannedStep};

use super::Ended;
use super::run::close;
use crate::args::VocabularyArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wiring, vocabulary};
use crate::{progress, text};

/// Plans a flow, notes the values about which nothing is decided in the vocabulary file, and shows them.
pub(crate) async fn run(args: &VocabularyArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let flow = layered.config.ingest(&args.flow)?;
    let file = flow.vocabulary.as_ref().ok_or_else(|| {
        let message = format!("flow.{} names no file for decisions", args.flow);
        Error::new(Kind::Config, message).with_hint(format!(
            "add vocabulary = \"{}.vocabulary.toml\"",
            args.flow
        ))
    })?;
    let file = layered.base.join(file);
    let observer = progress::observer(out);
    // What is held for another reason may be tried again by a run; its values count.
    let wired = Wiring::new(layered, out)
        .flow(&args.flow, true, Arc::clone(&observer))
        .await?;
    let choices = wired.ingest()?.options.choices.clone();
    let decided = wired.flow.decide(&mut Nothing).await;
    close(wired, observer).await?;
    let summary = decided?;
    // What a decision stands for and is not there is a mistake in the decision, not another value.
    let (mistaken, undecided): (Vec<_>, Vec<_>) = summary
        .missing
        .iter()
        .partition(|((field, _), missing)| choices.decided_as(field, &missing.name).is_some());
    let added = vocabulary::add(&file, undecided.iter().copied())?;
    if out.json {
        for ((field, _), missing) in &summary.missing {
            out.record("missing", &Line { field, missing })?;
        }
    } else if summary.missing.is_empty() {
        out.data("the other side has every value")?;
    } else {
        let mut table = text::table(&["field", "value", ""], &[]);
        for ((field, _), missing) in &undecided {
            let told = vocabulary::told(missing);
            table.add_row(vec![field.clone(), missing.name.clone(), told]);
        }
        for ((field, _), missing) in &mistaken {
            let decided = choices.decided_as(field, &missing.name).unwrap_or_default();
            let told = format!("there is no such entry, but {decided:?} is decided to be it");
            table.add_row(vec![field.clone(), missing.name.clone(), told]);
        }
        out.data(&text::lines(&table))?;
        if summary.more_missing > 0 {
            out.say("there are more; decide about these first");
        }
        out.say(&format!(
            "{}: {added} values were added; give each an entry, {{ new = true }} or {{ leave_out = true }}",
            file.display()
        ));
    }
    Ok(match summary.missing.is_empty() {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

#[derive(Serialize)]
struct Line<'a> {
    field: &'a str,
    #[serde(flatten)]
    missing: &'a MissingValue,
}

/// Keeps no step.
struct Nothing;

#[async_trait]
impl PlanWriter for Nothing {
    async fn steps(&mut self, _steps: Vec<PlannedStep>) -> Result<()> {
        Ok(())
    }

    async fn unchanged(&mut self, _assets: Vec<Asset>) -> Result<()> {
        Ok(())
    }
}
