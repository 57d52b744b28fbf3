//! One asset at a time: match its folders, translate, fill in.
//!
//! All files of a folder are matched and translated alike, and mostly get the same fields. So what follows
//! from the folder alone is worked out once and remembered for as long as the instance lives.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use unicode_normalization::UnicodeNormalization;
use windlass_sdk::{AssetView, Host, Mapping, MetadataHook, Origin, Plugin, Value, Verdict};

use crate::config::{Checked, Config, Field, Unknown, Unmatched};
use crate::pattern::{Pattern, Reference};
use crate::stated::{self, Trusted};
use crate::template::Captures;
use crate::values;

/// Folders that are remembered; a batch rarely has more than a few dozen.
const REMEMBERED_MAX: usize = 1_024;

/// The plugin: a checked configuration, and what is known about folders.
#[derive(Debug)]
pub struct FolderMetadata {
    config: Checked,
    /// Whether the fields of two files in one folder can differ.
    fields_need_file: bool,
    /// Whether their collections can.
    collection_needs_file: bool,
    known: RefCell<HashMap<String, Result<Rc<FolderReading>, Held>>>,
}

/// Why an asset must wait: the reason, then the rule.
type Held = (String, String);

/// What follows from a folder.
#[derive(Debug, Default)]
struct FolderReading {
    /// Which template fitted, counted from 1.
    template: Option<usize>,
    /// Captures as they stood in the path.
    codes: Captures,
    /// Captures cleaned and translated; those without a meaning are absent.
    meanings: Captures,
    /// Findings, and what else of a mapping does not need the file.
    mapping: Mapping,
}

/// A file in a folder that has been read.
struct Reading<'a> {
    /// The path in Unicode normal form C.
    path: &'a str,
    folder: &'a FolderReading,
    /// The file itself; `None` where any file of the folder would do.
    asset: Option<&'a AssetView>,
}

impl Plugin for FolderMetadata {
    const NAME: &'static str = "folder-metadata";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ASKS: &'static [Origin] = &[Origin::Sheet, Origin::Sidecar, Origin::Embedded];

    fn configure(config: &str, granted: &[Origin], host: &dyn Host) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| {
            let text = error.to_string();
            // The position is one in JSON that the operator never saw.
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        })?;
        let config = config.check(granted, host)?;
        let needs_file = |pattern: &Pattern| pattern.references().any(Reference::needs_file);
        Ok(FolderMetadata {
            fields_need_file: config
                .fields
                .iter()
                .any(|field| field.is_stated() || field.patterns.iter().any(needs_file)),
            collection_needs_file: config.collection.as_ref().is_some_and(needs_file),
            known: RefCell::default(),
            config,
        })
    }
}

impl MetadataHook for FolderMetadata {
    fn describe(&self, asset: &AssetView, host: &dyn Host) -> Verdict {
        match self.map(asset, host) {
            Ok(mapping) => Verdict::Ready(mapping),
            Err((reason, rule)) => Verdict::held(reason, rule),
        }
    }
}

impl FolderMetadata {
    fn map(&self, asset: &AssetView, host: &dyn Host) -> Result<Mapping, Held> {
        // Most paths are ASCII, which is in every normal form, and normalising is slow.
        let path = match asset.path.is_ascii() {
            true => asset.path.clone(),
            false => asset.path.nfc().collect(),
        };
        let folder = self.folder(&path, host)?;
        let mut mapping = folder.mapping.clone();
        let reading = Reading {
            path: &path,
            folder: &folder,
            asset: Some(asset),
        };
        if self.fields_need_file {
            self.assign_all(&reading, &mut mapping)?;
        }
        if self.collection_needs_file {
            mapping.collection = self.collection(&reading);
        }
        mapping.asset_type = self.asset_type(&reading);
        let name = self
            .config
            .name
            .as_ref()
            .and_then(|p| p.fill(|r| reading.resolve(r)));
        mapping.name = name
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        Ok(mapping)
    }

