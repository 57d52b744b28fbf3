//! `windlass doctor`: looks at everything the configuration names, and says what to do.

use windlass_core::{CheckItem, Error, Ledger, Result};

use super::{Ended, read};
use crate::args::Global;
use crate::out::Out;
use crate::wiring::{Access, Wiring};

/// Looks at all of it, however much is wrong; the exit status tells whether something is.
pub(crate) async fn run(global: &Global, out: Out) -> Result<Ended> {
    let layered = read(global)?;
    let wiring = Wiring::new(&layered, out);
    let mut healthy = true;
    let mut tell = |place: String, items: Vec<CheckItem>| -> Result<()> {
        healthy &= items.iter().all(|item| item.ok);
        show(&place, &items, out)
    };
    tell(
        "configuration".into(),
        vec![fine(
            "file",
            format!("{} is in order", global.config.display()),
        )],
    )?;
    let ledger = match wiring.ledger(Access::ReadWrite).await {
        Ok(ledger) => {
            let runs = ledger.runs(None, 1).await;
            ledger.close().await?;
            match runs {
                Ok(_) => fine("ledger", "it can be opened, read and written".into()),
                Err(error) => wrong("ledger", &error),
            }
        }
        Err(error) => wrong("ledger", &error),
    };
    tell("ledger".into(), vec![ledger])?;
    for name in layered.config.endpoint.keys() {
        let items = match wiring.endpoint(name, None).await {
            Ok(endpoint) => match endpoint.source.check().await {
                Ok(items) => items,
                Err(error) => vec![wrong("check", &error)],
            },
            Err(error) => vec![wrong("connection", &error)],
        };
        tell(format!("endpoint {name}"), items)?;
    }
    for name in layered.config.plugin.keys() {
        let item = match wiring.plugin(name).await {
            Ok(plugin) => {
                let identity = windlass_core::Hooks::identity(&plugin);
                let finding = format!(
                    "{} {}, digest {}",
                    identity.name, identity.version, identity.digest
                );
                fine("component", finding)
            }
            Err(error) => wrong("component", &error),
        };
        tell(format!("plugin {name}"), vec![item])?;
    }
    Ok(if healthy {
        Ended::Done
    } else {
        Ended::WithFailures
    })
}

fn fine(subject: &str, finding: String) -> CheckItem {
    CheckItem {
        subject: subject.to_owned(),
        finding,
        ok: true,
        hint: None,
    }
}

fn wrong(subject: &str, error: &Error) -> CheckItem {
    CheckItem {
        subject: subject.to_owned(),
        finding: error.chain(),
        ok: false,
        hint: error.hint().map(str::to_owned),
    }
}

/// Prints what was looked at.
pub(super) fn show(place: &str, items: &[CheckItem], out: Out) -> Result<()> {
    if out.json {
        for item in items {
            out.line(&serde_json::json!({ "record": "check", "place": place, "item": item }))?;
        }
        return Ok(());
    }
    out.data(place)?;
    for item in items {
        let mark = if item.ok { "ok " } else { "BAD" };
        out.data(&format!("  {mark} {}: {}", item.subject, item.finding))?;
        if let Some(hint) = &item.hint {
            out.data(&format!("      hint: {hint}"))?;
        }
    }
    Ok(())
}
