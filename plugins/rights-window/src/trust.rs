//! Whose statements count, and whether the operator grants them.

use windlass_sdk::Origin;

use crate::config::Trusted;

/// Whose statements count: those named, all of which must be granted, or the granted ones.
pub(crate) fn trust(named: Option<&[Trusted]>, granted: &[Origin]) -> Result<Vec<Origin>, String> {
    let all = [Trusted::Sheet, Trusted::Source];
    let is_granted = |trusted: &Trusted| granted.contains(&origin(*trusted).0);
    let Some(named) = named else {
        let trust: Vec<_> = all.into_iter().filter(is_granted).collect();
        return match trust.is_empty() {
            true => Err(
                "nothing is granted that says anything about rights: set grants = [\"source\"], \
                 grants = [\"sheet\"] or both for this plugin"
                    .to_owned(),
            ),
            false => Ok(trust.into_iter().map(|trusted| origin(trusted).0).collect()),
        };
    };
    if named.is_empty() {
        return Err("key \"trust\": name \"source\", \"sheet\" or both".to_owned());
    }
    if let Some(trusted) = named.iter().find(|trusted| !is_granted(trusted)) {
        let name = origin(*trusted).1;
        return Err(format!(
            "key \"trust\": what the {name} states is not granted: set grants = [{name:?}] for this plugin, or \
             take {name:?} out"
        ));
    }
    let mut trust = Vec::new();
    for trusted in named {
        let (origin, name) = origin(*trusted);
        if trust.contains(&origin) {
            return Err(format!("key \"trust\": {name:?} is there twice"));
        }
        trust.push(origin);
    }
    Ok(trust)
}

fn origin(trusted: Trusted) -> (Origin, &'static str) {
    match trusted {
        Trusted::Source => (Origin::Source, "source"),
        Trusted::Sheet => (Origin::Sheet, "sheet"),
    }
}
