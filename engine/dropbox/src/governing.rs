//! Governed metadata: what the library says of an asset, beside the file that stands for it.
//!
//! All of it is one value of one custom property, a JSON object from technical names to values as people read them. It is
//! written as a whole and only where it differs; properties of others and stamps stay as they are. Dropbox keeps
//! 1,024 bytes of it: fields that do not fit are left out from the end, and the value says how many. An app that may not
//! write properties goes without.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::sleep;
use windlass_core::{AssetId, Assigned, Draft, DraftPart, Error, Kind, Result, Value};

use crate::client::Api;
use crate::errors::{Failure, PropertyGroupError};
use crate::templates::{Pattern, Templates};
use crate::wire::{FileMetadata, PropertyField, PropertyGroup};

/// The one field of the template.
const FIELD: &str = "fields";

const PATTERN: Pattern = Pattern {
    name: "Windlass governed metadata",
    description: "What the library says of the asset that a file stands for",
    field: FIELD,
    field_description: "A JSON object of technical names and values",
    without: "files are left without governed metadata",
};

/// How many bytes Dropbox keeps of one value.
const VALUE_BYTES_MAX: usize = 1024;

/// What the value calls the number of fields that did not fit.
const LEFT_OUT: &str = "(left out)";

/// How often it is tried to write while others hold the folder's lock, and how long is waited in between.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_secs(2);

/// The governed metadata of files of one account.
#[derive(Debug)]
pub(crate) struct Governing {
    api: Api,
    templates: Templates,
}

impl Governing {
    pub(crate) fn new(api: Api) -> Self {
        Governing {
            templates: Templates::new(api.clone(), PATTERN),
            api,
        }
    }

    /// The template that a draft's fields are written by; `None` where nothing is to be written, or may be. A draft without
    /// fields makes none, and finds one where there may be fields to take away.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn template(&self, draft: &Draft) -> Result<Option<Arc<str>>> {
        match (goes_beside(draft), draft.fields.is_empty()) {
            (true, false) => self.templates.writable().await,
            (true, true) => self.templates.existing().await,
            (false, _) => Ok(None),
        }
    }

    /// Makes what a file says what the draft says, if it is not.
    ///
    /// Errors: those of the calls; `NotFound` where the file is gone.
    pub(crate) async fn write(
        &self,
        template: Arc<str>,
        file: &FileMetadata,
        draft: &Draft,
    ) -> Result<()> {
        let wanted = text_of(&draft.fields);
        let there = said(&file.property_groups, &template);
        let is_as_wanted = match there {
            Some(there) => there == wanted,
            None => draft.fields.is_empty(),
        };
        if is_as_wanted {
            return Ok(());
        }
        match self.overwrite(&template, &file.id, &wanted).await {
            Err(Failure::Route(PropertyGroupError::TemplateNotFound(_), _)) => {
                self.begin_again(draft, file, &wanted).await
            }
            written => self.settle(written, file).await,
        }
    }

    /// Somebody removed the template, and with it what files said: a new one is made, once.
    async fn begin_again(&self, draft: &Draft, file: &FileMetadata, wanted: &str) -> Result<()> {
        self.templates.forget().await;
        match self.template(draft).await? {
            Some(template) => {
                let written = self.overwrite(&template, &file.id, wanted).await;
                self.settle(written, file).await
            }
            None => Ok(()),
        }
    }

    /// What became of writing: an app that may not do it goes without from now on.
    async fn settle(
        &self,
        written: std::result::Result<(), Failure<PropertyGroupError>>,
        file: &FileMetadata,
    ) -> Result<()> {
        match written {
            Ok(()) => Ok(()),
            Err(Failure::Call(error)) if error.kind() == Kind::Denied => {
                self.templates.give_up(error).await
            }
            Err(failure) => {
                let error = Error::from(failure).with_context("asset", AssetId::new(&*file.id));
                Err(error.with_context("writing", "governed metadata"))
            }
        }
    }

    async fn overwrite(
        &self,
        template: &str,
        id: &str,
        value: &str,
    ) -> std::result::Result<(), Failure<PropertyGroupError>> {
        let group = PropertyGroup {
            template_id: template.to_owned(),
            fields: vec![PropertyField {
                name: FIELD.to_owned(),
                value: value.to_owned(),
            }],
        };
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.api.overwrite_properties(id, &group).await {
                Ok(_) => return Ok(()),
                // Our own commits hold the folder's lock, too.
                Err(Failure::Route(PropertyGroupError::Other(_), _)) if tries > 0 => {
                    sleep(WAIT).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Whether the fields of a draft are something beside a file, whose place is not the draft's to say. Of anything else
/// nobody would see what Dropbox keeps.
pub(crate) fn goes_beside(draft: &Draft) -> bool {
    let yields = &draft.yields;
    yields.contains(&DraftPart::Name) && yields.contains(&DraftPart::Collection)
}

/// What a file says by a template.
fn said<'a>(groups: &'a [PropertyGroup], template: &str) -> Option<&'a str> {
    let mut groups = groups.iter();
    let group = groups.find(|group| group.template_id == template)?;
    let field = group.fields.iter().find(|field| field.name == FIELD)?;
    Some(&field.value)
}

/// The value that says fields, in their order. A field that is too long by itself does not push out those behind it.
fn text_of(fields: &[Assigned]) -> String {
    let members: Vec<String> = fields
        .iter()
        .map(|one| member(&one.field, &shown(&one.value)))
        .collect();
    let all = object(&members, 0);
    if all.len() <= VALUE_BYTES_MAX {
        return all;
    }
    let fits = |kept: &[String]| {
        let text = object(kept, members.len() - kept.len());
        (text.len() <= VALUE_BYTES_MAX).then_some(text)
    };
    let mut kept = members.clone();
    kept.retain(|one| fits(std::slice::from_ref(one)).is_some());
    loop {
        match fits(&kept) {
            Some(text) => return text,
            None if kept.pop().is_some() => {}
            None => return object(&[], members.len()),
        }
    }
}

/// One member of a JSON object.
fn member(name: &str, value: &Json) -> String {
    format!("{}:{value}", Json::from(name))
}

fn object(members: &[String], left_out: usize) -> String {
    let mark = (left_out > 0).then(|| member(LEFT_OUT, &left_out.into()));
    let all: Vec<&str> = members
        .iter()
        .chain(&mark)
        .map(std::string::String::as_str)
        .collect();
    format!("{{{}}}", all.join(","))
}

/// A value as people read it.
fn shown(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::LocalizedText(texts) => json!(texts),
        Value::Number(number) => json!(number),
        Value::Decimal(number) => json!(number),
        Value::Date(day) => json!(day.to_string()),
        Value::Boolean(is_so) => json!(is_so),
        Value::Keywords(names) | Value::References(names) => json!(names),
    }
}
