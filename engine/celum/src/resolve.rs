//! From a draft, in technical names, to what the API wants: ids, types, values; and what it would refuse.
//!
//! Everything that can be known before bytes move is checked here, so that a refusal names the field
//! while the file is still only planned.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value as Json, json};
use unicode_normalization::UnicodeNormalization;
use windlass_core::{
    Assigned, Draft, Fault, Result, UnknownEntry, Value, fold_key, preflight_name,
};

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
    /// Which values people decided to be new entries: field and folded value.
    pub(crate) accepted: &'a BTreeSet<(String, String)>,
    /// Whether others may become new entries, too.
    pub(crate) any_keyword: bool,
    /// Whether one that is all but the same as an entry is refused. Once a plan was made it is settled: the entry may be
    /// one that the plan itself brought.
    pub(crate) minds_twins: bool,
    /// The asset that the draft is for, where there is one: fields that a draft leaves out keep their
    /// values.
    pub(crate) existing: Option<&'a Asset>,
}

/// What is wrong, and what to do about it.
pub(crate) type Refused = (String, Option<String>);

/// A value that the vocabulary does not have, with what is to be said of it.
type NotThere = (UnknownEntry, Refused);

/// Why the names of a reference field cannot be used.
enum BadReferences {
    /// The value as a whole.
    Whole(Refused),
    /// Each of some names.
    Names(Vec<NotThere>),
}

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
                Err(faults) => resolved.faults.extend(faults),
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
    ) -> Result<Result<FieldEntry, Vec<Fault>>> {
        let fault = |message: String, hint: Option<String>| {
            Ok(Err(vec![Fault {
                field: Some(assigned.field.clone()),
                message,
                hint,
                unknown: None,
            }]))
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
                self.references(&assigned.field, field, &assigned.value)
                    .await?
            }
            _ => plain(field, &assigned.value).map_err(|refused| match refused {
                (refused, None) => BadReferences::Whole(refused),
                (refused, Some(unknown)) => BadReferences::Names(vec![(unknown, refused)]),
            }),
        };
        match value {
            Ok(value) => Ok(Ok(FieldEntry {
                id: field.id,
                kind: field.kind,
                value,
            })),
            Err(BadReferences::Whole((message, hint))) => fault(message, hint),
            Err(BadReferences::Names(names)) => {
                let faults = names.into_iter().map(|(unknown, (message, hint))| Fault {
                    field: Some(assigned.field.clone()),
                    message,
                    hint,
                    unknown: Some(unknown),
                });
                Ok(Err(faults.collect()))
            }
        }
    }

    async fn references(
        &self,
        field_name: &str,
        field: &Field,
        value: &Value,
    ) -> Result<Result<Json, BadReferences>> {
        let whole = |message: String| Ok(Err(BadReferences::Whole((message, None))));
        let names: &[String] = match value {
            Value::Keywords(names) | Value::References(names) => names,
            Value::Text(name) => std::slice::from_ref(name),
            other => {
                return whole(format!(
                    "it takes {}, not {}",
                    wanted(field.kind),
                    other.kind()
                ));
            }
        };
        let Some(root) = field.root_id else {
            return whole("the tenant states no root for its entries".to_owned());
        };
        let mut ids: Vec<i64> = Vec::new();
        let mut foreseen: BTreeSet<String> = BTreeSet::new();
        let mut not_there = Vec::new();
        for name in names {
            match self.entry(field_name, field, root, name).await? {
                Ok(Some(id)) if ids.contains(&id) => {}
                Ok(Some(id)) => ids.push(id),
                Ok(None) => {
                    foreseen.insert(fold_key(name));
                }
                Err(refused) => not_there.push(refused),
            }
        }
        if !not_there.is_empty() {
            return Ok(Err(BadReferences::Names(not_there)));
        }
        let given = ids.len() + foreseen.len();
        if let Some(max) = field.max_selections.filter(|max| given > *max) {
            return whole(format!("it takes at most {max} entries, not {given}"));
        }
        Ok(Ok(json!(ids)))
    }

    /// The id of one entry; `None` for a keyword that will be created.
    async fn entry(
        &self,
        field_name: &str,
        field: &Field,
        root: i64,
        name: &str,
    ) -> Result<Result<Option<i64>, NotThere>> {
        let vocabulary = self.vocabularies.below(self.api, root).await?;
        let nearest = match vocabulary.find(name) {
            Entry::One(id) => return Ok(Ok(Some(id))),
            Entry::Several => {
                let message = format!("several entries are named {name:?}");
                let hint = "write its path, such as Parent/Name".to_owned();
                return Ok(Err((unknown(name, None, false), (message, Some(hint)))));
            }
            Entry::Unknown(nearest) => nearest,
        };
        let creatable = field.kind == FieldKind::TagReference
            && field.create_new_on_the_fly
            && preflight_name(name, NAME_UNITS_MAX).is_ok();
        let mut names = vocabulary.names();
        let twin = match creatable && self.minds_twins {
            true => names
                .find(|entry| is_all_but(entry, name))
                .map(str::to_owned),
            false => None,
        };
        let nearest = twin.clone().or(nearest);
        let is_accepted = || {
            let accepted = (field_name.to_owned(), fold_key(name.trim()));
            self.accepted.contains(&accepted)
        };
        if creatable && (self.any_keyword && twin.is_none() || is_accepted()) {
            match self.keywords {
                NewKeywords::Foreseen => return Ok(Ok(None)),
                NewKeywords::Created(locale) => {
                    let created = self.vocabularies.ensure(self.api, root, locale, name);
                    return Ok(Ok(Some(created.await?)));
                }
                NewKeywords::Refused => {}
            }
        }
        let hint = match &nearest {
            Some(near) => format!("did you mean {near:?}?"),
            None if creatable => {
                "add it to the vocabulary, decide that it is new, or set tagCreate in the tenant's \
                 profile"
                    .to_owned()
            }
            None => "add it to the vocabulary, or map it to an entry".to_owned(),
        };
        let refused = (format!("there is no entry {name:?}"), Some(hint));
        Ok(Err((unknown(name, nearest, creatable), refused)))
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
                unknown: None,
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
                && !draft
                    .fields
                    .iter()
                    .any(|assigned| assigned.field == *name && !is_empty(assigned))
                && !self.has(field.id, |_| true);
            if missing {
                resolved.faults.push(Fault {
                    field: Some(name.clone()),
                    message: "it is required and has no value".to_owned(),
                    hint: Some("let the plugin assign it, or set it in the flow".to_owned()),
                    unknown: None,
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
            unknown: None,
        });
    }
}

