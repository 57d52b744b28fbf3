//! What of an asset serves nowhere: the gaps of the market table as the asset sees them.

use windlass_sdk::{Market, Routing};

use crate::codes::{Code, Codes};
use crate::fallback::Fallback;
use crate::names::fold;
use crate::router::Made;

/// Remarks on each language, market and channel of an asset that the market table has no use for.
pub(crate) fn remark(
    made: &Made<'_>,
    fallback: &Fallback,
    markets: &[Market],
    routing: &mut Routing,
) {
    let before = routing.findings.len();
    for own in &made.languages {
        let is_nearest = |market: &Market| {
            let numbers = market.languages.iter().map(|wanted| fold(wanted));
            let mut numbers = numbers.map(|w| fallback.number(&w, &own.folded));
            numbers.any(|number| number.is_some())
        };
        if !markets.iter().any(is_nearest) {
            let message = format!("language {:?} is needed by no market", own.text);
            routing.remark("language", message);
        }
    }
    for code in codes(&made.markets) {
        if !markets
            .iter()
            .any(|market| fold(&market.code) == code.folded)
        {
            let message = format!("market {:?} is not in the market table", code.text);
            routing.remark("market", message);
        }
    }
    for code in codes(&made.channels) {
        let serves = |market: &Market| market.channels.iter().any(|c| fold(c) == code.folded);
        if !markets.iter().any(serves) {
            let message = format!("channel {:?} is served by no market", code.text);
            routing.remark("channel", message);
        }
    }
    let is_explained = routing.findings.len() > before;
    if routing.placements.is_empty() && !is_explained && !has_left_out(made) {
        let languages = told("language", Some(&made.languages));
        let markets = told("market", made.markets.as_ref().map(|m| &*m.codes));
        let channels = told("channel", made.channels.as_ref().map(|c| &*c.codes));
        let message = format!("{languages}, {markets} and {channels} meet nowhere");
        routing.remark("market table", message);
    }
}

fn codes(limits: &Option<Codes>) -> &[Code] {
    limits.as_ref().map_or(&[], |limits| &limits.codes)
}

fn has_left_out(made: &Made<'_>) -> bool {
    let limits = [&made.markets, &made.channels];
    limits
        .into_iter()
        .flatten()
        .any(|limits| !limits.left_out.is_empty())
}

fn told(noun: &str, codes: Option<&[Code]>) -> String {
    match codes {
        None | Some([]) => format!("any {noun}"),
        Some(codes) => {
            let codes: Vec<String> = codes
                .iter()
                .map(|code| format!("{:?}", code.text))
                .collect();
            format!("{noun} {}", codes.join(", "))
        }
    }
}
