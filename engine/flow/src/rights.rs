//! The rights gate: nothing leaves a library unless everybody who may object allows it at that moment.
//!
//! The library's own word comes first (is the asset there, validly filed, available now), then the customer's rules.
//! Whatever is unknown, cannot be read or fails is a no. The same gate is asked three times: when a plan is made, right
//! before bytes become visible, and about everything that is visible whenever a flow runs.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::{
    Asset, AssetId, AssetView, Availability, Clock, Decision, Error, Finding, Holding, HookKind,
    Hooks, Kind, Library, Query, Release, Result, Revision, Ruling, Usable,
};

/// How many releases a hook is asked about at once.
const BATCH: usize = 256;

/// Who is to get what, and what counts as a yes.
#[derive(Clone, Debug, Serialize)]
pub struct RightsOptions {
    /// Who gets it, in the operator's words.
    pub audience: String,
    /// The market that everything of the flow is for, where it is for one.
    pub market: Option<String>,
    /// The channel that everything of the flow is for, where it is for one.
    pub channel: Option<String>,
    /// An asset of which nothing says whether it may be used, may be used.
    pub unstated_is_open: bool,
    /// What the library says about availability decides nothing: for archives, which keep what has ended. Whether it is
    /// filed validly decides nothing then either.
    pub ignores_availability: bool,
}

/// What a copy is for. What is not said is for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// The market's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// The channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// Whether something may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Open {
        /// Until when, as far as anybody has said.
        until: Option<Timestamp>,
        /// Who decided it, and why.
        by: String,
    },
    /// It may not.
    Shut {
        /// Why, in one sentence without a full stop.
        reason: String,
        /// Somebody said no; else nobody could say yes.
        is_denied: bool,
        /// When that may change by itself.
        until: Option<Timestamp>,
    },
}

impl Passage {
    fn denied(reason: String, until: Option<Timestamp>) -> Self {
        Passage::Shut {
            reason,
            is_denied: true,
            until,
        }
    }

    /// When it has to be asked again at the latest.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Passage::Open { until, .. } | Passage::Shut { until, .. } => *until,
        }
    }

    /// Both must allow it.
    fn and(self, other: Passage) -> Passage {
        match (self, other) {
            (Passage::Open { until: a, .. }, Passage::Open { until: b, by }) => Passage::Open {
                until: earlier(a, b),
                by,
            },
            (Passage::Open { .. }, shut) | (shut, Passage::Open { .. }) => shut,
            // A no weighs more than a doubt.
            (
                Passage::Shut {
                    is_denied: false, ..
                },
                second,
            ) => second,
            (first, _) => first,
        }
    }
}

/// The earlier of two times, either of which may be none.
pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct RightsGate {
    /// Who governs the assets.
    pub library: Arc<dyn Library>,
    /// The customer's rules, where configured; answers the rights hook.
    pub hooks: Option<Arc<dyn Hooks>>,
    /// What the flow is about: an asset that is not among it may not leave by it. `None` where others belong to it as well.
    pub query: Option<Query>,
    /// What counts as a yes.
    pub options: RightsOptions,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Something that may leave or not, for these uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) holding: &'a Holding,
    pub(crate) uses: &'a [Use],
}

