//! Plans, reports and lists as text for people.

use comfy_table::{CellAlignment, Table, presets};
use windlass_core::{Action, AssetPath, ByteSize};
use windlass_flow::{
    Audit, AuditedFile, Closed, CoverageMap, CoverageRow, Coverages, Difference, DuplicateGroup,
    DuplicateSums, Filled, Forecast, PlanSummary, PlannedStep, Rebuilt, Removals, Report,
    Withdrawn,
};

use crate::flows::sync::kept_under;

mod archive;
mod conflicts;
mod daemon;
mod explain;

pub(crate) use archive::archive;
pub(crate) use conflicts::{conflict, undo};
pub(crate) use daemon::daemon;
pub(crate) use explain::explanation;

/// Reasons beyond this many are only counted.
const REASONS_SHOWN: usize = 15;

/// Places that are not filled beyond this many are only counted.
const PLACES_SHOWN: usize = 20;

/// Differences beyond this many are only counted.
const DIFFERENCES_SHOWN: usize = 20;

/// A table without lines, two blanks between columns.
pub(crate) fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    for column in right {
        if table.column(*column).is_none() {
            table.set_header(vec![""; header.len().max(column + 1)]);
        }
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `1 file`, `2 files`.
pub(crate) fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn steps(count: u64) -> String {
    match count {
        1 => "1 step".to_owned(),
        n => format!("{n} steps"),
    }
}

/// How the world moved since a plan was reviewed.
pub(crate) fn difference(difference: &Difference) -> String {
    let mut text = match difference.count() {
        0 => "nothing differs from the saved plan".to_owned(),
        count => format!(
            "{} of {} differ from the saved plan",
            count,
            steps(difference.reviewed)
        ),
    };
    if difference.already_done > 0 {
        text.push_str(&format!(
            "; {} carried out already",
            match difference.already_done {
                1 => "1 was".to_owned(),
                n => format!("{n} were"),
            }
        ));
    }
    let mut named = table(&[], &[]);
    for step in difference.steps.iter().take(DIFFERENCES_SHOWN) {
        named.add_row(vec![
            step.differs.word().to_owned(),
            step.path.to_string(),
            step.why.clone(),
        ]);
    }
    text.push('\n');
    text.push_str(&lines(&named));
    let more = difference.count().saturating_sub(DIFFERENCES_SHOWN as u64);
    if more > 0 {
        text.push_str(&format!("… and {more} more\n"));
    }
    text
}

/// What a plan is expected to take, in a line; empty where nothing is known.
pub(crate) fn forecast(forecast: &Forecast) -> String {
    let mut parts: Vec<String> = forecast
        .calls
        .iter()
        .map(|(endpoint, calls)| format!("about {calls} calls to {endpoint}"))
        .collect();
    if let Some(seconds) = forecast.seconds {
        let span = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        parts.push(format!("{span:#} at the pace of the last run"));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!("expected: {}", parts.join(", ")),
    }
}

/// Some steps of a plan, a line each.
pub(crate) fn plan_steps(steps: &[PlannedStep]) -> String {
    let mut all = table(&[], &[1]);
    for step in steps {
        all.add_row(vec![
            step.action.to_string(),
            ByteSize(step.asset.size).to_string(),
            step.asset.path.to_string(),
            step.reason.clone(),
        ]);
    }
    lines(&all)
}

/// A plan: sums by action, then reasons, unless its steps were shown with them, then remarks.
pub(crate) fn plan(plan: &PlanSummary, steps_shown: bool) -> String {
    let origin = &plan.origin;
    let mut parts = vec![format!(
        "flow {:?}: {} → {}",
        plan.flow, origin.source, origin.sink
    )];
    if let Some(hook) = &origin.hook {
        parts.push(format!(
            "rules by {} {}, digest {}",
            hook.name,
            hook.version,
            &hook.digest.to_hex()[..16]
        ));
    }
    let mut sums = table(&["step", "files", "size"], &[1, 2]);
    for (action, (count, bytes)) in plan.totals() {
        sums.add_row(vec![
            action.to_string(),
            count.to_string(),
            ByteSize(bytes).to_string(),
        ]);
    }
    parts.push(lines(&sums));
    let removals = Removals::of(plan);
    if removals.steps > 0 {
        parts.push(format!(
            "replaces or withdraws {} of {}, {}",
            removals.steps,
            match removals.of {
                1 => "1 placed asset".to_owned(),
                n => format!("{n} placed assets"),
            },
            ByteSize(removals.bytes)
        ));
    }
    if !steps_shown {
        for action in [Action::Conflict, Action::Hold, Action::Skip] {
            let of_action = plan
                .reasons()
                .into_iter()
                .filter(|(of, _, _)| *of == action);
            let lines: Vec<_> = of_action
                .map(|(_, reason, count)| (count, reason, None, None))
                .collect();
            if !lines.is_empty() {
                parts.push(counted(action.word(), lines.into_iter()));
            }
        }
    }
    if let Some(map) = &plan.coverage {
        parts.push(coverage(map));
    }
    if let Some(due) = plan.due {
        parts.push(format!(
            "to be looked at again by {due}, when something ends or begins"
        ));
    }
    if plan.waiting.assets > 0 {
        parts.push(still_arriving(plan));
    }
    if !plan.findings.is_empty() {
        let mut findings: Vec<String> = plan
            .findings
            .iter()
            .map(|finding| format!("  {}: {}", finding.subject, finding.message))
            .collect();
        if plan.more_findings > 0 {
            findings.push(format!("  … and {} more", plan.more_findings));
        }
        parts.push(format!("remarks\n{}", findings.join("\n")));
    }
    if plan.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    joined(&parts)
}

/// Who gets what: a line a market, then the places that are not filled, most urgent first.
pub(crate) fn coverage(map: &CoverageMap) -> String {
    let mut header = vec!["market"];
    header.extend(Filled::ALL.map(Filled::word));
    let mut sums = table(&header, &[1, 2, 3, 4, 5]);
    for (market, filled) in &map.by_market {
        sums.add_row(filled_row(market, filled));
    }
    if map.by_market.len() > 1 {
        sums.add_row(filled_row("all", &map.total));
    }
    let mut text = format!("coverage\n{}", lines(&sums));
    let unfilled = [Filled::Blocked, Filled::Held, Filled::Missing];
    let mut open: Vec<&CoverageRow> = map
        .rows
        .iter()
        .filter(|row| unfilled.contains(&row.filled))
        .collect();
    open.sort_by_key(|row| row.filled);
    if open.is_empty() {
        return text;
    }
    let mut places = table(&[], &[]);
    for row in open.iter().take(PLACES_SHOWN) {
        let CoverageRow {
            piece,
            market,
            language,
            channel,
            ..
        } = row;
        places.add_row(vec![
            row.filled.word().to_owned(),
            piece.clone(),
            format!("{market} {language} {channel}"),
            row.why.clone(),
        ]);
    }
    text.push_str("\nnot filled\n");
    text.push_str(&lines(&places));
    let more = (open.len() + map.more_rows as usize).saturating_sub(PLACES_SHOWN);
    if more > 0 {
        text.push_str(&format!("… and {more} more (--json names all)\n"));
    }
    text
}

fn filled_row(market: &str, filled: &Coverages) -> Vec<String> {
    let counts = Filled::ALL.map(|way| filled.get(&way).copied().unwrap_or(0));
    let counts = counts.iter().map(|count| match count {
        0 => "–".to_owned(),
        count => count.to_string(),
    });
    std::iter::once(market.to_owned()).chain(counts).collect()
}

/// What followed a run: who gets what, remarks, and what was proved, written and sealed.
pub(crate) fn closed(plan: &PlanSummary, closed: &Closed) -> String {
    let mut blocks = Vec::new();
    blocks.extend(plan.coverage.as_ref().map(coverage));
    let mut parts: Vec<String> = plan
        .findings
        .iter()
        .take(REASONS_SHOWN)
        .map(|finding| format!("{}: {}", finding.subject, finding.message))
        .collect();
    if closed.proved_absent > 0 {
        parts.push(format!(
            "looked for {} that {} withdrawn: none is where people look",
            files(closed.proved_absent),
            match closed.proved_absent {
                1 => "was",
                _ => "were",
            }
        ));
    }
    for path in &closed.still_there {
        parts.push(format!("STILL THERE although withdrawn: {path}"));
    }
    if let Some(digest) = closed.sealed {
        parts.push(format!("the archive is sealed: {digest}"));
    }
    match closed.written.as_slice() {
        [] => {}
        [one] => parts.push(format!("wrote {one}")),
        all => parts.push(format!("wrote {} documents, such as {}", all.len(), all[0])),
    }
    for finding in closed.findings.iter().take(REASONS_SHOWN) {
        parts.push(format!("{}: {}", finding.subject, finding.message));
    }
    let more = closed.findings.len().saturating_sub(REASONS_SHOWN);
    if more > 0 {
        parts.push(format!("… and {more} more remarks (--json names all)"));
    }
    if let Some(due) = plan.due {
        parts.push(format!(
            "to be looked at again by {due}, when something ends or begins"
        ));
    }
    if !parts.is_empty() {
        blocks.push(parts.join("\n") + "\n");
    }
    blocks.join("\n")
}

/// What waits for a later run by itself.
fn still_arriving(plan: &PlanSummary) -> String {
    let files = match plan.waiting.assets {
        1 => "1 file is still arriving".to_owned(),
        files => format!("{files} files are still arriving"),
    };
    match plan.ready_at {
        None => format!("{files} and waits for a later run"),
        Some(at) => format!("{files}, the first of them ready at {at}"),
    }
}

/// What a run took back, and who had it.
fn withdrawn(withdrawn: &Withdrawn) -> String {
    let is_kept = withdrawn.first.iter().any(|line| line.kept.is_some());
    let mut text = format!("withdrawn: {}", files(withdrawn.files));
    if withdrawn.links > 0 {
        let links = match withdrawn.links {
            1 => "1 link".to_owned(),
            n => format!("{n} links"),
        };
        text.push_str(&format!(", {links} ended"));
    }
    if is_kept {
        text.push_str("; shown where they are kept");
    }
    text.push('\n');
    let mut named = table(&[], &[]);
    for line in withdrawn.first.iter().take(REASONS_SHOWN) {
        // Assets may have one name; what is kept of them has not.
        let shown = line.kept.as_ref().unwrap_or(&line.path);
        named.add_row(vec![shown.to_string(), line.reason.clone()]);
    }
    text.push_str(&lines(&named));
    if !withdrawn.recipients.is_empty() {
        let all: Vec<&str> = withdrawn.recipients.iter().map(String::as_str).collect();
        let shown = all.len().min(REASONS_SHOWN);
        text.push_str(&format!(
            "people who had access: {}",
            all[..shown].join(", ")
        ));
        if all.len() > shown {
            text.push_str(&format!(" and {} more", all.len() - shown));
        }
        text.push('\n');
    }
    text
}

/// Files with how they stand, a line each.
pub(crate) fn audited(files: &[&AuditedFile]) -> String {
    let mut all = table(&[], &[]);
    for file in files {
        all.add_row(vec![
            word(file.standing),
            file.path.to_string(),
            file.why.clone().unwrap_or_default(),
        ]);
    }
    lines(&all)
}

/// What a flow would bring twice: the largest groups, and what they come to.
pub(crate) fn duplicates(
    flow: &str,
    sums: &DuplicateSums,
    largest: &[&DuplicateGroup],
    hours: Option<f64>,
) -> String {
    let mut parts = vec![format!(
        "flow {flow:?}: {} to bring, {}",
        files(sums.files),
        ByteSize(sums.bytes)
    )];
    let mut groups = table(&["to spare", "each", "files", ""], &[0, 1, 2]);
    for group in largest {
        let first = group.paths.first().map_or("", |path| path.as_str());
        let more = match (group.files, &group.at_sink) {
            (1, Some(asset)) => format!(", which is at the sink as {asset}"),
            (n, Some(asset)) => format!(" and {} more, at the sink as {asset}", n - 1),
            (n, None) => format!(" and {} more", n - 1),
        };
        groups.add_row(vec![
            ByteSize(group.spare_bytes()).to_string(),
            ByteSize(group.size).to_string(),
            group.files.to_string(),
            format!("{first}{more}"),
        ]);
    }
    if !largest.is_empty() {
        parts.push(lines(&groups));
        let more = sums.groups.saturating_sub(largest.len() as u64);
        if more > 0 {
            parts.push(format!(
                "… and {more} more groups (--csv or --json names all)"
            ));
        }
    }
    let mut spared = match sums.spare_files {
        0 => "nothing is there twice".to_owned(),
        n => format!(
            "{} in {} {} need not move: {}",
            files(n),
            sums.groups,
            if sums.groups == 1 { "group" } else { "groups" },
            ByteSize(sums.spare_bytes)
        ),
    };
    if sums.spare_calls > 0 {
        spared.push_str(&format!(", about {} calls", sums.spare_calls));
    }
    if let Some(hours) = hours.filter(|hours| *hours > 0.0) {
        spared.push_str(&match hours {
            few if few < 0.1 => format!(", {:.0} s", few * 3_600.0),
            hours => format!(", {hours:.1} hours"),
        });
    }
    parts.push(spared);
    if sums.not_compared > 0 {
        parts.push(format!(
            "{} could not be compared: unreadable, or changed meanwhile",
            files(sums.not_compared)
        ));
    }
    joined(&parts)
}

/// What an audit found; `what` says what is counted beside what the sink has.
pub(crate) fn audit(flow: &str, what: &str, audit: &Audit) -> String {
    let mut parts = vec![format!(
        "flow {flow:?}: {} {what}, {} at the sink",
        files(audit.at_source),
        audit.at_sink
    )];
    let mut sums = table(&["", "files", "size"], &[1, 2]);
    for (standing, sum) in &audit.standings {
        sums.add_row(vec![
            word(standing),
            sum.files.to_string(),
            ByteSize(sum.bytes).to_string(),
        ]);
    }
    parts.push(lines(&sums));
    let reasons: Vec<_> = audit
        .reasons
        .iter()
        .map(|(standing, why, count)| (*count, format!("{}: {why}", word(standing)), None, None))
        .collect();
    if !reasons.is_empty() {
        parts.push(counted("why", reasons.into_iter()));
    }
    if audit.read_back.files > 0 {
        parts.push(format!(
            "read back and hashed: {}, {}",
            files(audit.read_back.files),
            ByteSize(audit.read_back.bytes)
        ));
    }
    parts.push(match audit.unexplained {
        0 => "every file has one name".to_owned(),
        n => format!("{n} unexplained: this is a fault in windlass, please report it"),
    });
    joined(&parts)
}

/// What a rebuild of a flow's part of the ledger found.
pub(crate) fn rebuilt(flow: &str, rebuilt: &Rebuilt) -> String {
    let mut parts = vec![format!(
        "flow {flow:?}: {} at the sink were looked at",
        match rebuilt.at_sink {
            1 => "1 asset".to_owned(),
            n => format!("{n} assets"),
        }
    )];
    let mut sums = table(&["", "files", "size"], &[1, 2]);
    for (what, sum) in [
        ("adopted by stamp", rebuilt.by_stamp),
        ("adopted in place", rebuilt.by_place),
        ("adopted as links", rebuilt.by_link),
        ("not at the sink", rebuilt.missing),
    ] {
        sums.add_row(vec![
            what.to_owned(),
            sum.files.to_string(),
            ByteSize(sum.bytes).to_string(),
        ]);
    }
    parts.push(lines(&sums));
    let mut more = Vec::new();
    if rebuilt.known > 0 {
        more.push(format!("{} known before", files(rebuilt.known)));
    }
    if rebuilt.changed > 0 {
        more.push(format!(
            "{} changed at the source since: the next run follows",
            files(rebuilt.changed)
        ));
    }
    if rebuilt.touched > 0 {
        more.push(format!(
            "{} with other bytes at the sink since: `windlass verify {flow}` tells which",
            files(rebuilt.touched)
        ));
    }
    if rebuilt.read.files > 0 {
        more.push(format!(
            "{} read at the source, {}, because their stamps do not say of which bytes they are",
            files(rebuilt.read.files),
            ByteSize(rebuilt.read.bytes)
        ));
    }
    if rebuilt.of_others > 0 {
        more.push(format!(
            "{} stamped for other flows, or for files that are gone or something else now",
            files(rebuilt.of_others)
        ));
    }
    if rebuilt.copies > 0 {
        let named: Vec<&str> = rebuilt.copies_named.iter().map(AssetPath::as_str).collect();
        more.push(format!(
            "{} copied by people from what was placed, and left alone: {}",
            files(rebuilt.copies),
            named.join(", ")
        ));
    }
    if rebuilt.missing.files > 0 {
        more.push(format!(
            "a run would place {}: if they are at the sink all the same, nothing there says so",
            files(rebuilt.missing.files)
        ));
    }
    if !more.is_empty() {
        parts.push(more.join("\n"));
    }
    joined(&parts)
}

/// A run's report: what moved, how fast, what did not and why.
pub(crate) fn report(report: &Report, elapsed: Option<std::time::Duration>) -> String {
    let done = report.placed();
    let mut parts = vec![format!(
        "run {} of flow {:?}: {}",
        report.run,
        report.flow,
        word(report.state)
    )];
    let mut sums = table(&["", "files", "size"], &[1, 2]);
    for line in &report.tallies {
        sums.add_row(vec![
            format!("{} ({})", word(line.state), line.action),
            line.tally.steps.to_string(),
            ByteSize(line.tally.bytes).to_string(),
        ]);
    }
    parts.push(lines(&sums));
    if let Some(elapsed) = elapsed.filter(|_| report.bytes_moved > 0) {
        let seconds = elapsed.as_secs_f64().max(0.001);
        parts.push(format!(
            "moved {} in {} in {seconds:.1} s: {}/s, {:.0} files/s",
            ByteSize(report.bytes_moved),
            files(done.steps),
            ByteSize((report.bytes_moved as f64 / seconds) as u64),
            done.steps as f64 / seconds,
        ));
    }
    if report.withdrawn.files > 0 {
        parts.push(withdrawn(&report.withdrawn));
    }
    if let Some(map) = &report.coverage {
        parts.push(coverage(map));
    }
    for (title, reasons) in [
        ("failed", &report.failed),
        ("held, until somebody settles it", &report.held),
        ("skipped", &report.skipped),
    ] {
        if !reasons.is_empty() {
            let lines = reasons.iter().map(|line| {
                let hint = line.hint.as_ref().map(|hint| format!("hint: {hint}"));
                (
                    line.assets,
                    line.reason.clone(),
                    hint,
                    Some(&line.example)
                        .filter(|example| !example.as_str().is_empty())
                        .map(ToString::to_string),
                )
            });
            parts.push(counted(title, lines));
        }
    }
    joined(&parts)
}

/// How many conflicts of a flow wait, in a line.
pub(crate) fn waiting(flow: &str, conflicts: u64) -> String {
    let wait = match conflicts {
        1 => "1 conflict waits".to_owned(),
        count => format!("{count} conflicts wait"),
    };
    format!(
        "{wait}: `windlass conflicts list {}` lists what is to be chosen",
        kept_under(flow)
    )
}

/// The word of an enum as JSON spells it.
pub(crate) fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Reasons with how many files each concerns; the details of one are on lines of their own.
fn counted(
    title: &str,
    reasons: impl ExactSizeIterator<Item = (u64, String, Option<String>, Option<String>)>,
) -> String {
    let more = reasons.len().saturating_sub(REASONS_SHOWN);
    let mut text = format!("{title}\n");
    for (count, reason, hint, example) in reasons.take(REASONS_SHOWN) {
        text.push_str(&format!("{count:>7}  {reason}\n"));
        if let Some(hint) = hint {
            text.push_str(&format!("         {hint}\n"));
        }
        if let Some(example) = example {
            text.push_str(&format!("         such as {example}\n"));
        }
    }
    if more > 0 {
        text.push_str(&format!(
            "         … and {more} more reasons: --json lists every file\n"
        ));
    }
    text
}

/// Parts with one empty line between them.
fn joined(parts: &[String]) -> String {
    parts
        .iter()
        .map(|part| part.trim_end())
        .collect::<Vec<_>>()
        .join("\n\n")
        + "\n"
}

/// A table's lines, each without the blank before it and those behind it.
pub(crate) fn lines(table: &Table) -> String {
    let trim = |line: String| {
        line.strip_prefix(' ')
            .unwrap_or(&line)
            .trim_end()
            .to_owned()
            + "\n"
    };
    table.lines().map(trim).collect()
}
