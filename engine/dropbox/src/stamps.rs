//! Stamps: what each file that is placed says of where it came from, in a custom property that nobody else sees.
//!
//! A property belongs to a template of the account, which is looked for once and made where it is missing. The stamp
//! travels with the commit, so it costs no call. An account or app that does not allow it goes without: the ledger remembers
//! where things came from, and the stamp is for the day when it is lost.

use std::sync::Arc;

use tokio::sync::Mutex;
use windlass_core::{Error, Kind, Result, Stamp, Status};

use crate::client::Api;
use crate::wire::{PropertyField, PropertyGroup, Template, TemplateField};

/// The template's name, as an app's own templates are listed.
const TEMPLATE: &str = "Windlass";

/// The one field of it.
const FIELD: &str = "stamp";

/// The templates by which files of one account are stamped.
#[derive(Debug)]
pub(crate) struct Stamps {
    api: Api,
    /// Whether files are stamped.
    wanted: bool,
    /// Held while somebody asks, so that a thousand uploads that begin together ask once.
    templates: Mutex<Templates>,
}

#[derive(Debug, Default)]
struct Templates {
    /// `None` before anybody looked. Two processes may each have made one, and stamps of both are read; the first is
    /// written.
    known: Option<Arc<[Arc<str>]>>,
    /// It cannot be made: files go without.
    refused: bool,
}

impl Stamps {
    pub(crate) fn new(api: Api, wanted: bool) -> Self {
        Stamps {
            api,
            wanted,
            templates: Mutex::default(),
        }
    }

    /// Whether files are stamped.
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// The templates that stamps belong to. Errors: what prevents looking.
    pub(crate) async fn templates(&self) -> Result<Arc<[Arc<str>]>> {
        let mut templates = self.templates.lock().await;
        self.known(&mut templates).await
    }

    /// The template of new stamps; `None` where there are none to be.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn template(&self) -> Result<Option<Arc<str>>> {
        if !self.wanted {
            return Ok(None);
        }
        let mut templates = self.templates.lock().await;
        if templates.refused {
            return Ok(None);
        }
        let chosen = async {
            match self.known(&mut templates).await?.first() {
                Some(known) => Ok(Arc::clone(known)),
                None => {
                    let made = self.make().await?;
                    templates.known = Some(Arc::new([Arc::clone(&made)]));
                    Ok(made)
                }
            }
        };
        match chosen.await {
            Ok(template) => Ok(Some(template)),
            Err(error) if passes(&error) => Err(error),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "files are placed without stamps");
                templates.refused = true;
                Ok(None)
            }
        }
    }

    async fn known(&self, templates: &mut Templates) -> Result<Arc<[Arc<str>]>> {
        if let Some(known) = &templates.known {
            return Ok(Arc::clone(known));
        }
        let known: Arc<[Arc<str>]> = self.look().await?.into();
        templates.known = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn look(&self) -> Result<Vec<Arc<str>>> {
        let listed = self.api.templates().await.map_err(Error::from)?;
        let mut ours = Vec::new();
        for id in listed.template_ids {
            let template = self.api.template(&id).await.map_err(Error::from)?;
            let is_ours = template.name == TEMPLATE
                && template.fields.iter().any(|field| field.name == FIELD);
            if is_ours {
                ours.push(id.into());
            }
        }
        Ok(ours)
    }

    async fn make(&self) -> Result<Arc<str>> {
        let template = Template {
            name: TEMPLATE.to_owned(),
            description: "Where Windlass took a file from".to_owned(),
            fields: vec![TemplateField {
                name: FIELD.to_owned(),
                description: "Revision, asset, BLAKE3 of the bytes, digest of the plan".to_owned(),
                kind: Some("string"),
            }],
        };
        let made = self
            .api
            .add_template(&template)
            .await
            .map_err(Error::from)?;
        Ok(made.template_id.into())
    }
}

/// Whether it may be otherwise when it is tried again.
fn passes(error: &Error) -> bool {
    error.status() != Status::Permanent
        || matches!(error.kind(), Kind::Cancelled | Kind::Unauthenticated)
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
