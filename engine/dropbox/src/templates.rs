//! Templates of ours: which custom properties files of an account may have that nobody else sees.
//!
//! A template belongs to the account. It is looked for once in each process and made where it is missing. An app that may
//! not do so goes without, and says so once.

use std::sync::Arc;

use tokio::sync::Mutex;
use windlass_core::{Error, Kind, Result, Status};

use crate::client::Api;
use crate::wire::{Template, TemplateField};

/// What a template of ours is. It has one field.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The template's name, as an app's own templates are listed.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) field: &'static str,
    pub(crate) field_description: &'static str,
    /// What is said where it cannot be had.
    pub(crate) without: &'static str,
}

/// The templates of one pattern in one account.
#[derive(Debug)]
pub(crate) struct Templates {
    api: Api,
    pattern: Pattern,
    /// Held while somebody asks, so that a thousand files that come together ask once.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before anybody looked. Two processes may each have made one: all are read, and the first is written.
    known: Option<Arc<[Arc<str>]>>,
    /// It cannot be had: files go without.
    refused: bool,
}

impl Templates {
    pub(crate) fn new(api: Api, pattern: Pattern) -> Self {
        Templates {
            api,
            pattern,
            state: Mutex::default(),
        }
    }

    /// Those that are there. Errors: what prevents looking.
    pub(crate) async fn all(&self) -> Result<Arc<[Arc<str>]>> {
        let mut state = self.state.lock().await;
        self.known(&mut state).await
    }

    /// The one to write, if it is there or can be made.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn writable(&self) -> Result<Option<Arc<str>>> {
        let mut state = self.state.lock().await;
        if state.refused {
            return Ok(None);
        }
        let chosen = async {
            match self.known(&mut state).await?.first() {
                Some(known) => Ok(Arc::clone(known)),
                None => {
                    let made = self.make().await?;
                    state.known = Some(Arc::new([Arc::clone(&made)]));
                    Ok(made)
                }
            }
        };
        let chosen = chosen.await;
        self.or_without(&mut state, chosen)
    }

    /// The one to write, if it is there; nothing is made.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn existing(&self) -> Result<Option<Arc<str>>> {
        let mut state = self.state.lock().await;
        if state.refused {
            return Ok(None);
        }
        match self.known(&mut state).await {
            Ok(known) => Ok(known.first().map(Arc::clone)),
            Err(error) => self.or_without(&mut state, Err(error)),
        }
    }

    /// Forgets what was looked up: somebody removed it meanwhile.
    pub(crate) async fn forget(&self) {
        self.state.lock().await.known = None;
    }

    /// Goes without from now on.
    ///
    /// Errors: what passes, so that it is tried again.
    pub(crate) async fn give_up(&self, error: Error) -> Result<()> {
        let mut state = self.state.lock().await;
        self.or_without(&mut state, Err(error)).map(drop)
    }

    fn or_without(&self, state: &mut State, chosen: Result<Arc<str>>) -> Result<Option<Arc<str>>> {
        match chosen {
            Ok(template) => Ok(Some(template)),
            Err(error) if passes(&error) => Err(error),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "{}", self.pattern.without);
                state.refused = true;
                Ok(None)
            }
        }
    }

    async fn known(&self, state: &mut State) -> Result<Arc<[Arc<str>]>> {
        if let Some(known) = &state.known {
            return Ok(Arc::clone(known));
        }
        let known: Arc<[Arc<str>]> = self.look().await?.into();
        state.known = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn look(&self) -> Result<Vec<Arc<str>>> {
        let listed = self.api.templates().await.map_err(Error::from)?;
        let mut ours = Vec::new();
        for id in listed.template_ids {
            let template = self.api.template(&id).await.map_err(Error::from)?;
            let mut fields = template.fields.iter();
            if template.name == self.pattern.name
                && fields.any(|field| field.name == self.pattern.field)
            {
                ours.push(id.into());
            }
        }
        Ok(ours)
    }

    async fn make(&self) -> Result<Arc<str>> {
        let template = Template {
            name: self.pattern.name.to_owned(),
            description: self.pattern.description.to_owned(),
            fields: vec![TemplateField {
                name: self.pattern.field.to_owned(),
                description: self.pattern.field_description.to_owned(),
                kind: Some("string"),
            }],
        };
        let made = self.api.add_template(&template).await;
        Ok(made.map_err(Error::from)?.template_id.into())
    }
}

/// Whether it may be otherwise when it is tried again.
fn passes(error: &Error) -> bool {
    error.status() != Status::Permanent
        || matches!(error.kind(), Kind::Cancelled | Kind::Unauthenticated)
}
