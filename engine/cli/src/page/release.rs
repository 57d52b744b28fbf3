//! What the page says of flows out of a library: what was taken back and who had it, and who gets what.
//!
//! All of it is bounded: markets, pieces and places beyond what a person can look over are summed up, and what was left out
//! is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use windlass_flow::{CoverageMap, CoverageRow, Coverages, Filled, Withdrawn, WithdrawnLine};

use super::{Escaped, at};
use crate::text::files;

/// Columns of the grid; beyond that it has one for each market, and without room for those none.
const COLUMNS_MAX: usize = 40;

/// Markets in the table, those with the most places that are not filled first where there are more.
const MARKETS_MAX: usize = 40;

/// Rows of the grid.
const PIECES_MAX: usize = 100;

/// Reasons why places are not filled.
const REASONS_MAX: usize = 100;

/// Places that are named for each such reason.
const SUCH_AS: usize = 3;

/// Files that are named as taken back.
const WITHDRAWN_MAX: usize = 100;

/// Links and people that are named for each file.
const NAMED_MAX: usize = 5;

/// People that are named for all files together.
const RECIPIENTS_MAX: usize = 100;

/// `1 link`, `2 links`.
pub(super) fn links(count: u64) -> String {
    match count {
        1 => "1 link".to_owned(),
        n => format!("{n} links"),
    }
}

/// What was taken back, and who had it. Nothing where nothing was.
pub(super) fn withdrawn(page: &mut String, withdrawn: &Withdrawn) -> fmt::Result {
    if withdrawn.files == 0 {
        return Ok(());
    }
    writeln!(
        page,
        "<section>\n<h2>Taken back</h2>\n<p>{}, {} ended.</p>",
        files(withdrawn.files),
        links(withdrawn.links)
    )?;
    if !withdrawn.recipients.is_empty() {
        let all: Vec<&str> = withdrawn.recipients.iter().map(String::as_str).collect();
        writeln!(
            page,
            "<p>People who had access to any of it: {}</p>",
            Escaped(&some(&all, RECIPIENTS_MAX))
        )?;
    }
    page.write_str(
        "<table class=\"withdrawn\">\n<tr><th>file</th><th>why</th><th>when</th></tr>\n",
    )?;
    for line in withdrawn.first.iter().take(WITHDRAWN_MAX) {
        withdrawn_row(page, line)?;
    }
    page.write_str("</table>\n")?;
    let shown = withdrawn.first.len().min(WITHDRAWN_MAX) as u64;
    let more = withdrawn.files.saturating_sub(shown);
    if more > 0 {
        writeln!(
            page,
            "<p><small>… and {more} more files: the list of all files (<code>--format csv</code>) has them.</small></p>"
        )?;
    }
    page.write_str("</section>\n")
}

fn withdrawn_row(page: &mut String, line: &WithdrawnLine) -> fmt::Result {
    let kept = match &line.kept {
        Some(kept) => format!("kept as {kept}"),
        None => "not kept".to_owned(),
    };
    let mut more = vec![format!("from {}; {kept}", line.folder)];
    for (what, all) in [
        ("links that ended", &line.links),
        ("people who had access", &line.recipients),
    ] {
        if !all.is_empty() {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            more.push(format!("{what}: {}", some(&all, NAMED_MAX)));
        }
    }
    write!(
        page,
        "<tr><td class=\"path\">{}",
        Escaped(line.path.as_str())
    )?;
    for one in more {
        write!(page, "<br><small>{}</small>", Escaped(&one))?;
    }
    writeln!(
        page,
        "</td><td>{}</td><td class=\"when\">{}</td></tr>",
        Escaped(&line.reason),
        at(line.at),
    )
}

/// The first of some names, and how many more there are.
fn some(all: &[&str], most: usize) -> String {
    let shown = all.len().min(most);
    match all.len() - shown {
        0 => all.join(", "),
        more => format!("{} and {more} more", all[..shown].join(", ")),
    }
}

/// What was left out, if anything.
fn and_more(page: &mut String, more: u64, what: &str) -> fmt::Result {
    match more {
        0 => Ok(()),
        more => writeln!(
            page,
            "<p><small>… and {more} more {what}: <code>--json</code> names all.</small></p>"
        ),
    }
}

