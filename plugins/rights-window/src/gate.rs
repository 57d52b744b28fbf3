//! One release at a time: what every section says, which decision wins, until when it stands.

use jiff::Timestamp;
use windlass_sdk::{Decision, Host, Origin, Plugin, Release, RightsHook, Ruling};

use crate::check::{Checked, Of, Valid};
use crate::clause::{Clause, Say, decision, until};
use crate::config::{Bound, Config, Names};
use crate::facts::Facts;
use crate::standing::{beginning, ending};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The plugin: a checked configuration.
#[derive(Debug)]
pub struct RightsWindow {
    config: Checked,
}

impl Plugin for RightsWindow {
    const NAME: &'static str = "rights-window";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ASKS: &'static [Origin] = &[Origin::Source, Origin::Sheet];

    fn configure(config: &str, granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| {
            let text = error.to_string();
            // The position is one in JSON that the operator never saw.
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        })?;
        let config = config.check(granted)?;
        Ok(RightsWindow { config })
    }
}

impl RightsHook for RightsWindow {
    fn decide(&self, release: &Release, _host: &dyn Host) -> Ruling {
        let Ok(at) = release.at.parse::<Timestamp>() else {
            let reason = format!("the release's moment {:?} cannot be read", release.at);
            return Ruling::hold(reason, "at");
        };
        let clauses = self.clauses(release);
        let winner = decision(&clauses, at);
        let said = clauses
            .iter()
            .filter(|clause| clause.at(at).decision == winner);
        let reasons: Vec<&str> = said.clone().map(|clause| &*clause.at(at).reason).collect();
        let keys: Vec<&str> = said.map(|clause| &*clause.key).collect();
        let (reason, rule) = (reasons.join("; "), keys.join(", "));
        let mut ruling = match winner {
            Decision::Allow => Ruling::allow(reason, rule),
            Decision::Hold => Ruling::hold(reason, rule),
            Decision::Deny => Ruling::deny(reason, rule),
        };
        if winner == Decision::Allow {
            ruling.findings.extend(self.warnings(&clauses, at));
        }
        ruling.until(until(&clauses, at).map(|until| until.to_string()))
    }
}

impl RightsWindow {
    fn clauses(&self, release: &Release) -> Vec<Clause> {
        let config = &self.config;
        let facts = Facts {
            asset: &release.asset,
            trust: &config.trust,
        };
        let mut clauses = Vec::new();
        clauses.extend(config.status.as_ref().map(|status| status.clause(facts)));
        if let Some(valid) = &config.valid {
            self.valid(valid, facts, &mut clauses);
        }
        for (area, of) in &config.areas {
            let asked = match of {
                Of::Market => &release.market,
                Of::Channel => &release.channel,
            };
            area.clauses(facts, asked.as_deref(), &mut clauses);
        }
        if let Some(audiences) = &config.audiences {
            clauses.push(audiences.clause(facts, &release.audience));
        }
        for consent in &config.consents {
            consent.clauses(facts, config.calendar.as_ref(), &mut clauses);
        }
        clauses
    }

    fn valid(&self, valid: &Valid, facts: Facts<'_>, into: &mut Vec<Clause>) {
        let Some(calendar) = &self.config.calendar else {
            // Checked before: days without a calendar are refused.
            into.push(Clause::always(
                "time_zone",
                Say::hold("there is no time zone"),
            ));
            return;
        };
        let mut add = |bound: Bound, key: &str, names: &Option<Names>| {
            let Some(names) = names else { return };
            let clause = match (facts.value(names), bound) {
                (None, bound) if valid.required.contains(&bound) => {
                    Clause::always(key, Say::hold(format!("{} has no value", names.told())))
                }
                (None, _) => {
                    Clause::always(key, Say::allow(format!("{} sets no limit", names.told())))
                }
                (Some((name, value)), Bound::From) => {
                    beginning(key, "the first day", name, value, calendar)
                }
                (Some((name, value)), Bound::Embargo) => {
                    beginning(key, "the end of the embargo", name, value, calendar)
                }
                (Some((name, value)), Bound::Until) => {
                    ending(key, "the licence", name, value, calendar)
                }
            };
            into.push(clause);
        };
        add(Bound::From, "valid.from", &valid.from);
        add(Bound::Embargo, "valid.embargo", &valid.embargo);
        add(Bound::Until, "valid.until", &valid.until);
    }

    /// Remarks on what ends soon.
    fn warnings(&self, clauses: &[Clause], at: Timestamp) -> Vec<windlass_sdk::Finding> {
        let soon = i64::from(self.config.warn_days) * DAY_SECONDS;
        let ends_soon = |clause: &&Clause| {
            let edge = clause.edge.as_ref().map(|(edge, _)| *edge);
            // What lasts for another nanosecond of the last second still ends within it.
            edge.is_some_and(|edge| edge > at && edge.as_second() - at.as_second() <= soon)
        };
        let ending = clauses.iter().filter(ends_soon);
        match soon {
            0 => Vec::new(),
            _ => ending.filter_map(|clause| clause.warning.clone()).collect(),
        }
    }
}
