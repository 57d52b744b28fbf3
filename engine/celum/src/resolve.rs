//! From a draft, in technical names, to what the API wants: ids, types, values; and what it would refuse.
//!
//! Everything that can be known before bytes move is checked here, so that a refusal names the field
//! while the file is still only planned.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value as Json, json};
use windlass_core::{Assigned, Draft, Fault, Result, Value, fold_key, preflight_name};

use crate::catalogue::{Catalogue, SheetField, TypeSheet};
use crate::client::Api;
use crate::vocabulary::{Entry, Vocabularies, nearest};
use crate::wire::{Asset, Field, FieldEntry, FieldKind};

/// The longest name and file name that a careful caller uses, in UTF-16 units.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// A draft in the tenant's own terms.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) type_id: Option<i64>,
    /// Plain values, as creating wants them.
    pub(crate) values: Vec<FieldEntry>,
    /// What the tenant would refuse.
    pub(crate) faults: Vec<Fault>,
}

/// What becomes of keywords that are not there, in fields that allow new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewKeywords<'a> {
    /// They are refused.
    Refused,
    /// They will be created, so they are no fault.
    Foreseen,
    /// They are created now, named in this locale.
    Created(&'a str),
}

/// What a draft is held against.
pub(crate) struct Resolver<'a> {
    pub(crate) api: &'a Api,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) vocabularies: &'a Vocabularies,
    /// Whether the draft's collection asks for a type and for required fields.
    pub(crate) strict: bool,
    pub(crate) keywords: NewKeywords<'a>,
    /// The asset that the draft is for, where there is one: fields that a draft leaves out keep their
    /// values.
    pub(crate) existing: Option<&'a Asset>,
}

/// What is wrong, and what to do about it.
pub(crate) type Refused = (String, Option<String>);

