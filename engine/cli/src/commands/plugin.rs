//! `windlass plugin`: build a component, look at one.

use std::path::Path;

use windlass_core::{Error, Kind, Result};
use windlass_plugin::{HostOptions, Inspection, PluginHost};

use super::Ended;
use crate::args::InspectArgs;
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