impl RightsGate {
    /// Whether each may leave now, in the same order, and what the rules remarked.
    pub(crate) async fn judge(&self, asked: &[Asked<'_>]) -> (Vec<Passage>, Vec<Finding>) {
        let now = self.clock.now();
        let mut passages: Vec<Passage> = asked
            .iter()
            .map(|asked| self.library_says(asked.holding, now))
            .collect();
        let mut findings = Vec::new();
        let Some(hooks) = &self.hooks else {
            return (passages, findings);
        };
        // Only what the library allows is worth a question.
        let mut whose = Vec::new();
        let mut releases = Vec::new();
        for (index, (asked, passage)) in asked.iter().zip(&passages).enumerate() {
            if matches!(passage, Passage::Shut { .. }) {
                continue;
            }
            for one in asked.uses {
                whose.push(index);
                releases.push(self.release(hooks.as_ref(), asked.holding, one, now));
            }
            if asked.uses.is_empty() {
                whose.push(index);
                releases.push(self.release(hooks.as_ref(), asked.holding, &Use::default(), now));
            }
        }
        let rulings = rulings(hooks.as_ref(), &releases).await;
        for (index, ruling) in whose.into_iter().zip(rulings) {
            findings.extend(ruling.findings.iter().cloned());
            let before = passages[index].clone();
            passages[index] = before.and(of_ruling(ruling, now));
        }
        (passages, findings)
    }

    /// Whether one asset may become visible at this moment, read anew.
    ///
    /// Errors: `Blocked` where it may not, `SourceChanged` where it is another revision by now.
    pub(crate) async fn pass(
        &self,
        asset: &AssetId,
        revision: &Revision,
        uses: &[Use],
    ) -> Result<()> {
        let held = self.library.consult(std::slice::from_ref(asset)).await?;
        let Some(holding) = held.into_iter().next().flatten() else {
            return Err(blocked(self.gone()));
        };
        if holding.asset.revision != *revision {
            return Err(Error::new(
                Kind::Blocked,
                "there is a newer version since the plan was made",
            )
            .with_hint("the next run plans it again"));
        }
        if let Some(comment) = &holding.locked {
            return Err(blocked(format!("somebody works on it: {comment}")));
        }
        let objection = self.query.as_ref();
        if let Some(objection) = objection.and_then(|query| query.objection(&holding)) {
            return Err(blocked(objection));
        }
        let asked = Asked {
            holding: &holding,
            uses,
        };
        match self.judge(&[asked]).await.0.remove(0) {
            Passage::Open { .. } => Ok(()),
            Passage::Shut { reason, .. } => Err(blocked(reason)),
        }
    }

    /// Why what cannot be found may not leave.
    pub(crate) fn gone(&self) -> String {
        format!("it is gone from {}, or hidden", self.library.name())
    }

    fn library_says(&self, holding: &Holding, now: Timestamp) -> Passage {
        let open = |until| Passage::Open {
            until,
            by: format!("{} allows it", self.library.name()),
        };
        if self.options.ignores_availability {
            return open(None);
        }
        if !holding.is_released {
            return Passage::denied("it is not released".to_owned(), None);
        }
        match &holding.usable {
            Usable::Stated(Availability::Direct { available: true }) => open(None),
            Usable::Stated(Availability::Direct { available: false }) => {
                Passage::denied("it is switched off".to_owned(), None)
            }
            Usable::Stated(Availability::Dated { from, to }) => {
                if let Some(from) = from.filter(|from| *from > now) {
                    return Passage::denied(format!("it is available from {from}"), Some(from));
                }
                match to {
                    Some(to) if *to < now => {
                        Passage::denied(format!("its availability ended on {to}"), None)
                    }
                    to => open(*to),
                }
            }
            Usable::Unstated if self.options.unstated_is_open => open(None),
            Usable::Unstated => Passage::Shut {
                reason: "nothing says whether it may be used".to_owned(),
                is_denied: false,
                until: None,
            },
            Usable::Unreadable(text) => Passage::Shut {
                reason: format!("its availability cannot be understood: {text}"),
                is_denied: false,
                until: None,
            },
        }
    }

    fn release(&self, hooks: &dyn Hooks, held: &Holding, one: &Use, at: Timestamp) -> Release {
        Release {
            asset: view(hooks, held),
            audience: self.options.audience.clone(),
            market: one.market.clone().or_else(|| self.options.market.clone()),
            channel: one.channel.clone().or_else(|| self.options.channel.clone()),
            at,
        }
    }
}

/// What a hook is told about an asset.
pub(crate) fn view(hooks: &dyn Hooks, held: &Holding) -> AssetView {
    let Asset {
        id,
        path,
        revision,
        size,
        modified,
        content_hash,
        ..
    } = held.asset.clone();
    let granted = hooks.granted();
    let statements = held.statements.iter();
    AssetView {
        id,
        path,
        revision,
        size,
        modified,
        tags: Vec::new(),
        content_hash,
        asset_type: held.asset_type.clone(),
        statements: statements
            .filter(|statement| granted.contains(&statement.origin))
            .cloned()
            .collect(),
    }
}

/// Rules that cannot be asked allow nothing.
async fn rulings(hooks: &dyn Hooks, releases: &[Release]) -> Vec<Ruling> {
    let name = &hooks.identity().name;
    let mut rulings = Vec::with_capacity(releases.len());
    for batch in releases.chunks(BATCH) {
        let answered = match hooks.kinds().contains(&HookKind::Rights) {
            true => hooks.decide(batch).await,
            false => Err(hooks.cannot(HookKind::Rights)),
        };
        match answered {
            Ok(answered) if answered.len() == batch.len() => rulings.extend(answered),
            Ok(_) => {
                let why = format!("the plugin {name} answered another number of questions");
                rulings.extend(batch.iter().map(|_| Ruling::held(why.clone(), "host")));
            }
            Err(error) => {
                let why = format!("the rights rules cannot be asked: {}", error.chain());
                rulings.extend(batch.iter().map(|_| Ruling::held(why.clone(), "host")));
            }
        }
    }
    rulings
}

fn of_ruling(ruling: Ruling, now: Timestamp) -> Passage {
    let Ruling {
        decision,
        until,
        reason,
        rule,
        ..
    } = ruling;
    let told = match rule.is_empty() {
        true => reason,
        false => format!("{reason} ({rule})"),
    };
    match decision {
        Decision::Allow if until.is_some_and(|until| until <= now) => Passage::Shut {
            reason: format!("the rules allow it until a moment that is over: {told}"),
            is_denied: true,
            until: None,
        },
        Decision::Allow => Passage::Open { until, by: told },
        Decision::Deny => Passage::denied(told, until),
        Decision::Hold => Passage::Shut {
            reason: told,
            is_denied: false,
            until,
        },
    }
}

pub(crate) fn blocked(reason: String) -> Error {
    Error::new(Kind::Blocked, format!("blocked by rights: {reason}"))
}

/// The gate about one delivery, for the moment in which its bytes become visible.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) gate: Arc<RightsGate>,
    pub(crate) asset: AssetId,
    pub(crate) revision: Revision,
    pub(crate) uses: Vec<Use>,
}

#[async_trait]
impl windlass_transfer::Gate for Passing {
    async fn pass(&self) -> Result<()> {
        self.gate
            .pass(&self.asset, &self.revision, &self.uses)
            .await
    }
}