/// Whether a field is assigned in order to be emptied.
fn is_empty(assigned: &Assigned) -> bool {
    match &assigned.value {
        Value::Keywords(values) | Value::References(values) => values.is_empty(),
        _ => false,
    }
}

fn unknown(name: &str, nearest: Option<String>, creatable: bool) -> UnknownEntry {
    UnknownEntry {
        name: name.to_owned(),
        nearest,
        creatable,
    }
}

/// Whether two names are one but for accents, blanks, hyphens, case, or a single letter of a longer word: somebody who
/// wrote one may well have meant the other. Another digit is another thing: `Summer 2025` is not `Summer 2026`.
fn is_all_but(one: &str, other: &str) -> bool {
    let bare = |text: &str| -> String {
        let folded = fold_key(text);
        let letters = folded.nfd().filter(|c| c.is_alphanumeric());
        letters.collect()
    };
    let (one, other) = (bare(one), bare(other));
    let is_long = one.chars().count().min(other.chars().count()) >= 6;
    let digits = |text: &str| text.chars().filter(|c| c.is_numeric()).collect::<String>();
    let one_letter = || strsim::damerau_levenshtein(&one, &other) <= 1;
    one == other || is_long && digits(&one) == digits(&other) && one_letter()
}

/// A refusal, with the value where it is one that the options do not have.
type RefusedValue = (Refused, Option<UnknownEntry>);

fn plain(field: &Field, value: &Value) -> Result<Json, RefusedValue> {
    let whole = |refused: Refused| (refused, None);
    Ok(match (field.kind, value) {
        (FieldKind::Text | FieldKind::TextArea, Value::Text(text)) => {
            check_text(field, text).map_err(whole)?;
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
            let message = "its type is not known to this version of windlass";
            return Err(whole((message.to_owned(), None)));
        }
        (kind, value) => {
            let message = format!("it takes {}, not {}", wanted(kind), value.kind());
            return Err(whole((message, None)));
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

fn option(field: &Field, label: &str) -> Result<i64, RefusedValue> {
    let all = || field.options.values().flatten();
    if let Some(option) = all().find(|option| option.label == label) {
        return Ok(option.index);
    }
    let mut labels: Vec<&str> = all().map(|option| option.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let near = nearest(label, labels.iter().copied());
    let hint = match &near {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("its options are {}", labels.join(", ")),
    };
    let refused = (format!("there is no option {label:?}"), Some(hint));
    Err((refused, Some(unknown(label, near, false))))
}

pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = known.collect();
    if let Some(near) = nearest(name, all.iter().copied()) {
        return Some(format!("did you mean {near:?}?"));
    }
    (!all.is_empty()).then(|| format!("there is {}", all.join(", ")))
}
