//! A run's report as one HTML file for people who do not read logs: no script, nothing loaded from elsewhere.
//!
//! Charts are drawn as SVG here, from the same [`Report`] that the terminal and JSON show, so all of them say the same.

use std::fmt::{self, Write};

use jiff::Timestamp;
use windlass_core::{ByteSize, Error, Kind, Result, StepState};
use windlass_flow::{AssetLine, ReasonLine, Report};

use crate::text::{files, word};

mod release;

const STYLE: &str = include_str!("page/style.css");

/// Width and height of the chart over time, in its own units.
const CHART: (f64, f64) = (720.0, 160.0);

/// The whole page.
pub(crate) fn page(report: &Report) -> Result<String> {
    let mut page = String::new();
    write_page(&mut page, report).map_err(|error| {
        Error::new(Kind::Unexpected, "the report cannot be written as HTML").with_source(error)
    })?;
    Ok(page)
}

fn write_page(page: &mut String, report: &Report) -> fmt::Result {
    let title = format!("{}: {}", report.flow, headline(report));
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        Escaped(&title)
    )?;
    head(page, report)?;
    tiles(page, report)?;
    outcomes(page, report)?;
    release::withdrawn(page, &report.withdrawn)?;
    if let Some(map) = &report.coverage {
        release::coverage(page, map)?;
    }
    over_time(page, report)?;
    reasons(page, "Failed", "Nothing failed.", &report.failed)?;
    reasons(
        page,
        "Held, until somebody settles it",
        "Nothing is held.",
        &report.held,
    )?;
    reasons(page, "Skipped", "Nothing was skipped.", &report.skipped)?;
    if report.more_reasons > 0 {
        writeln!(
            page,
            "<p>{} more reasons are in the list of all files (<code>--format csv</code>).</p>",
            report.more_reasons
        )?;
    }
    proofs(page, report)?;
    slowest(page, &report.slowest)?;
    origin(page, report)?;
    page.write_str("</main>\n</body>\n</html>\n")
}