impl Resolver<'_> {
    /// Resolves a draft as far as it can be, and says what the tenant would refuse.
    pub(crate) async fn resolve(&self, draft: &Draft) -> Result<Resolved> {
        let mut resolved = Resolved::default();
        for (what, name) in [("name", &draft.name), ("file name", &draft.file_name)] {
            if let Err(problem) = preflight_name(name, NAME_UNITS_MAX) {
                resolved.whole(format!("its {what} cannot be used: {problem}"), None);
            }
        }
        let Some(sheet) = self.sheet(draft, &mut resolved) else {
            return Ok(resolved);
        };
        resolved.type_id = Some(sheet.id);
        for assigned in &draft.fields {
            match self.value_of(sheet, assigned).await? {
                Ok(entry) => resolved.values.push(entry),
                Err(fault) => resolved.faults.push(fault),
            }
        }
        self.check_switches(sheet, draft, &mut resolved);
        if self.strict {
            self.check_required(sheet, draft, &mut resolved);
        }
        Ok(resolved)
    }

    /// The asset type that the draft names, or that the asset has already; faults without one.
    fn sheet(&self, draft: &Draft, resolved: &mut Resolved) -> Option<&TypeSheet> {
        if let Some(name) = &draft.asset_type {
            let sheet = self.catalogue.asset_type(name);
            if sheet.is_none() {
                resolved.whole(
                    format!("there is no asset type {name:?}"),
                    suggestion(name, self.catalogue.type_names()),
                );
            }
            return sheet;
        }
        let kept = self.existing.and_then(|asset| asset.type_id);
        if let Some(sheet) = kept.and_then(|id| self.catalogue.type_by_id(id)) {
            return Some(sheet);
        }
        if self.strict {
            resolved.whole(
                "it has no asset type, and its collection asks for one".to_owned(),
                Some("set asset_type in the flow, or let the plugin name one".to_owned()),
            );
        } else if !draft.fields.is_empty() {
            resolved.whole("it has fields but no asset type".to_owned(), None);
        }
        None
    }

    async fn value_of(
        &self,
        sheet: &TypeSheet,
        assigned: &Assigned,
    ) -> Result<Result<FieldEntry, Fault>> {
        let fault = |message: String, hint: Option<String>| {
            Ok(Err(Fault {
                field: Some(assigned.field.clone()),
                message,
                hint,
            }))
        };
        let Some(SheetField { field, .. }) = sheet.fields.get(&assigned.field) else {
            return match self.catalogue.type_with(&assigned.field) {
                Some(other) => fault(
                    format!("the asset type {:?} has no such field", sheet.name),
                    Some(format!("{:?} has it", other.name)),
                ),
                None => fault(
                    "there is no such field".to_owned(),
                    suggestion(&assigned.field, sheet.fields.keys().map(String::as_str)),
                ),
            };
        };
        let value = match field.kind {
            FieldKind::CollectionReference | FieldKind::TagReference => {
                self.references(field, &assigned.value).await?
            }
            _ => plain(field, &assigned.value),
        };
        match value {
            Ok(value) => Ok(Ok(FieldEntry {
                id: field.id,
                kind: field.kind,
                value,
            })),
            Err((message, hint)) => fault(message, hint),
        }
    }

    async fn references(&self, field: &Field, value: &Value) -> Result<Result<Json, Refused>> {
        let names: &[String] = match value {
            Value::Keywords(names) | Value::References(names) => names,
            Value::Text(name) => std::slice::from_ref(name),
            other => {
                let message = format!("it takes {}, not {}", wanted(field.kind), other.kind());
                return Ok(Err((message, None)));
            }
        };
        let Some(root) = field.root_id else {
            let message = "the tenant states no root for its entries".to_owned();
            return Ok(Err((message, None)));
        };
        let mut ids: Vec<i64> = Vec::new();
        let mut foreseen: BTreeSet<String> = BTreeSet::new();
        for name in names {
            match self.entry(field, root, name).await? {
                Ok(Some(id)) if ids.contains(&id) => {}
                Ok(Some(id)) => ids.push(id),
                Ok(None) => {
                    foreseen.insert(fold_key(name));
                }
                Err(refused) => return Ok(Err(refused)),
            }
        }
        let given = ids.len() + foreseen.len();
        if let Some(max) = field.max_selections.filter(|max| given > *max) {
            let message = format!("it takes at most {max} entries, not {given}");
            return Ok(Err((message, None)));
        }
        Ok(Ok(json!(ids)))
    }

    /// The id of one entry; `None` for a keyword that will be created.
    async fn entry(
        &self,
        field: &Field,
        root: i64,
        name: &str,
    ) -> Result<Result<Option<i64>, Refused>> {
        let vocabulary = self.vocabularies.below(self.api, root).await?;
        let near = match vocabulary.find(name) {
            Entry::One(id) => return Ok(Ok(Some(id))),
            Entry::Several => {
                let message = format!("several entries are named {name:?}");
                let hint = "write its path, such as Parent/Name".to_owned();
                return Ok(Err((message, Some(hint))));
            }
            Entry::Unknown(near) => near,
        };
        let creatable = field.kind == FieldKind::TagReference
            && field.create_new_on_the_fly
            && preflight_name(name, NAME_UNITS_MAX).is_ok();
        match self.keywords {
            NewKeywords::Foreseen if creatable => return Ok(Ok(None)),
            NewKeywords::Created(locale) if creatable => {
                let created = self.vocabularies.ensure(self.api, root, locale, name);
                return Ok(Ok(Some(created.await?)));
            }
            _ => {}
        }
        let hint = match near {
            Some(near) => format!("did you mean {near:?}?"),
            None if creatable => {
                "add it to the vocabulary, or set tagCreate in the tenant's profile".to_owned()
            }
            None => "add it to the vocabulary, or map it to an entry".to_owned(),
        };
        Ok(Err((format!("there is no entry {name:?}"), Some(hint))))
    }

    /// Fields of a set that a yes-or-no field switches on are refused while that field is not true.
    fn check_switches(&self, sheet: &TypeSheet, draft: &Draft, resolved: &mut Resolved) {
        for assigned in &draft.fields {
            let entry = sheet.fields.get(&assigned.field);
            let Some(switch) = entry.and_then(|entry| entry.depends_on) else {
                continue;
            };
            if self.is_on(sheet, draft, switch) {
                continue;
            }
            // Without a name the switch is not of this type: the tenant has to judge.
            let Some(switch) = sheet.name_of(switch) else {
                continue;
            };
            resolved.faults.push(Fault {
                field: Some(assigned.field.clone()),
                message: format!("it may only be set while {switch:?} is true"),
                hint: Some(format!("set {switch:?} as well, or leave it out")),
            });
        }
    }

    /// Whether a yes-or-no field will be true once the draft is written.
    fn is_on(&self, sheet: &TypeSheet, draft: &Draft, switch: i64) -> bool {
        let assigned = sheet.name_of(switch).and_then(|name| {
            let mut fields = draft.fields.iter();
            fields.find(|assigned| assigned.field == name)
        });
        match assigned {
            Some(assigned) => assigned.value == Value::Boolean(true),
            None => self.has(switch, |value| *value == Json::Bool(true)),
        }
    }

    fn check_required(&self, sheet: &TypeSheet, draft: &Draft, resolved: &mut Resolved) {
        for (name, entry) in &sheet.fields {
            let field = &entry.field;
            let active = entry
                .depends_on
                .is_none_or(|switch| self.is_on(sheet, draft, switch));
            let missing = field.required
                && active
                && field.default_value.as_ref().is_none_or(Json::is_null)
                && !draft.fields.iter().any(|assigned| assigned.field == *name)
                && !self.has(field.id, |_| true);
            if missing {
                resolved.faults.push(Fault {
                    field: Some(name.clone()),
                    message: "it is required and has no value".to_owned(),
                    hint: Some("let the plugin assign it, or set it in the flow".to_owned()),
                });
            }
        }
    }

    /// Whether the asset has a value of a field, and a fitting one.
    fn has(&self, field: i64, fits: impl Fn(&Json) -> bool) -> bool {
        let existing = self.existing.and_then(|asset| asset.value(field));
        existing.is_some_and(fits)
    }
}

