//! What steps of release flows do beside moving bytes: they ask the rights gate, hand out what goes with a file, and take
//! files back.
//!
//! What a crash leaves of taking back, and what the next attempt does:
//!
//! | crash after | at the sink | next attempt |
//! |---|---|---|
//! | the links ended | the file, without links | takes it back |
//! | the file is where it is kept | nothing where people look | finds it there: it is back |
//! | the file was deleted | nothing | finds nothing: it is gone |
//! | the outcome was not recorded | the same, perhaps the note | the same; the note is found by its bytes |

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_core::{
    Asset, AssetPath, Correlation, Destination, Draft, Error, Finding, Kind, LinkTerms, Outcome,
    Outlet, Placed, Placement, Result, Sink, Status, Taken, Usage, Withdrawal,
};

use crate::delivery::{Clearance, asset_of, slot_of};
use crate::documents;
use crate::observe::{Event, Observer};
use crate::rights::{Passing, RightsGate};

/// What release flows add to a [`Runner`](super::Runner).
#[derive(Debug)]
pub struct Desk {
    /// The flow's name in the configuration.
    pub flow: String,
    /// Whether something may leave.
    pub gate: Arc<RightsGate>,
    /// Where people take it from.
    pub outlet: Arc<dyn Outlet>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

impl Desk {
    /// The question whether a delivery may become visible.
    pub(super) fn passing(&self, asset: &Asset, release: &Clearance) -> Passing {
        Passing {
            gate: Arc::clone(&self.gate),
            asset: asset_of(&asset.id),
            revision: release.revision.clone(),
            uses: release.uses.clone(),
        }
    }

    /// Whether the library has the asset of a delivery.
    pub(super) async fn is_there(&self, asset: &Asset) -> Result<bool> {
        let held = self.gate.library.consult(&[asset_of(&asset.id)]).await?;
        Ok(held.into_iter().any(|held| held.is_some()))
    }

    /// What is read for a delivery: the original under its own id, or the rendition once it is made.
    pub(super) async fn readable(&self, asset: &Asset, release: &Clearance) -> Result<Asset> {
        let Some(rendition) = &release.rendition else {
            return Ok(asset.clone());
        };
        let original = Asset {
            id: asset_of(&asset.id),
            revision: release.revision.clone(),
            ..asset.clone()
        };
        let rendered = self.gate.library.render(&original, rendition).await?;
        Ok(Asset {
            id: asset.id.clone(),
            path: asset.path.clone(),
            ..rendered
        })
    }

    /// Hands out what goes with a file that is in place, and takes away the note that stood there. Answers whether all of
    /// it was done: what was not is told, and tried again by the next run.
    pub(super) async fn hand_over(
        &self,
        asset: &Asset,
        placed: &Placed,
        draft: &Draft,
        release: Option<&Clearance>,
    ) -> bool {
        if let Some(note) = release.and_then(|release| release.note.as_ref())
            && let Err(error) = self.outlet.remove(note).await
        {
            self.tell(asset, "the note in its place stays", &error);
        }
        let Some(handing) = &draft.handing else {
            return true;
        };
        let link = match &handing.link {
            None => None,
            Some(terms) => match self.link(placed, terms).await {
                Ok(url) => Some(url),
                Err(error) => {
                    self.tell(asset, "it has no link", &error);
                    return false;
                }
            },
        };
        if !handing.receipt {
            return true;
        }
        let path = draft.collection.join(&draft.file_name);
        let url = link.unwrap_or_else(|| self.outlet.address(&path));
        let usage = Usage {
            instance: self.instance(asset),
            url: self.receipt(&url, asset, placed),
        };
        let library = &self.gate.library;
        match library.note_usage(&asset_of(&asset.id), &usage).await {
            Ok(()) => true,
            Err(error) => {
                let name = library.name();
                self.tell(asset, &format!("{name} was not told of it"), &error);
                false
            }
        }
    }

    async fn link(&self, placed: &Placed, terms: &LinkTerms) -> Result<String> {
        let link = self.outlet.link(placed, terms).await?;
        Ok(link.url)
    }

