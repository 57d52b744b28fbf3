//! Stamps: what each file that is placed says of where it came from, in a custom property that nobody else sees.
//!
//! The stamp travels with the commit, so it costs no call but those for its template. An account or app that does not
//! allow it goes without: the ledger remembers where things came from, and the stamp is for the day when it is lost.

use std::sync::Arc;

use windlass_core::{Result, Stamp};

use crate::client::Api;
use crate::errors::Failure;
use crate::templates::{Pattern, Templates};
use crate::wire::{PropertyField, PropertyGroup, PropertyMatch};

/// The one field of the template.
const FIELD: &str = "stamp";

const PATTERN: Pattern = Pattern {
    name: "Windlass",
    description: "Where Windlass took a file from",
    field: FIELD,
    field_description: "Revision, asset, BLAKE3 of the bytes, digest of the plan",
    without: "files are placed without stamps",
};

/// The templates by which files of one account are stamped.
#[derive(Debug)]
pub(crate) struct Stamps {
    api: Api,
    templates: Templates,
    /// Whether files are stamped.
    wanted: bool,
}

impl Stamps {
    pub(crate) fn new(api: Api, wanted: bool) -> Self {
        Stamps {
            templates: Templates::new(api.clone(), PATTERN),
            api,
            wanted,
        }
    }

    /// Whether files are stamped.
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// The templates that stamps belong to. Errors: what prevents looking.
    pub(crate) async fn templates(&self) -> Result<Arc<[Arc<str>]>> {
        self.templates.all().await
    }

    /// The ids of files that carry just this stamp, wherever they are. None where files carry none.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn find(&self, stamp: &Stamp) -> Result<Vec<String>> {
        if !self.wanted {
            return Ok(Vec::new());
        }
        let templates = self.templates().await?;
        if templates.is_empty() {
            return Ok(Vec::new());
        }
        let value = stamp.to_string();
        let found = self
            .api
            .search_properties((FIELD, &value), &templates)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(Failure::Route(error, _)) => {
                // Somebody removed the template, or the route does not do what it is said to: nothing is found by it.
                tracing::info!(?error, "stamps cannot be looked for");
                self.templates.forget().await;
                return Ok(Vec::new());
            }
            Err(other) => return Err(other.into()),
        };
        let carries = |one: &PropertyMatch| {
            !one.is_deleted && stamp_of(&one.property_groups).as_ref() == Some(stamp)
        };
        let found = found.matches.into_iter().filter(carries);
        Ok(found.map(|one| one.id).collect())
    }

    /// The template of new stamps; `None` where there are none to be.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn template(&self) -> Result<Option<Arc<str>>> {
        match self.wanted {
            true => self.templates.writable().await,
            false => Ok(None),
        }
    }
}

/// A stamp as a property of a file.
pub(crate) fn property(template: &str, stamp: &Stamp) -> PropertyGroup {
    PropertyGroup {
        template_id: template.to_owned(),
        fields: vec![PropertyField {
            name: FIELD.to_owned(),
            value: stamp.to_string(),
        }],
    }
}

/// The stamp among a file's properties.
pub(crate) fn stamp_of(groups: &[PropertyGroup]) -> Option<Stamp> {
    let mut fields = groups.iter().flat_map(|group| &group.fields);
    fields.find_map(|field| field.value.parse().ok())
}