impl Resolved {
    fn whole(&mut self, message: String, hint: Option<String>) {
        self.faults.push(Fault {
            field: None,
            message,
            hint,
        });
    }
}

fn plain(field: &Field, value: &Value) -> Result<Json, Refused> {
    Ok(match (field.kind, value) {
        (FieldKind::Text | FieldKind::TextArea, Value::Text(text)) => {
            check_text(field, text)?;
            json!(text)
        }
        (FieldKind::LocalizedText | FieldKind::LocalizedTextArea, Value::LocalizedText(texts)) => {
            json!(texts)
        }
        (FieldKind::Number, Value::Number(number)) => json!(number),
        (FieldKind::Double, Value::Decimal(number)) => json!(number),
        (FieldKind::Double, Value::Number(number)) => json!(number),
        (FieldKind::Boolean, Value::Boolean(yes)) => json!(yes),
        (FieldKind::Date, Value::Date(date)) => json!(format!("{date}T00:00:00Z")),
        (FieldKind::Dropdown, Value::Text(label)) => json!(option(field, label)?),
        (FieldKind::Dropdown, Value::References(labels)) if labels.len() == 1 => {
            json!(option(field, &labels[0])?)
        }
        (FieldKind::Other, _) => {
            return Err((
                "its type is not known to this version of windlass".to_owned(),
                None,
            ));
        }
        (kind, value) => {
            return Err((
                format!("it takes {}, not {}", wanted(kind), value.kind()),
                None,
            ));
        }
    })
}

fn wanted(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text | FieldKind::TextArea => "a text",
        FieldKind::LocalizedText | FieldKind::LocalizedTextArea => "a text per language",
        FieldKind::Number => "a whole number",
        FieldKind::Double => "a number",
        FieldKind::Boolean => "yes or no",
        FieldKind::Date => "a date",
        FieldKind::Dropdown => "the label of one option",
        FieldKind::CollectionReference => "references to collections",
        FieldKind::TagReference => "keywords",
        FieldKind::Other => "a value of an unknown type",
    }
}

pub(crate) fn check_text(field: &Field, text: &str) -> Result<(), Refused> {
    let length = text.encode_utf16().count();
    if let Some(min) = field.min_length.filter(|min| length < *min) {
        return Err((
            format!("{text:?} has {length} characters; at least {min} are asked for"),
            None,
        ));
    }
    if let Some(max) = field.max_length.filter(|max| length > *max) {
        return Err((
            format!("the text has {length} characters; at most {max} are allowed"),
            None,
        ));
    }
    let Some(pattern) = &field.validation_pattern else {
        return Ok(());
    };
    // The tenant's dialect may know more than ours; what we cannot read, the tenant judges.
    let Ok(regex) = Regex::new(&format!("^(?:{pattern})$")) else {
        return Ok(());
    };
    match regex.is_match(text) {
        true => Ok(()),
        false => Err((
            format!("{text:?} does not match the pattern {pattern}"),
            None,
        )),
    }
}

fn option(field: &Field, label: &str) -> Result<i64, Refused> {
    let all = || field.options.values().flatten();
    if let Some(option) = all().find(|option| option.label == label) {
        return Ok(option.index);
    }
    let mut labels: Vec<&str> = all().map(|option| option.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let hint = nearest(label, labels.iter().copied())
        .map(|near| format!("did you mean {near:?}?"))
        .unwrap_or_else(|| format!("its options are {}", labels.join(", ")));
    Err((format!("there is no option {label:?}"), Some(hint)))
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = known.collect();
    if let Some(near) = nearest(name, all.iter().copied()) {
        return Some(format!("did you mean {near:?}?"));
    }
    (!all.is_empty()).then(|| format!("there is {}", all.join(", ")))
}
