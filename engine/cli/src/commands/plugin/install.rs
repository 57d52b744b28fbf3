//! `windlass plugin install`: a component becomes the one that a plugin's table names, pinned by its digest.
//!
//! It is copied beside the configuration file, loaded once as a run would load it, and only then named in the file, whose
//! other words stay as they were written. A run that is under way keeps the plugin that it began with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};
use windlass_core::{Blake3, Error, Hooks, Kind, Result};
use windlass_plugin::Plugin;

use super::component_of;
use crate::args::{Global, InstallArgs};
use crate::commands::{Ended, overlay};
use crate::config::parse;
use crate::files;
use crate::out::Out;
use crate::wiring::Wiring;

/// Where components are kept, beside the configuration file.
const FOLDER: &str = "plugins";

/// Installs a component.
pub(super) async fn run(args: &InstallArgs, global: &Global, out: Out) -> Result<Ended> {
    check_name(&args.name)?;
    let built = component_of(&args.plugin, out).await?;
    let bytes = fs::read(&built).map_err(|error| {
        Error::new(
            Kind::NotFound,
            format!("cannot read the plugin {}", built.display()),
        )
        .with_source(error)
    })?;
    let digest = Blake3::of(&bytes);
    let config = &global.config;
    let text = fs::read_to_string(config).map_err(|error| {
        Error::new(Kind::Config, "the configuration file cannot be read")
            .with_context("file", config.display())
            .with_source(error)
            .with_hint("a plugin is installed into a configuration: name it with --config FILE")
    })?;
    let file = PathBuf::from(FOLDER).join(format!("{}-{}.wasm", args.name, &digest.to_hex()[..12]));
    let (fresh, before) = with_plugin(&text, &args.name, &file, &digest)
        .map_err(|error| error.with_context("file", config.display()))?;
    let base = config.parent().unwrap_or(Path::new("")).to_owned();
    let kept = base.join(&file);
    let was_there = kept.exists();
    keep(&kept, &bytes)?;
    // What would be written is tried as a whole: configuration, grants, tables, limits.
    let layered = parse(&fresh, config, base, &overlay(global))?;
    let plugin = match Wiring::new(&layered, out).plugin(&args.name).await {
        Ok(plugin) => plugin,
        Err(error) => {
            if !was_there && let Err(left) = fs::remove_file(&kept) {
                out.say(&format!("{} is left: {left}", kept.display()));
            }
            return Err(error.with_hint(
                "nothing was installed: give the plugin its table in the configuration first, such as \
                 its `config` and `grants`",
            ));
        }
    };
    files::replace(config, Some(&text), &fresh, "the configuration file")?;
    tell(&args.name, &file, before.as_deref(), &plugin, out)
}

/// A name is part of a file's.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::InvalidInput,
            format!("{name:?} is no name of a plugin in the configuration"),
        )
        .with_hint("letters, digits, - and _")),
    }
}

/// The configuration's text with the plugin's table naming a component, and the digest that it named before.
fn with_plugin(
    text: &str,
    name: &str,
    file: &Path,
    digest: &Blake3,
) -> Result<(String, Option<String>)> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(
            Kind::Config,
            format!("the configuration is not TOML: {}", error.message()),
        )
    })?;
    let no_table = || Error::new(Kind::Config, format!("plugin.{name} is no table"));
    let plugins = document.entry("plugin").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let plugins = plugins.as_table_like_mut().ok_or_else(no_table)?;
    if plugins.get(name).is_none() {
        plugins.insert(name, Item::Table(Table::new()));
    }
    let plugin = plugins
        .get_mut(name)
        .and_then(Item::as_table_like_mut)
        .ok_or_else(no_table)?;
    let before = plugin
        .get("digest")
        .and_then(Item::as_str)
        .map(str::to_owned);
    plugin.remove("source");
    for (key, text) in [
        ("file", file.to_string_lossy().replace('\\', "/")),
        ("digest", digest.to_hex().to_string()),
    ] {
        match plugin.get_mut(key) {
            Some(item) => {
                let decor = item.as_value().map(|value| value.decor().clone());
                *item = value(text);
                if let (Some(fresh), Some(decor)) = (item.as_value_mut(), decor) {
                    *fresh.decor_mut() = decor;
                }
            }
            None => {
                plugin.insert(key, value(text));
            }
        }
    }
    Ok((document.to_string(), before))
}

