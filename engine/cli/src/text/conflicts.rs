//! Conflicts and what is undone, for people.

use windlass_core::{ByteSize, Conflict, ConflictSide, Resolution};
use windlass_flow::{Undo, UndoState};

use super::{files, lines, table, word};

/// One conflict: both sides with where their bytes can be seen, and what may be chosen.
pub(crate) fn conflict(conflict: &Conflict, see: [&str; 2], choices: &[(&str, &str)]) -> String {
    let found = &conflict.found;
    let mut rows = table(&[], &[]);
    let mut row = |what: &str, text: String| {
        rows.add_row(vec![format!("  {what}"), text]);
    };
    row("why", found.reason.clone());
    let since = conflict.since.strftime("%Y-%m-%d %H:%M:%SZ");
    let passes = match conflict.passes {
        1 => "1 pass has met it".to_owned(),
        passes => format!("{passes} passes have met it"),
    };
    let stuck = match conflict.does_not_converge() {
        true => "; it does not converge",
        false => "",
    };
    row("since", format!("{since}; {passes}{stuck}"));
    for ((what, side), see) in [("file", &found.file), ("asset", &found.asset)]
        .iter()
        .zip(see)
    {
        row(what, told(side));
        if side.revision.is_some() {
            row("", format!("see {see}"));
        }
    }
    let chosen = conflict.resolution.map(Resolution::word);
    row(
        "choice",
        match chosen {
            Some(chosen) => format!("{chosen}, carried out by the next pass"),
            None => "undecided".to_owned(),
        },
    );
    for (choice, effect) in choices {
        row("", format!("--{choice}: {effect}"));
    }
    format!(
        "{}: {}, {}\n{}",
        found.flow,
        found.subject,
        found.question,
        lines(&rows)
    )
}

fn told(side: &ConflictSide) -> String {
    let at = format!("{} at {}", side.path, side.endpoint);
    match &side.revision {
        Some(revision) => format!("{at}, revision {revision}, {}", ByteSize(side.size)),
        None => format!("{at}, gone; it had {}", ByteSize(side.size)),
    }
}

/// What becomes of everything that a run took away or replaced.
pub(crate) fn undo(undo: &Undo) -> String {
    let head = format!("run {} of flow {:?}", undo.run.id, undo.run.flow);
    if undo.items.is_empty() {
        return format!("{head}: nothing was taken away or replaced");
    }
    let mut rows = table(&[], &[]);
    for item in &undo.items {
        let state = word(item.state);
        rows.add_row(vec![state, item.path.to_string(), item.why.clone()]);
        let mut more = |text: String| {
            rows.add_row(vec![String::new(), String::new(), text]);
        };
        if let (Some(kept), true) = (&item.kept, item.state != UndoState::Undone) {
            more(format!("kept at {kept}"));
        }
        if let (false, true) = (item.links.is_empty(), item.state != UndoState::Left) {
            more(format!(
                "links that ended stay so: {}",
                item.links.join(", ")
            ));
        }
        if let Some(hint) = &item.hint {
            more(hint.clone());
        }
    }
    let count = |state| files(undo.count(state) as u64);
    let done = match undo.count(UndoState::Undoable) {
        0 => format!("{} undone", count(UndoState::Undone)),
        _ => format!("{} can be undone", count(UndoState::Undoable)),
    };
    format!(
        "{head}: {done}, {} left\n{}",
        count(UndoState::Left),
        lines(&rows)
    )
}