/// Who gets what: sums by market, each piece in each place, and why places are not filled.
pub(super) fn coverage(page: &mut String, map: &CoverageMap) -> fmt::Result {
    page.write_str(
        "<section>\n<h2>Who gets what</h2>\n<p><small>As the run planned it; what failed on the way is under Failed.</small></p>\n",
    )?;
    legend(page)?;
    markets(page, map)?;
    page.write_str("</section>\n<section>\n<h2>Each piece in each place</h2>\n")?;
    grid(page, map)?;
    page.write_str("</section>\n")?;
    unfilled(page, map)
}

/// The letter of a state: nobody has to tell colours apart.
fn letter(filled: Filled) -> char {
    match filled {
        Filled::Present => 'P',
        Filled::Fallback => 'F',
        Filled::Blocked => 'B',
        Filled::Held => 'H',
        Filled::Missing => 'M',
    }
}

fn meaning(filled: Filled) -> &'static str {
    match filled {
        Filled::Present => "made for it",
        Filled::Fallback => "another one stands in",
        Filled::Blocked => "rights do not allow it",
        Filled::Held => "somebody must settle something",
        Filled::Missing => "there is nothing for it",
    }
}

fn legend(page: &mut String) -> fmt::Result {
    page.write_str("<ul class=\"legend\">\n")?;
    for filled in Filled::ALL {
        writeln!(
            page,
            "<li><b class=\"place {word}\">{}</b> {word}: {}</li>",
            letter(filled),
            meaning(filled),
            word = filled.word(),
        )?;
    }
    page.write_str("</ul>\n")
}

fn count(filled: &Coverages, way: Filled) -> u64 {
    filled.get(&way).copied().unwrap_or(0)
}

fn open(filled: &Coverages) -> u64 {
    let ways = [Filled::Blocked, Filled::Held, Filled::Missing];
    ways.iter().map(|way| count(filled, *way)).sum()
}

/// How many places are filled in each way, a row for each market.
fn markets(page: &mut String, map: &CoverageMap) -> fmt::Result {
    sums_head(page, "market")?;
    let mut shown: Vec<(&String, &Coverages)> = map.by_market.iter().collect();
    if shown.len() > MARKETS_MAX {
        shown.sort_by_key(|(_, filled)| std::cmp::Reverse(open(filled)));
    }
    for (market, filled) in shown.iter().take(MARKETS_MAX) {
        sums_row(page, market, filled)?;
    }
    if shown.len() > MARKETS_MAX {
        let mut others = Coverages::new();
        for (_, filled) in shown.iter().skip(MARKETS_MAX) {
            add(&mut others, filled);
        }
        let name = format!("{} more markets", shown.len() - MARKETS_MAX);
        sums_row(page, &name, &others)?;
    }
    if shown.len() > 1 {
        sums_row(page, "all", &map.total)?;
    }
    page.write_str("</table>\n")
}

fn add(sums: &mut Coverages, filled: &Coverages) {
    for (way, count) in filled {
        *sums.entry(*way).or_default() += count;
    }
}

fn sums_head(page: &mut String, what: &str) -> fmt::Result {
    write!(page, "<table class=\"sums\">\n<tr><th>{what}</th>")?;
    for filled in Filled::ALL {
        write!(page, "<th class=\"n\">{}</th>", filled.word())?;
    }
    page.write_str("</tr>\n")
}

fn sums_row(page: &mut String, name: &str, filled: &Coverages) -> fmt::Result {
    write!(page, "<tr><td class=\"path\">{}</td>", Escaped(name))?;
    for way in Filled::ALL {
        match count(filled, way) {
            0 => page.write_str("<td class=\"n none\">–</td>")?,
            count => write!(page, "<td class=\"n\">{count}</td>")?,
        }
    }
    page.write_str("</tr>\n")
}

/// A column of the grid: a market, and where there is room its language and channel.
type Column<'a> = (&'a str, &'a str, &'a str);

