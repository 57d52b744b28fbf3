//! The chain that `windlass explain` prints, for people.

use jiff::Timestamp;
use windlass_core::{
    Action, Availability, ByteSize, CustodyRecord, Draft, HookIdentity, Placement, Revision, Value,
    Withdrawal,
};
use windlass_flow::{Clearance, Explanation};

use super::{lines, table, word};

/// One explanation, a heading and a line each thing that led to what is.
pub(crate) fn explanation(explained: &Explanation) -> String {
    let (run, step) = (&explained.run, &explained.step);
    let mut rows = table(&[], &[]);
    let mut row = |what: &str, text: String| {
        rows.add_row(vec![format!("  {what}"), text]);
    };
    row(
        "listed",
        format!(
            "by {} as {}, revision {}, {}",
            step.endpoint,
            step.asset.as_str(),
            step.revision.as_str(),
            ByteSize(step.size)
        ),
    );
    let tags = explained.listed.iter().flat_map(|asset| &asset.tags);
    let tags: Vec<&str> = tags.map(String::as_str).collect();
    if !tags.is_empty() {
        row("", format!("tags: {}", tags.join(", ")));
    }
    row("decided", format!("{}: {}", step.action, step.reason));
    row(
        "",
        format!("run {} of flow {:?}, {}", run.id, run.flow, at(run.started)),
    );
    if let Some(origin) = &run.origin {
        row(
            "",
            format!(
                "windlass {}, rules {}",
                origin.windlass,
                short(&origin.rules.to_hex())
            ),
        );
        if let Some(hook) = &origin.hook {
            row("", plugin(hook));
        }
    }
    if let Some(draft) = &explained.draft {
        let word = match step.action {
            Action::Withdraw => "was",
            _ => "becomes",
        };
        becomes(word, draft, &mut row);
    }
    if let Some(release) = &explained.release {
        leaves(release, &mut row);
    }
    for attempt in &explained.attempts {
        row("attempt", tried(attempt));
        if let Some(message) = &attempt.message {
            row("", message.clone());
        }
    }
    let ended = explained
        .attempts
        .last()
        .and_then(|last| last.message.as_ref());
    row("now", word(step.state));
    if let Some(message) = step
        .message
        .as_ref()
        .filter(|message| Some(*message) != ended)
    {
        row("", message.clone());
    }
    if let Some(hint) = &step.hint {
        row("", format!("hint: {hint}"));
    }
    if let Some(placement) = &explained.placement {
        stands(placement, &step.revision, &mut row);
    }
    if let Some(withdrawal) = &explained.withdrawal {
        taken_back(withdrawal, &mut row);
    }
    format!("{}\n{}", step.path, lines(&rows))
}

/// Where it is now, from which revision, and what its bytes are.
fn stands(placement: &Placement, revision: &Revision, row: &mut impl FnMut(&str, String)) {
    let placed = &placement.placed;
    row(
        "placed",
        format!(
            "{} has it as {}, revision {}, proved {}",
            placement.sink,
            placed.asset.as_str(),
            placed.revision.as_str(),
            word(placed.evidence)
        ),
    );
    if placement.source_revision != *revision {
        row(
            "",
            format!("from revision {}", placement.source_revision.as_str()),
        );
    }
    row("", format!("BLAKE3 {}", placement.digests.blake3));
    if let Some(hash) = placement.digests.content_hash {
        row("", format!("content hash {hash}"));
    }
}

/// For what it leaves, and until when.
fn leaves(release: &Clearance, row: &mut impl FnMut(&str, String)) {
    let uses = release.uses.iter().map(|one| {
        let market = one.market.as_deref().unwrap_or("all markets");
        let channel = one.channel.as_deref().unwrap_or("all channels");
        format!("{market}, {channel}")
    });
    let uses: Vec<String> = uses.collect();
    if !uses.is_empty() {
        row("for", uses.join("; "));
    }
    if let Some(until) = release.until {
        row("until", until.to_string());
    }
}

/// What was taken back, and who had it.
fn taken_back(withdrawal: &Withdrawal, row: &mut impl FnMut(&str, String)) {
    row(
        "withdrawn",
        format!("{}: {}", at(withdrawal.at), withdrawal.reason),
    );
    row(
        "",
        match &withdrawal.kept {
            Some(kept) => format!("kept as {kept}"),
            None => "nothing of it is kept".to_owned(),
        },
    );
    for link in &withdrawal.links {
        row("", format!("link ended: {link}"));
    }
    if !withdrawal.recipients.is_empty() {
        row(
            "",
            format!("had access: {}", withdrawal.recipients.join(", ")),
        );
    }
}

/// What the asset was to become, and by which rule.
fn becomes(word: &str, draft: &Draft, row: &mut impl FnMut(&str, String)) {
    let mut target = format!("{:?} in {}", draft.name, draft.collection);
    if let Some(asset_type) = &draft.asset_type {
        target.push_str(&format!(", type {asset_type}"));
    }
    row(word, target);
    for assigned in &draft.fields {
        let rule = match assigned.rule.is_empty() {
            true => "no rule named",
            false => &assigned.rule,
        };
        row(
            "",
            format!("{} = {} ({rule})", assigned.field, value(&assigned.value)),
        );
    }
    match &draft.availability {
        Some(Availability::Direct { available: true }) => row("", "available".to_owned()),
        Some(Availability::Direct { available: false }) => row("", "not available".to_owned()),
        Some(Availability::Dated { from, to }) => {
            let bound = |bound: &Option<Timestamp>| bound.map_or("ever".to_owned(), at);
            row(
                "",
                format!("available from {} until {}", bound(from), bound(to)),
            );
        }
        None => {}
    }
}

fn plugin(hook: &HookIdentity) -> String {
    format!(
        "plugin {} {}, digest {}, configuration {}",
        hook.name,
        hook.version,
        short(&hook.digest.to_hex()),
        short(&hook.config_digest.to_hex())
    )
}

fn tried(attempt: &CustodyRecord) -> String {
    let mut text = format!(
        "{} {}: {}",
        attempt.attempt,
        at(attempt.at),
        attempt.event.word()
    );
    if let Some(took) = attempt.took_ms {
        text.push_str(&format!(" after {:.1} s", took as f64 / 1000.0));
    }
    if attempt.bytes_moved > 0 {
        text.push_str(&format!(", {} moved", ByteSize(attempt.bytes_moved)));
    }
    if let Some(evidence) = attempt.evidence {
        text.push_str(&format!(", proved {}", word(evidence)));
    }
    text
}

/// A value as JSON writes it, which tells a number from a text.
fn value(value: &Value) -> String {
    match serde_json::to_value(value) {
        Ok(value) => value["value"].to_string(),
        Err(error) => error.to_string(),
    }
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The begin of a digest, enough to tell it from others.
fn short(hex: &str) -> &str {
    &hex[..16]
}