    /// What follows from the folder of the file at `path`.
    fn folder(&self, path: &str, host: &dyn Host) -> Result<Rc<FolderReading>, Held> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if let Some(known) = self.known.borrow().get(folder) {
            return known.clone();
        }
        let read = self.read(folder, path, host).map(Rc::new);
        let mut known = self.known.borrow_mut();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(folder.to_owned(), read.clone());
        read
    }

    fn read(&self, folder: &str, path: &str, host: &dyn Host) -> Result<FolderReading, Held> {
        let mut mapping = Mapping::default();
        let mut read = match self.matched(folder) {
            Ok((index, codes)) => {
                let meanings = self.meanings(&codes, host, &mut mapping)?;
                let template = Some(index + 1);
                FolderReading {
                    template,
                    codes,
                    meanings,
                    ..FolderReading::default()
                }
            }
            Err(nearest) => {
                let subject = if folder.is_empty() { "/" } else { folder };
                let message = self.unmatched(folder, nearest);
                if self.config.unmatched == Unmatched::Hold {
                    let reason = format!("the folder {subject:?} {message}");
                    return Err((reason, "unmatched folders".to_owned()));
                }
                mapping.remark(subject, message);
                FolderReading::default()
            }
        };
        // Any file of the folder will do for what needs no file.
        let reading = Reading {
            path,
            folder: &read,
            asset: None,
        };
        if !self.fields_need_file {
            self.assign_all(&reading, &mut mapping)?;
        }
        if !self.collection_needs_file {
            mapping.collection = self.collection(&reading);
        }
        read.mapping = mapping;
        Ok(read)
    }

    /// The template that fits, counted from 0, and what it keeps; or the one that gets furthest (the
    /// first of equals), and how many folders it accounts for.
    fn matched(&self, folder: &str) -> Result<(usize, Captures), (usize, usize)> {
        let folders: Vec<&str> = names(folder).collect();
        let mut nearest = (0, 0);
        for (index, template) in self.config.templates.iter().enumerate() {
            match template.matches(&folders) {
                Ok(codes) => return Ok((index, codes)),
                Err(reached) if reached > nearest.1 => nearest = (index, reached),
                Err(_) => {}
            }
        }
        Err(nearest)
    }

    fn unmatched(&self, folder: &str, nearest: (usize, usize)) -> String {
        let (index, reached) = nearest;
        let (number, text) = (index + 1, self.config.templates[index].text());
        let where_it_ends = match names(folder).nth(reached) {
            Some(name) => format!("up to {name:?}"),
            None => "but has more parts".to_owned(),
        };
        format!(
            "fits no template; nearest is template {number}, {text:?}, which fits {where_it_ends}"
        )
    }

    fn meanings(
        &self,
        codes: &Captures,
        host: &dyn Host,
        mapping: &mut Mapping,
    ) -> Result<Captures, Held> {
        let mut meanings = BTreeMap::new();
        for (name, code) in codes {
            let Some(capture) = self.config.capture.get(name) else {
                meanings.insert(name.clone(), code.clone());
                continue;
            };
            let cleaned = values::clean(code, &capture.replace, &capture.normalise);
            let Some(table) = &capture.table else {
                meanings.insert(name.clone(), cleaned);
                continue;
            };
            let found = match self.config.table.get(table) {
                Some(inline) => Ok(inline.get(&cleaned).cloned()),
                None => host.lookup(table, &cleaned, capture.column.as_deref()),
            };
            let rule = format!("{{{name}}} by table {table}");
            let found =
                found.map_err(|_| (format!("the table {table:?} is gone"), rule.clone()))?;
            let inline = self.config.table.get(table);
            let near = inline.and_then(|inline| nearest(&cleaned, inline.keys()));
            let near = near.map_or_else(String::new, |near| format!("; nearest is {near:?}"));
            let message = format!("the code {cleaned:?} is not in the table {table}{near}");
            match (found, capture.unknown) {
                (Some(meaning), _) => {
                    meanings.insert(name.clone(), meaning);
                }
                (None, Unknown::Hold) => return Err((message, rule)),
                (None, Unknown::LeaveOut) => mapping.remark(format!("{{{name}}}"), message),
                (None, Unknown::Keep) => {
                    mapping.remark(format!("{{{name}}}"), message);
                    meanings.insert(name.clone(), cleaned);
                }
            }
        }
        Ok(meanings)
    }

    fn assign_all(&self, reading: &Reading<'_>, mapping: &mut Mapping) -> Result<(), Held> {
        let mut fields = self.config.fields.iter();
        fields.try_for_each(|field| self.assign(field, reading, mapping))
    }

    fn assign(
        &self,
        field: &Field,
        reading: &Reading<'_>,
        mapping: &mut Mapping,
    ) -> Result<(), Held> {
        let name = &field.config.field;
        let mut tried = Vec::new();
        for trusted in &field.trust {
            let (value, rule) = self.believed(field, *trusted, reading);
            match value {
                Err(problem) => return Err((format!("field {name:?}: {problem}"), rule)),
                Ok(None) => tried.push(rule),
                Ok(Some(Value::LocalizedText(texts))) => {
                    localize(mapping, name, texts, rule);
                    return Ok(());
                }
                Ok(Some(value)) => {
                    mapping.assign(name, value, rule);
                    return Ok(());
                }
            }
        }
        match field.config.required {
            true => Err((
                format!("field {name:?} is required, but has no value here"),
                tried.join("; "),
            )),
            false => Ok(()),
        }
    }

    /// What somebody says of a field, and the rule that this is. A value that is of no use is no reason to
    /// believe the next one: somebody meant something by it.
    fn believed(
        &self,
        field: &Field,
        trusted: Trusted,
        reading: &Reading<'_>,
    ) -> (Result<Option<Value>, String>, String) {
        let stated = trusted.origin().zip(trusted.property(&field.config));
        if let (Some((origin, (property, rule))), Some(asset)) = (stated, reading.asset) {
            return (stated::value(&field.config, asset, origin, property), rule);
        }
        let filled = field
            .patterns
            .iter()
            .filter_map(|p| p.fill(|r| reading.resolve(r)));
        let texts: Vec<String> = filled.collect();
        let value = values::value(&field.config, &texts);
        let value = value.map_err(|wanted| format!("{:?} is not {wanted}", texts.concat()));
        (value, self.rule(&field.patterns, reading))
    }

    /// The words in which a value's origin is told: `template 1, {client} by table clients`.
    fn rule(&self, patterns: &[Pattern], reading: &Reading<'_>) -> String {
        let told = |reference: &Reference| match reference {
            Reference::Capture(name) => {
                let table = self.config.capture.get(name).and_then(|c| c.table.as_ref());
                table.map_or(reference.to_string(), |table| {
                    format!("{reference} by table {table}")
                })
            }
            other => other.to_string(),
        };
        let mut parts: Vec<String> = Vec::new();
        let is_captured = |r: &Reference| matches!(r, Reference::Capture(_) | Reference::Code(_));
        if patterns
            .iter()
            .flat_map(Pattern::references)
            .any(is_captured)
        {
            parts.extend(
                reading
                    .folder
                    .template
                    .map(|number| format!("template {number}")),
            );
        }
        parts.extend(patterns.iter().flat_map(Pattern::references).map(told));
        match parts.is_empty() {
            true => "constant".to_owned(),
            false => parts.join(", "),
        }
    }

    fn asset_type(&self, reading: &Reading<'_>) -> Option<String> {
        let extension = reading.resolve(&Reference::FileExtension)?;
        self.config
            .type_of
            .get(&extension)
            .or(self.config.default_type.as_ref())
            .cloned()
    }

    /// A collection's path. What a table says is one name, whatever slashes it has; parts that are
    /// empty, such as a kept rest without folders, are left out.
    fn collection(&self, reading: &Reading<'_>) -> Option<String> {
        let filled = self.config.collection.as_ref()?.fill(|reference| {
            let text = reading.resolve(reference)?;
            let translated = matches!(reference, Reference::Capture(name)
                if self.config.capture.get(name).is_some_and(|c| c.table.is_some()));
            Some(if translated {
                text.replace('/', "-")
            } else {
                text
            })
        })?;
        let names = filled
            .split('/')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let path: String = names.map(|name| format!("/{name}")).collect();
        Some(path).filter(|path| !path.is_empty())
    }
}