    /// What tells a copy from all others, at the library.
    fn instance(&self, asset: &Asset) -> String {
        format!("{}/{}", self.flow, slot_of(&asset.id))
    }

    /// Where it is, and behind that what a person who looks at it wants to know; browsers do not send that part.
    fn receipt(&self, url: &str, asset: &Asset, placed: &Placed) -> String {
        let mark = match url.contains('#') {
            true => '&',
            false => '#',
        };
        let at = self.gate.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let (version, evidence) = (&asset.revision, placed.evidence);
        format!("{url}{mark}version={version}&evidence={evidence:?}&at={at}")
    }

    /// Takes back what was placed.
    pub(super) async fn take_back(&self, back: Back<'_>) -> Result<Outcome> {
        let placement = back.placement;
        let taken = self
            .outlet
            .take_back(&placement.placed, back.keep)
            .await
            .map_err(|error| error.with_context("taking back", &placement.placed.asset))?;
        // Nobody misses what was gone already.
        let is_back = matches!(taken, Taken::Back { .. });
        let (kept, links, recipients) = match taken {
            Taken::Changed { path, .. } => {
                return Ok(Outcome::Held {
                    reason: format!(
                        "somebody changed its copy {path}, so it was left there; take it back by hand: {}",
                        back.why
                    ),
                    hold: None,
                });
            }
            Taken::Absent => (None, Vec::new(), Vec::new()),
            Taken::Back {
                kept,
                links,
                recipients,
            } => (kept, links, recipients),
        };
        let asset = asset_of(&placement.source_asset);
        let instance = format!("{}/{}", self.flow, slot_of(&placement.source_asset));
        let library = &self.gate.library;
        if let Err(error) = library.forget_usage(&asset, &instance).await {
            let name = library.name();
            self.tell(
                back.asset,
                &format!("{name} still says that it is there"),
                &error,
            );
        }
        let note = match back.note.filter(|_| is_back) {
            None => None,
            Some(text) => self.leave_note(&back, text).await,
        };
        Ok(Outcome::Withdrawn(Box::new(Withdrawal {
            placement: placement.clone(),
            reason: back.why.to_owned(),
            kept,
            links,
            recipients,
            note,
            at: self.gate.clock.now(),
        })))
    }

    async fn leave_note(&self, back: &Back<'_>, text: &str) -> Option<Placed> {
        let draft = Draft {
            name: note_name(&back.draft.file_name),
            file_name: note_name(&back.draft.file_name),
            collection: back.draft.collection.clone(),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: BTreeSet::new(),
        };
        let mark = Correlation::derive(
            &self.flow,
            &back.placement.source,
            back.placement.source_asset.as_str(),
            "note",
        );
        let destination = Destination::New { draft };
        let sink: &dyn Sink = self.outlet.as_ref();
        match documents::upload(sink, &destination, &mark, text.as_bytes()).await {
            Ok(placed) => Some(placed),
            Err(error) => {
                self.tell(back.asset, "no note stands in its place", &error);
                None
            }
        }
    }

    /// Tells a person what could not be done and stops nothing.
    pub(super) fn tell(&self, asset: &Asset, what: &str, error: &Error) {
        let finding = Finding {
            subject: asset.path.to_string(),
            message: format!("{what}: {}", error.chain()),
        };
        tracing::warn!(path = %asset.path, "{}", finding.message);
        self.observer.observe(Event::Found { finding: &finding });
    }
}

/// What is to be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back<'a> {
    pub(super) placement: &'a Placement,
    pub(super) asset: &'a Asset,
    pub(super) draft: &'a Draft,
    pub(super) why: &'a str,
    pub(super) keep: Option<&'a AssetPath>,
    pub(super) note: Option<&'a str>,
}

/// What a note in the place of a file is called.
pub(crate) fn note_name(file_name: &str) -> String {
    format!("{file_name} - withdrawn.txt")
}

/// What was to be moved is not as it was placed any more.
pub(super) fn touched(asset: &Asset) -> Error {
    Error::new(
        Kind::Conflict,
        "somebody changed or removed its copy since the plan was made",
    )
    .with_context("path", &asset.path)
    .with_status(Status::Persistent)
}
