//! Clauses: what one rule says of a release, and what all of them say together.
//!
//! A clause says one thing before its edge and another from it on. So what all say together changes only at
//! edges, and a ruling stands until the first edge after its moment at which another decision wins.

use jiff::Timestamp;
use windlass_sdk::{Decision, Finding};

/// What one rule says.
#[derive(Clone, Debug)]
pub struct Clause {
    /// The key of the configuration: `valid.until`.
    pub key: String,
    /// What it says before its edge.
    pub before: Say,
    /// When it says something else from then on, and what.
    pub edge: Option<(Timestamp, Say)>,
    /// The remark if that is soon and the release is allowed.
    pub warning: Option<Finding>,
}

/// A decision and half a sentence.
#[derive(Clone, Debug)]
pub struct Say {
    /// Yes, no, or a person must settle something.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

impl Say {
    /// Yes.
    pub fn allow(reason: impl Into<String>) -> Self {
        Say::new(Decision::Allow, reason)
    }

    /// A person must settle something.
    pub fn hold(reason: impl Into<String>) -> Self {
        Say::new(Decision::Hold, reason)
    }

    /// No.
    pub fn deny(reason: impl Into<String>) -> Self {
        Say::new(Decision::Deny, reason)
    }

    /// Any of them.
    pub fn new(decision: Decision, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Say { decision, reason }
    }
}

impl Clause {
    /// One that never changes.
    pub fn always(key: impl Into<String>, say: Say) -> Self {
        Clause {
            key: key.into(),
            before: say,
            edge: None,
            warning: None,
        }
    }

    /// One that changes at `edge`; `None` is beyond all time.
    pub fn changing(
        key: impl Into<String>,
        before: Say,
        edge: Option<Timestamp>,
        after: Say,
    ) -> Self {
        Clause {
            edge: edge.map(|edge| (edge, after)),
            ..Clause::always(key, before)
        }
    }

    /// What it says at a moment.
    pub fn at(&self, moment: Timestamp) -> &Say {
        match &self.edge {
            Some((edge, after)) if *edge <= moment => after,
            _ => &self.before,
        }
    }
}

/// The decision that wins at a moment: deny beats hold beats allow.
pub fn decision(clauses: &[Clause], moment: Timestamp) -> Decision {
    let said = clauses.iter().map(|clause| clause.at(moment).decision);
    said.max_by_key(rank).unwrap_or(Decision::Hold)
}

/// When the decision of a moment ceases to stand.
pub fn until(clauses: &[Clause], moment: Timestamp) -> Option<Timestamp> {
    let now = decision(clauses, moment);
    let edges = clauses.iter().filter_map(|clause| clause.edge.as_ref());
    let edges = edges.map(|(edge, _)| *edge).filter(|edge| *edge > moment);
    edges.filter(|edge| decision(clauses, *edge) != now).min()
}

fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Hold => 1,
        Decision::Deny => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn decisions() -> impl Strategy<Value = Decision> {
        prop_oneof![
            4 => Just(Decision::Allow),
            1 => Just(Decision::Hold),
            1 => Just(Decision::Deny),
        ]
    }

    fn clauses() -> impl Strategy<Value = Vec<Clause>> {
        let edge = proptest::option::of(0..20i64);
        let clause = (decisions(), edge, decisions()).prop_map(|(before, edge, after)| {
            let (before, after) = (Say::new(before, ""), Say::new(after, ""));
            Clause::changing("", before, edge.map(second), after)
        });
        proptest::collection::vec(clause, 0..6)
    }

    proptest! {
        #[test]
        fn a_decision_stands_exactly_until_it_ceases(clauses in clauses(), moment in 0..20i64) {
            let now = decision(&clauses, second(moment));
            let until = until(&clauses, second(moment));
            let ceases = until.map_or(22, |until| until.as_second());
            prop_assert!(ceases > moment);
            for later in moment..ceases {
                prop_assert_eq!(decision(&clauses, second(later)), now);
            }
            if let Some(until) = until {
                prop_assert_ne!(decision(&clauses, until), now);
            }
        }
    }

    #[test]
    fn no_clause_at_all_allows_nothing() {
        assert_eq!(decision(&[], second(0)), Decision::Hold);
    }
}