/// Puts the component into its place, whole or not at all. Its name has its digest, so nothing else is replaced.
fn keep(file: &Path, bytes: &[u8]) -> Result<()> {
    let problem = |error: std::io::Error| {
        Error::new(Kind::Denied, format!("cannot write {}", file.display())).with_source(error)
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(problem)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder).map_err(problem)?;
    fresh.write_all(bytes).map_err(problem)?;
    fresh.as_file().sync_all().map_err(problem)?;
    fresh.persist(file).map_err(|error| problem(error.error))?;
    Ok(())
}

fn tell(name: &str, file: &Path, before: Option<&str>, plugin: &Plugin, out: Out) -> Result<Ended> {
    let identity = plugin.identity();
    let digest = identity.digest.to_string();
    let granted: Vec<_> = plugin
        .granted()
        .iter()
        .map(|origin| origin.name())
        .collect();
    let asks: Vec<_> = plugin.asks().iter().map(|origin| origin.name()).collect();
    if out.json {
        out.record(
            "installed",
            &serde_json::json!({
                "plugin": name, "file": file, "identity": identity, "before": before,
                "asks": asks, "granted": granted,
            }),
        )?;
        return Ok(Ended::Done);
    }
    let mut text = format!(
        "plugin.{name} is {} {} from now on: {}\ndigest {digest}",
        identity.name,
        identity.version,
        file.display()
    );
    match before {
        Some(before) if before == digest => text.push_str(" (as before)"),
        Some(before) => text.push_str(&format!("\nbefore {before}")),
        None => {}
    }
    out.data(&text)?;
    let wanting: Vec<_> = asks
        .iter()
        .filter(|asked| !granted.contains(asked))
        .collect();
    if !wanting.is_empty() {
        let list: Vec<_> = wanting.iter().map(|asked| format!("{asked:?}")).collect();
        out.say(&format!(
            "it can use what it is not granted: add {} to `grants` under [plugin.{name}] if it may",
            list.join(", ")
        ));
    }
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(text: &str) -> (String, Option<String>) {
        let digest = Blake3::of(b"a component");
        with_plugin(
            text,
            "mapping",
            Path::new("plugins/mapping-1.wasm"),
            &digest,
        )
        .unwrap()
    }

    #[test]
    fn the_rest_of_the_configuration_stays_as_it_was_written() {
        let digest = Blake3::of(b"a component");
        let text = "# ours\n[plugin.mapping]  # the mapping\nsource = \"src\" # gone\n\
                    digest = \"00\" # pinned\n[plugin.mapping.config]\na = 1\n\n[flow.x]\n";
        let (fresh, before) = installed(text);
        let wanted = format!(
            "# ours\n[plugin.mapping]  # the mapping\n\
             digest = \"{digest}\" # pinned\nfile = \"plugins/mapping-1.wasm\"\n\
             [plugin.mapping.config]\na = 1\n\n[flow.x]\n"
        );
        assert_eq!(fresh, wanted);
        assert_eq!(before.as_deref(), Some("00"));
    }

    #[test]
    fn a_plugin_that_has_no_table_gets_one() {
        let (fresh, before) = installed("[ledger]\nfile = \"l.db\"\n");
        assert!(before.is_none());
        let table: toml::Table = toml::from_str(&fresh).unwrap();
        assert_eq!(
            table["plugin"]["mapping"]["file"].as_str(),
            Some("plugins/mapping-1.wasm")
        );
        assert!(!fresh.contains("[plugin]\n"), "{fresh}");
        // Installing the same again changes nothing.
        assert_eq!(installed(&fresh).0, fresh);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let digest = Blake3::of(b"");
        for text in ["plugin = 1", "[plugin]\nmapping = 2", "["] {
            let error = with_plugin(text, "mapping", Path::new("p"), &digest).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{text}");
        }
    }
}