fn grid(page: &mut String, map: &CoverageMap) -> fmt::Result {
    let all: BTreeSet<Column<'_>> = map.rows.iter().map(place).collect();
    let markets: BTreeSet<Column<'_>> = map.rows.iter().map(market).collect();
    match (all.len(), markets.len()) {
        (0, _) => page.write_str("<p>No piece has a place.</p>\n"),
        (places, _) if places <= COLUMNS_MAX => cells(page, map, &all, place),
        (places, few) if few <= COLUMNS_MAX => {
            writeln!(
                page,
                "<p><small>There are {places} places, so a column is a market: the letter is that of its worst place, \
                 the number says how many are not filled.</small></p>"
            )?;
            cells(page, map, &markets, market)
        }
        (_, many) => {
            writeln!(
                page,
                "<p><small>There are {many} markets, so pieces are summed up over all of them.</small></p>"
            )?;
            by_piece(page, map)
        }
    }
}

fn place(row: &CoverageRow) -> Column<'_> {
    (&row.market, &row.language, &row.channel)
}

fn market(row: &CoverageRow) -> Column<'_> {
    (&row.market, "", "")
}

/// The rows of a map by piece.
fn pieces(map: &CoverageMap) -> BTreeMap<&str, Vec<&CoverageRow>> {
    let mut pieces: BTreeMap<&str, Vec<&CoverageRow>> = BTreeMap::new();
    for row in &map.rows {
        pieces.entry(&row.piece).or_default().push(row);
    }
    pieces
}

fn cells<'a>(
    page: &mut String,
    map: &'a CoverageMap,
    columns: &BTreeSet<Column<'a>>,
    column: fn(&'a CoverageRow) -> Column<'a>,
) -> fmt::Result {
    let channels: BTreeSet<&str> = columns.iter().map(|(_, _, channel)| *channel).collect();
    page.write_str("<div class=\"wide\">\n<table class=\"grid\">\n<tr><th></th>")?;
    for (market, language, channel) in columns {
        // One channel for all says nothing.
        let channel = if channels.len() > 1 { *channel } else { "" };
        let parts = [*market, *language, channel];
        let label: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        write!(page, "<th><span>{}</span></th>", Escaped(&label.join(" ")))?;
    }
    page.write_str("</tr>\n")?;
    let pieces = pieces(map);
    for (piece, rows) in pieces.iter().take(PIECES_MAX) {
        write!(page, "<tr><th>{}</th>", Escaped(piece))?;
        let mut by_column: BTreeMap<Column<'_>, Vec<&CoverageRow>> = BTreeMap::new();
        for row in rows {
            by_column.entry(column(row)).or_default().push(row);
        }
        for at in columns {
            cell(page, by_column.get(at).map_or(&[], Vec::as_slice))?;
        }
        page.write_str("</tr>\n")?;
    }
    page.write_str("</table>\n</div>\n")?;
    left_out(page, map, pieces.len())
}

/// One cell: the letter of its worst place, and how many places are not filled where it stands for several.
fn cell(page: &mut String, rows: &[&CoverageRow]) -> fmt::Result {
    let Some(worst) = rows.iter().max_by_key(|row| row.filled) else {
        return page.write_str("<td></td>");
    };
    let mut filled = Coverages::new();
    for row in rows {
        *filled.entry(row.filled).or_default() += 1;
    }
    let CoverageRow {
        piece,
        market,
        language,
        channel,
        why,
        ..
    } = worst;
    let word = worst.filled.word();
    let told = format!("{piece} {market} {language} {channel}: {word}, {why}");
    write!(
        page,
        "<td class=\"place {word}\" title=\"{}\">{}",
        Escaped(&told),
        letter(worst.filled)
    )?;
    match (rows.len(), open(&filled)) {
        (1, _) | (_, 0) => {}
        (_, open) => write!(page, "<small>{open}</small>")?,
    }
    page.write_str("</td>")
}

/// How each piece is filled over all places.
fn by_piece(page: &mut String, map: &CoverageMap) -> fmt::Result {
    sums_head(page, "piece")?;
    let pieces = pieces(map);
    for (piece, rows) in pieces.iter().take(PIECES_MAX) {
        let mut filled = Coverages::new();
        for row in rows {
            *filled.entry(row.filled).or_default() += 1;
        }
        sums_row(page, piece, &filled)?;
    }
    page.write_str("</table>\n")?;
    left_out(page, map, pieces.len())
}

fn left_out(page: &mut String, map: &CoverageMap, pieces: usize) -> fmt::Result {
    and_more(page, pieces.saturating_sub(PIECES_MAX) as u64, "pieces")?;
    match map.more_rows {
        0 => Ok(()),
        more => writeln!(
            page,
            "<p><small>{more} more places are only counted in the sums by market.</small></p>"
        ),
    }
}

