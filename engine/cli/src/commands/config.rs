//! `windlass config`: what is set, and where from.

use windlass_core::{Error, Kind, Result};

use super::{Ended, read};
use crate::args::{ConfigCommand, Global};
use crate::config::Config;
use crate::out::Out;
use crate::text;

pub(crate) fn run(command: &ConfigCommand, global: &Global, out: Out) -> Result<Ended> {
    match command {
        ConfigCommand::Show => show(global, out)?,
        ConfigCommand::Check => {
            let layered = read(global)?;
            let config = &layered.config;
            out.data(&format!(
                "{} is in order: {} endpoints, {} plugins, {} flows",
                global.config.display(),
                config.endpoint.len(),
                config.plugin.len(),
                config.flow.len()
            ))?;
        }
        ConfigCommand::Schema => {
            let schema = schemars::schema_for!(Config);
            let text = serde_json::to_string_pretty(&schema).map_err(|error| {
                Error::new(Kind::Unexpected, "the schema cannot be written").with_source(error)
            })?;
            out.data(&text)?;
        }
    }
    Ok(Ended::Done)
}

fn show(global: &Global, out: Out) -> Result<()> {
    let lines = read(global)?.lines()?;
    if out.json {
        for (key, value, origin) in lines {
            out.line(&serde_json::json!({
                "key": key,
                "value": value,
                "origin": origin.to_string(),
            }))?;
        }
        return Ok(());
    }
    let mut table = text::table(&["key", "value", "from"], &[]);
    for (key, value, origin) in lines {
        table.add_row(vec![key, value, origin.to_string()]);
    }
    out.data(&text::lines(&table))
}
