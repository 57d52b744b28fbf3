//! `windlass plugin shadow`: what another plugin would make of all that a flow takes, before it is installed.

use std::sync::Arc;

use windlass_core::{Hooks, Result};
use windlass_flow::{Changed, Shadow};

use super::component_of;
use crate::args::ShadowArgs;
use crate::commands::Ended;
use crate::commands::run::close;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::Wiring;
use crate::{progress, text};

/// Asks both and compares. Nothing is written.
pub(super) async fn run(args: &ShadowArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let component = component_of(&args.plugin, out).await?;
    let wiring = Wiring::new(layered, out);
    let name = layered.config.ingest(&args.flow)?.plugin.clone();
    let candidate = wiring
        .candidate(name.as_deref(), &component, args.plugin_config.as_deref())
        .await?;
    let observer = progress::observer(out);
    let granted = candidate.granted().to_vec();
    let wired = wiring
        .flow_beside(&args.flow, true, Arc::clone(&observer), &granted)
        .await?;
    let shadow = wired.ingest()?.shadow(Arc::new(candidate)).await;
    close(wired, observer).await?;
    let shadow = shadow?;
    if out.json {
        out.record("shadow", &shadow)?;
    } else {
        out.data(&lines(&shadow))?;
    }
    Ok(Ended::Done)
}

fn lines(shadow: &Shadow) -> String {
    let of = |identity: &windlass_core::HookIdentity| {
        let digest = &identity.digest.to_hex()[..12];
        format!("{} {} ({digest})", identity.name, identity.version)
    };
    let before = shadow
        .before
        .as_ref()
        .map_or_else(|| "no plugin".to_owned(), of);
    let mut lines = format!(
        "{before} -> {}\n{}, {} of them placed: {} differ, {} of them placed\n",
        of(&shadow.after),
        text::files(shadow.assets),
        shadow.placed,
        shadow.differ,
        shadow.placed_differ
    );
    if shadow.things.is_empty() {
        lines.push_str("nothing would change");
        return lines;
    }
    let mut table = text::table(&["what", "changed", "added", "removed"], &[1, 2, 3]);
    for (thing, changed) in &shadow.things {
        table.add_row(vec![
            thing.clone(),
            changed.changed.to_string(),
            changed.added.to_string(),
            changed.removed.to_string(),
        ]);
    }
    lines.push_str(&format!("\n{}", text::lines(&table)));
    for (thing, changed) in &shadow.things {
        lines.push_str(&examples(thing, changed));
    }
    if shadow.more_things {
        lines.push_str("\nmore differs than is shown here");
    }
    lines
}

fn examples(thing: &str, changed: &Changed) -> String {
    let mut lines = format!("\n{thing}\n");
    for example in &changed.first {
        lines.push_str(&format!("  {}\n", example.path));
        for (sign, value) in [('-', &example.before), ('+', &example.after)] {
            if let Some(value) = value {
                lines.push_str(&format!("    {sign} {value}\n"));
            }
        }
    }
    lines
}
