//! `windlass plugin inspect` and `check`: what a component is, and whether it can be used.

use std::path::PathBuf;

use windlass_core::{ByteSize, CheckItem, Error, Kind, Result};
use windlass_plugin::{API_VERSION, HostOptions, Inspection, PluginHost, case_files};

use super::component_of;
use crate::args::{InspectArgs, PluginArgs};
use crate::commands::{Ended, doctor};
use crate::out::Out;
use crate::text;

/// Shows what a component is and whether it would load.
pub(crate) async fn inspect(args: &InspectArgs, out: Out) -> Result<Ended> {
    let inspection = inspected(component_of(&args.file, out).await?).await?;
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
    row("size", ByteSize(inspection.size_bytes).to_string());
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
    let hooks: Vec<_> = inspection.hooks.iter().map(|hook| hook.name()).collect();
    if !hooks.is_empty() {
        row("hooks", hooks.join(", "));
    }
    let asks: Vec<_> = inspection.asks.iter().map(|origin| origin.name()).collect();
    if !asks.is_empty() {
        row("asks for", asks.join(", "));
    }
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

/// Looks at everything that can be said of a plugin without a configuration, and says what to do.
pub(crate) async fn check(args: &PluginArgs, out: Out) -> Result<Ended> {
    let component = component_of(&args.plugin, out).await?;
    let inspection = inspected(component).await?;
    let items = checks(args, &inspection);
    let is_right = items.iter().all(|item| item.ok);
    doctor::show(&format!("plugin {}", args.plugin.display()), &items, out)?;
    Ok(match is_right {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

/// A component that is larger than this is worth a word: what a Python guest has.
const LARGE: u64 = 20 << 20;

fn checks(args: &PluginArgs, inspection: &Inspection) -> Vec<CheckItem> {
    let item = |subject: &str, ok: bool, finding: String, hint: Option<String>| CheckItem {
        subject: subject.to_owned(),
        finding,
        ok,
        hint: hint.filter(|_| !ok),
    };
    let version = inspection.shape.api_version.as_deref();
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    let speaks = version.is_some_and(|version| major(version) == major(API_VERSION));
    let stated = version.unwrap_or("none");
    let hooks: Vec<_> = inspection.hooks.iter().map(|hook| hook.name()).collect();
    let no_hook = "export one of metadata, rights and localization of windlass:hooks".to_owned();
    let mut items = vec![
        item(
            "interface",
            speaks,
            format!("windlass:hooks {stated}, this Windlass speaks {API_VERSION}"),
            Some("build it against wit/v1 of this Windlass".to_owned()),
        ),
        item(
            "hooks",
            !hooks.is_empty(),
            match hooks.is_empty() {
                true => "none".to_owned(),
                false => hooks.join(", "),
            },
            Some(no_hook),
        ),
        item(
            "size",
            inspection.size_bytes <= LARGE,
            ByteSize(inspection.size_bytes).to_string(),
            Some("it compiles for a minute; leave out what it does not need".to_owned()),
        ),
    ];
    let loads = match (&inspection.problem, &inspection.identity) {
        (Some(problem), _) => Err(problem.clone()),
        (None, Some((name, version))) => Ok(format!("{name} {version}")),
        (None, None) => Err("it was not asked who it is".to_owned()),
    };
    items.push(item(
        "starts",
        loads.is_ok(),
        loads.unwrap_or_else(|problem| problem),
        inspection.hint.clone(),
    ));
    if let Some(time) = inspection.compile_time {
        let finding = format!("in {} ms, once a machine", time.as_millis());
        items.push(item("compiles", true, finding, None));
    }
    if !inspection.asks.is_empty() {
        let asks: Vec<_> = inspection.asks.iter().map(|origin| origin.name()).collect();
        items.push(item("asks for", true, asks.join(", "), None));
    }
    let cases = args
        .cases
        .clone()
        .unwrap_or_else(|| match args.plugin.is_dir() {
            true => args.plugin.join("cases"),
            false => args.plugin.with_file_name("cases"),
        });
    let cases = case_files(&cases);
    items.push(item(
        "cases",
        cases.is_ok(),
        match &cases {
            Ok(files) => format!("{} files; `windlass plugin test` runs them", files.len()),
            Err(error) => error.message().to_owned(),
        },
        cases
            .as_ref()
            .err()
            .and_then(|error| error.hint().map(str::to_owned)),
    ));
    items
}

async fn inspected(file: PathBuf) -> Result<Inspection> {
    let inspecting = move || PluginHost::new(HostOptions::default())?.inspect(&file);
    tokio::task::spawn_blocking(inspecting)
        .await
        .map_err(|error| {
            Error::new(Kind::Unexpected, "inspecting ended abnormally").with_source(error)
        })?
}