/// How it went, in one sentence.
fn headline(report: &Report) -> String {
    let of = |state| report.total(state).steps;
    let open = of(StepState::Open) + of(StepState::Leased);
    let mut parts = vec![format!("{} done", files(of(StepState::Done)))];
    for (count, what) in [
        (of(StepState::Failed), "failed"),
        (of(StepState::Held), "held"),
        (open, "still open"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

fn head(page: &mut String, report: &Report) -> fmt::Result {
    let route = report
        .origin
        .as_ref()
        .map(|origin| format!("{} → {}", origin.source, origin.sink));
    write!(
        page,
        "<header>\n<h1>{}</h1>\n<p class=\"lead\">{} <span class=\"state {state}\">{state}</span></p>\n<p>{}{}",
        Escaped(&report.flow),
        Escaped(&headline(report)),
        Escaped(&route.map(|route| format!("{route} · ")).unwrap_or_default()),
        at(report.started),
        state = word(report.state),
    )?;
    if let Some(finished) = report.finished {
        write!(page, " – {} ({})", at(finished), span(seconds(report)))?;
    }
    page.write_str("</p>\n</header>\n")
}

fn tiles(page: &mut String, report: &Report) -> fmt::Result {
    let done = report.placed();
    let saved = &report.saved;
    let rate = match seconds(report) {
        seconds if seconds > 0.0 && report.bytes_moved > 0 => {
            format!(
                "{}/s",
                ByteSize((report.bytes_moved as f64 / seconds) as u64)
            )
        }
        _ => "–".to_owned(),
    };
    let if_any = |state, more: &str| match report.total(state).steps {
        0 => "none".to_owned(),
        _ => more.to_owned(),
    };
    let tiles = [
        (
            "placed",
            done.steps.to_string(),
            ByteSize(done.bytes).to_string(),
        ),
        ("moved", ByteSize(report.bytes_moved).to_string(), rate),
        (
            "not moved again",
            ByteSize(saved.unchanged_bytes + saved.linked_bytes).to_string(),
            files(saved.unchanged_assets + saved.linked_assets),
        ),
        (
            "held",
            report.total(StepState::Held).steps.to_string(),
            if_any(StepState::Held, "for a person"),
        ),
        (
            "failed",
            report.total(StepState::Failed).steps.to_string(),
            if_any(StepState::Failed, "see below"),
        ),
    ];
    let withdrawn = &report.withdrawn;
    let taken_back = (withdrawn.files > 0).then(|| {
        let links = format!("{} ended", release::links(withdrawn.links));
        ("withdrawn", withdrawn.files.to_string(), links)
    });
    page.write_str("<ul class=\"tiles\">\n")?;
    for (what, figure, more) in tiles.into_iter().chain(taken_back) {
        writeln!(
            page,
            "<li class=\"{}\"><b>{figure}</b><span>{what}</span><small>{more}</small></li>",
            what.split(' ').next().unwrap_or_default()
        )?;
    }
    page.write_str("</ul>\n")
}

/// A bar of all files by how they ended, and the same as a table.
fn outcomes(page: &mut String, report: &Report) -> fmt::Result {
    let all: u64 = report.tallies.iter().map(|line| line.tally.steps).sum();
    page.write_str("<section>\n<h2>What became of each file</h2>\n")?;
    if all == 0 {
        return page.write_str("<p>The run had no files.</p>\n</section>\n");
    }
    page.write_str("<div class=\"bar\" role=\"img\" aria-label=\"share of files by outcome\">")?;
    for line in report.tallies.iter().filter(|line| line.tally.steps > 0) {
        write!(
            page,
            "<span class=\"{}\" style=\"flex-grow:{}\" title=\"{} ({}): {}\"></span>",
            word(line.state),
            line.tally.steps,
            word(line.state),
            line.action,
            files(line.tally.steps)
        )?;
    }
    page.write_str(
        "</div>\n<table>\n<tr><th>outcome</th><th>step</th><th class=\"n\">files</th>\
         <th class=\"n\">share</th><th class=\"n\">size</th><th class=\"n\">moved</th></tr>\n",
    )?;
    for line in &report.tallies {
        writeln!(
            page,
            "<tr><td><i class=\"{state}\"></i>{state}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{:.1} %</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            line.action,
            line.tally.steps,
            100.0 * line.tally.steps as f64 / all as f64,
            ByteSize(line.tally.bytes),
            ByteSize(line.tally.bytes_moved),
            state = word(line.state),
        )?;
    }
    page.write_str("</table>\n</section>\n")
}

/// What was completed over the run's time, a bar a slice.
fn over_time(page: &mut String, report: &Report) -> fmt::Result {
    page.write_str("<section>\n<h2>What was completed, and when</h2>\n")?;
    let slices = &report.slices;
    let most = slices.iter().map(|slice| slice.bytes_moved).max();
    let Some(most) = most.filter(|most| *most > 0) else {
        return page.write_str("<p>No bytes moved.</p>\n</section>\n");
    };
    let place = |from_ms: u64| from_ms / report.slice_ms.max(1);
    let count = 1 + slices.last().map_or(0, |last| place(last.from_ms));
    let slice = span(report.slice_ms as f64 / 1000.0);
    let (width, height) = CHART;
    let step = width / count as f64;
    write!(
        page,
        "<p><small>Each bar is {slice}. A file counts in full when it is complete, so a large one is a peak.</small></p>\n\
         <svg viewBox=\"-70 -12 {} {}\" role=\"img\" aria-label=\"bytes completed over the time of the run\">\n",
        width + 100.0,
        height + 40.0,
    )?;
    for (y, share) in [(0.0, 1.0), (height / 2.0, 0.5), (height, 0.0)] {
        let label = ByteSize((most as f64 * share) as u64);
        writeln!(
            page,
            "<line x1=\"0\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/><text x=\"-6\" y=\"{}\" class=\"y\">{label}</text>",
            y + 4.0
        )?;
    }
    for slice in slices {
        let tall = height * slice.bytes_moved as f64 / most as f64;
        writeln!(
            page,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>after {}: {}, {}</title></rect>",
            place(slice.from_ms) as f64 * step,
            height - tall,
            (step - 1.0).max(step * 0.8),
            span(slice.from_ms as f64 / 1000.0),
            files(slice.steps),
            ByteSize(slice.bytes_moved),
        )?;
    }
    let whole = (count * report.slice_ms) as f64 / 1000.0;
    for share in [0.0, 0.5, 1.0] {
        writeln!(
            page,
            "<text x=\"{}\" y=\"{}\" class=\"x\">{}</text>",
            width * share,
            height + 18.0,
            span(whole * share)
        )?;
    }
    page.write_str("</svg>\n</section>\n")
}

fn reasons(page: &mut String, title: &str, none: &str, reasons: &[ReasonLine]) -> fmt::Result {
    write!(page, "<section>\n<h2>{title}</h2>\n")?;
    if reasons.is_empty() {
        return write!(page, "<p>{none}</p>\n</section>\n");
    }
    page.write_str(
        "<table>\n<tr><th class=\"n\">files</th><th class=\"n\">size</th><th>why</th><th>such as</th></tr>\n",
    )?;
    for line in reasons {
        write!(
            page,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}",
            line.assets,
            ByteSize(line.bytes),
            Escaped(&line.reason)
        )?;
        if let Some(error) = &line.error {
            write!(page, " <code>{}</code>", Escaped(error))?;
        }
        if let Some(hint) = &line.hint {
            write!(page, "<br><small>{}</small>", Escaped(hint))?;
        }
        writeln!(
            page,
            "</td><td class=\"path\">{}</td></tr>",
            Escaped(line.example.as_str())
        )?;
    }
    page.write_str("</table>\n</section>\n")
}

/// How strongly it is proved that the sink holds the right bytes.
fn proofs(page: &mut String, report: &Report) -> fmt::Result {
    if report.proved.is_empty() {
        return Ok(());
    }
    page.write_str("<section>\n<h2>How it is proved</h2>\n<table>\n<tr><th>evidence</th><th class=\"n\">files</th></tr>\n")?;
    for (evidence, count) in report.proved.iter().rev() {
        let code = word(evidence);
        let meaning = match code.as_str() {
            "E0" => "the size agrees",
            "E1" => "each request's digest was accepted",
            "E2" => "the sink states the digest of the whole file, and it is ours",
            "E3" => "the file was read back and hashed again",
            _ => "",
        };
        writeln!(
            page,
            "<tr><td>{code}: {meaning}</td><td class=\"n\">{count}</td></tr>"
        )?;
    }
    page.write_str("</table>\n</section>\n")
}

fn slowest(page: &mut String, slowest: &[AssetLine]) -> fmt::Result {
    if slowest.is_empty() {
        return Ok(());
    }
    page.write_str(
        "<section>\n<h2>The slowest files</h2>\n<table>\n<tr><th>file</th><th class=\"n\">size</th>\
         <th class=\"n\">took</th><th class=\"n\">tries</th></tr>\n",
    )?;
    for asset in slowest {
        writeln!(
            page,
            "<tr><td class=\"path\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Escaped(asset.path.as_str()),
            ByteSize(asset.size),
            span(asset.took_ms.unwrap_or(0) as f64 / 1000.0),
            asset.attempts
        )?;
    }
    page.write_str("</table>\n</section>\n")
}

/// By what it was decided, for whoever has to repeat it.
fn origin(page: &mut String, report: &Report) -> fmt::Result {
    write!(page, "<footer>\n<p>Run <code>{}</code>", report.run)?;
    if let Some(origin) = &report.origin {
        write!(
            page,
            " by Windlass {}, rules <code>{}</code>",
            Escaped(&origin.windlass),
            origin.rules
        )?;
        if let Some(hook) = &origin.hook {
            write!(
                page,
                "<br>Plugin {} {}, digest <code>{}</code>, configuration <code>{}</code>",
                Escaped(&hook.name),
                Escaped(&hook.version),
                hook.digest,
                hook.config_digest
            )?;
        }
    }
    page.write_str("</p>\n</footer>\n")
}

/// How long it took; 0 while it goes on.
fn seconds(report: &Report) -> f64 {
    let finished = report.finished.unwrap_or(report.started);
    finished.duration_since(report.started).as_secs_f64()
}

/// A length of time as people say it.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 119.5 * 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Text that means nothing but itself in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use windlass_core::{Action, AssetPath, RunId, RunState, Slice, Tally};
    use windlass_flow::{Saved, TallyLine};

    use super::*;

    pub(super) fn report() -> Report {
        let mut started = Timestamp::UNIX_EPOCH;
        started += std::time::Duration::from_secs(60);
        Report {
            run: RunId::fresh(),
            flow: "masters & \"finals\"".into(),
            state: RunState::Finished,
            origin: None,
            started,
            finished: Some(started + std::time::Duration::from_secs(10)),
            tallies: Vec::new(),
            bytes_moved: 0,
            saved: Saved::default(),
            proved: BTreeMap::new(),
            skipped: Vec::new(),
            held: Vec::new(),
            failed: Vec::new(),
            more_reasons: 0,
            withdrawn: windlass_flow::Withdrawn::default(),
            coverage: None,
            slowest: Vec::new(),
            slices: Vec::new(),
            slice_ms: 1,
        }
    }

    #[test]
    fn names_from_outside_are_text_and_never_markup() {
        let mut report = report();
        report.failed.push(ReasonLine {
            reason: "it's <b>odd</b>".into(),
            hint: Some("ask \"them\"".into()),
            error: None,
            assets: 1,
            bytes: 1,
            example: AssetPath::new("/<script>alert(1)</script>.png"),
        });
        let page = page(&report).unwrap();
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;.png"));
        assert!(page.contains("it&#39;s &lt;b&gt;odd&lt;/b&gt;"));
        assert!(page.contains("ask &quot;them&quot;"));
        assert!(page.contains("<h1>masters &amp; &quot;finals&quot;</h1>"));
        assert!(!page.contains("<script") && !page.contains("http"));
    }

    #[test]
    fn a_run_without_files_is_a_page_without_charts() {
        let page = page(&report()).unwrap();
        assert!(page.contains("The run had no files."));
        assert!(page.contains("No bytes moved."));
        assert!(!page.contains("<svg") && !page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn bars_are_as_tall_and_shares_as_large_as_what_they_stand_for() {
        let mut report = report();
        let tally = |steps| Tally {
            steps,
            bytes: 10 * steps,
            bytes_moved: 10 * steps,
        };
        for (state, steps) in [(StepState::Done, 3), (StepState::Failed, 1)] {
            report.tallies.push(TallyLine {
                state,
                action: Action::Create,
                tally: tally(steps),
            });
        }
        report.bytes_moved = 40;
        report.slice_ms = 1_000;
        report.slices = [(0, 10), (4_000, 20)]
            .map(|(from_ms, bytes_moved)| Slice {
                from_ms,
                steps: 1,
                bytes_moved,
            })
            .to_vec();
        let page = page(&report).unwrap();
        assert!(page.contains("3 files done, 1 failed"));
        assert!(page.contains("75.0 %") && page.contains("25.0 %"));
        // Five slices of 144 units, the first half as tall as the last.
        assert!(page.contains("<rect x=\"0.0\" y=\"80.0\" width=\"143.0\" height=\"80.0\">"));
        assert!(page.contains("<rect x=\"576.0\" y=\"0.0\" width=\"143.0\" height=\"160.0\">"));
    }
}