impl Reading<'_> {
    fn resolve(&self, reference: &Reference) -> Option<String> {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        let (stem, extension) = match file.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, extension),
            _ => (file, ""),
        };
        match reference {
            Reference::Capture(name) => self.folder.meanings.get(name).cloned(),
            Reference::Code(name) => self.folder.codes.get(name).cloned(),
            Reference::FileName => Some(file.to_owned()),
            Reference::FileStem => Some(stem.to_owned()),
            Reference::FileExtension => Some(extension.to_lowercase()),
            Reference::Folder => self.path.rsplit('/').nth(1).map(str::to_owned),
            Reference::Path => Some(self.path.to_owned()),
        }
    }
}

/// The code that was probably meant: the nearest one, if it is near.
fn nearest<'a>(code: &str, codes: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let folded = code.to_lowercase();
    let near = codes.map(|known| {
        (
            strsim::damerau_levenshtein(&folded, &known.to_lowercase()),
            known,
        )
    });
    let (distance, known) = near.min()?;
    // A third of its letters may differ, and of a short one a single letter.
    (distance <= (code.chars().count() / 3).max(1)).then_some(known)
}

/// The names in a path, from the root down.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// Adds languages to a field that may have some already.
fn localize(mapping: &mut Mapping, field: &str, texts: Vec<windlass_sdk::Localized>, rule: String) {
    let assigned = mapping
        .fields
        .iter_mut()
        .find(|assigned| assigned.field == field);
    match assigned {
        Some(assigned) => {
            if let Value::LocalizedText(all) = &mut assigned.value {
                all.extend(texts);
            }
        }
        None => mapping.assign(field, Value::LocalizedText(texts), rule),
    }
}