/// Why places are not filled: each reason of each piece once, with its places.
fn unfilled(page: &mut String, map: &CoverageMap) -> fmt::Result {
    let mut reasons: BTreeMap<(Filled, &str, &str), Vec<&CoverageRow>> = BTreeMap::new();
    for row in &map.rows {
        if open(&Coverages::from([(row.filled, 1)])) > 0 {
            let key = (row.filled, row.piece.as_str(), row.why.as_str());
            reasons.entry(key).or_default().push(row);
        }
    }
    page.write_str("<section>\n<h2>Why places are not filled</h2>\n")?;
    if reasons.is_empty() {
        return page.write_str("<p>All of them are.</p>\n</section>\n");
    }
    page.write_str(
        "<table>\n<tr><th></th><th>piece</th><th class=\"n\">places</th><th>such as</th><th>why</th></tr>\n",
    )?;
    for ((filled, piece, why), rows) in reasons.iter().take(REASONS_MAX) {
        let named = rows.iter().take(SUCH_AS).map(|row| {
            let (market, language, channel) = place(row);
            format!("{market} {language} {channel}")
        });
        let named: Vec<String> = named.collect();
        writeln!(
            page,
            "<tr><td class=\"state-of\"><b class=\"place {word}\">{}</b> {word}</td><td class=\"path\">{}</td>\
             <td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            letter(*filled),
            Escaped(piece),
            rows.len(),
            Escaped(&named.join(", ")),
            Escaped(why),
            word = filled.word(),
        )?;
    }
    page.write_str("</table>\n")?;
    and_more(
        page,
        reasons.len().saturating_sub(REASONS_MAX) as u64,
        "reasons",
    )?;
    page.write_str("</section>\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use windlass_core::AssetPath;

    use super::super::{page, tests::report};
    use super::*;

    /// One place: piece, market, language, state, reason.
    type Place<'a> = (&'a str, &'a str, &'a str, Filled, &'a str);

    fn map(places: &[Place<'_>]) -> CoverageMap {
        let mut map = CoverageMap::default();
        for (piece, market, language, filled, why) in places {
            let row = serde_json::json!({
                "piece": piece, "market": market, "language": language, "channel": "web",
                "filled": filled, "why": why,
            });
            map.rows.push(serde_json::from_value(row).unwrap());
            *map.total.entry(*filled).or_default() += 1;
            let sums = map.by_market.entry((*market).to_owned()).or_default();
            *sums.entry(*filled).or_default() += 1;
        }
        map
    }

    fn line(path: &str) -> WithdrawnLine {
        WithdrawnLine {
            path: AssetPath::new(path),
            folder: AssetPath::new("/Press/Spring"),
            reason: "rights do not allow it any more: it is switched off".into(),
            kept: Some(AssetPath::new("/Kept/Press/Spring/a.jpg")),
            links: vec!["https://share.example/1".into()],
            recipients: (0..7).map(|one| format!("p{one}@example.org")).collect(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn with_map(map: CoverageMap) -> String {
        let mut report = report();
        report.coverage = Some(map);
        page(&report).unwrap()
    }

    #[test]
    fn what_was_taken_back_is_told_with_place_reason_links_and_people() {
        let mut report = report();
        report.withdrawn.files = 250;
        report.withdrawn.links = 1;
        report.withdrawn.first = (0..200)
            .map(|one| line(&format!("/Brand/{one}.jpg")))
            .collect();
        report.withdrawn.recipients = BTreeSet::from(["<ann>@example.org".to_owned()]);
        let page = page(&report).unwrap();
        for part in [
            "250 files, 1 link ended.",
            "People who had access to any of it: &lt;ann&gt;@example.org",
            "/Brand/0.jpg<br><small>from /Press/Spring; kept as /Kept/Press/Spring/a.jpg</small>",
            "rights do not allow it any more: it is switched off",
            "https://share.example/1",
            "p4@example.org and 2 more",
            "1970-01-01 00:00:00 UTC",
            "and 150 more files",
        ] {
            assert!(page.contains(part), "{part:?}");
        }
        assert!(page.contains("/Brand/99.jpg") && !page.contains("/Brand/100.jpg"));
        assert!(!page.contains("<a "), "ended links lead nowhere");
    }

    #[test]
    fn a_page_of_a_flow_without_markets_and_withdrawals_says_nothing_of_them() {
        let page = page(&report()).unwrap();
        assert!(!page.contains("Taken back") && !page.contains("Who gets what"));
    }

    #[test]
    fn each_piece_has_a_letter_in_each_place_and_a_reason_where_it_is_not_filled() {
        let page = with_map(map(&[
            ("flyer", "CH", "de", Filled::Fallback, "it stands in"),
            ("poster", "CH", "de", Filled::Present, "de for de"),
            (
                "poster",
                "CH",
                "fr",
                Filled::Blocked,
                "the <licence> excludes it",
            ),
            ("poster", "JP", "ja", Filled::Missing, "nothing is made"),
        ]));
        for part in [
            "<th><span>CH de</span></th><th><span>CH fr</span></th><th><span>JP ja</span></th>",
            "<td class=\"place fallback\" title=\"flyer CH de web: fallback, it stands in\">F</td><td></td><td></td>",
            "<td class=\"place present\" title=\"poster CH de web: present, de for de\">P</td>",
            "title=\"poster CH fr web: blocked, the &lt;licence&gt; excludes it\">B</td>",
            "<td>CH fr web</td><td>the &lt;licence&gt; excludes it</td>",
            "<td class=\"path\">all</td><td class=\"n\">1</td><td class=\"n\">1</td><td class=\"n\">1</td><td class=\"n none\">–</td>",
        ] {
            assert!(page.contains(part), "{part:?} in\n{page}");
        }
    }

    #[test]
    fn many_languages_are_summed_up_by_market_with_the_worst_place_and_how_many_are_open() {
        let languages: Vec<String> = (0..30).map(|one| format!("l{one:02}")).collect();
        let mut places = Vec::new();
        for language in &languages {
            let state = match language.as_str() {
                "l01" => Filled::Missing,
                "l02" => Filled::Held,
                _ => Filled::Present,
            };
            places.push(("poster", "CH", language.as_str(), state, "why"));
            places.push(("poster", "DE", language.as_str(), Filled::Present, "why"));
        }
        let page = with_map(map(&places));
        assert!(page.contains("There are 60 places, so a column is a market"));
        assert!(page.contains("<th><span>CH</span></th><th><span>DE</span></th>"));
        assert!(page.contains(">M<small>2</small></td>") && page.contains(">P</td>"));
    }

    #[test]
    fn two_thousand_markets_make_a_page_that_a_person_can_read() {
        let markets: Vec<String> = (0..2_000).map(|one| format!("M{one:04}")).collect();
        let pieces: Vec<String> = (0..20).map(|one| format!("piece {one}")).collect();
        let mut places = Vec::new();
        for market in &markets {
            for piece in &pieces {
                let state = match market.as_str() {
                    "M1999" => Filled::Blocked,
                    _ => Filled::Present,
                };
                places.push((piece.as_str(), market.as_str(), "en", state, "why"));
            }
        }
        let page = with_map(map(&places));
        assert!(page.len() < 100_000, "{} bytes", page.len());
        // The one that needs somebody comes first.
        let first = page.find("<td class=\"path\">M1999</td>").unwrap();
        assert!(first < page.find("<td class=\"path\">M0000</td>").unwrap());
        assert!(
            page.contains("<td class=\"path\">1960 more markets</td><td class=\"n\">39200</td>")
        );
        assert!(page.contains("There are 2000 markets"));
        assert!(page.contains("<td class=\"path\">piece 19</td><td class=\"n\">1999</td>"));
    }

    #[test]
    fn pieces_and_reasons_beyond_what_is_shown_are_counted() {
        let pieces: Vec<String> = (0..130).map(|one| format!("p{one:03}")).collect();
        let places: Vec<Place<'_>> = pieces
            .iter()
            .map(|piece| (piece.as_str(), "DE", "de", Filled::Missing, "why"))
            .collect();
        let mut map = map(&places);
        map.more_rows = 5;
        let page = with_map(map);
        assert!(page.contains("and 30 more pieces") && page.contains("and 30 more reasons"));
        assert!(page.contains("5 more places are only counted"));
        assert!(page.contains("p099") && !page.contains("p100"));
    }
}
