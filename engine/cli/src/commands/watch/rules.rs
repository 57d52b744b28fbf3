//! From configuration to the scheduler's rules, and to the throttles that windows hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::Result;
use windlass_flow::daemon::{FlowRules, Pass};
use windlass_transfer::Throttle;

use crate::config::{Config, FlowConfig};

/// When a flow runs.
pub(super) fn rules(name: &str, config: &Config) -> Result<FlowRules> {
    let watch = &config.watch;
    // Both ways of a flow go by what is said of it.
    let whole = config.whole(name);
    let schedule = watch.schedule_of(whole)?;
    let sweep = watch.sweep_of(whole);
    let rules = FlowRules {
        flow: name.to_owned(),
        priority: watch.priority_of(whole),
        // Who says when everything is to be done does not want it in between.
        full_every: schedule.is_empty().then_some(sweep),
        sweep_every: None,
        poll: None,
        on_ring: Some(Pass::Full),
        at_start: Some(Pass::Full),
        on_due: Pass::Full,
        windows: watch.windows_of(whole)?,
        schedule,
    };
    Ok(match config.flow(name)? {
        FlowConfig::Ingest(_) => FlowRules {
            // Whoever brings something in is called by changes also where a schedule says when all of it is looked at.
            poll: Some(watch.poll_of(whole)),
            ..rules
        },
        // Either way is called by its own side, and looks at both all the same.
        FlowConfig::Sync(_) => FlowRules {
            full_every: Some(sweep),
            poll: Some(watch.poll_of(whole)),
            ..rules
        },
        FlowConfig::Publish(_) | FlowConfig::Localize(_) => FlowRules {
            sweep_every: Some(sweep),
            on_ring: Some(Pass::Sweep),
            on_due: Pass::Sweep,
            ..rules
        },
        // A campaign is closed when people say so.
        FlowConfig::Archive(_) => FlowRules {
            full_every: None,
            on_ring: None,
            at_start: None,
            ..rules
        },
    })
}

/// The throttle of each flow: its own where its windows are its own, else the one for all. Those of `before` stay, because
/// passes that run are held by them.
pub(super) fn throttles(
    flows: &[String],
    config: &Config,
    for_all: &Arc<Throttle>,
    before: &BTreeMap<String, Arc<Throttle>>,
) -> BTreeMap<String, Arc<Throttle>> {
    let throttle = |name: &String| match config.watch.own_windows(config.whole(name)) {
        Some(_) => {
            let own = before
                .get(name)
                .filter(|known| !Arc::ptr_eq(known, for_all));
            own.cloned().unwrap_or_default()
        }
        None => Arc::clone(for_all),
    };
    let flows = flows.iter();
    flows.map(|name| (name.clone(), throttle(name))).collect()
}
