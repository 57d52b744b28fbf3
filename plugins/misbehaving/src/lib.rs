//! A guest that misbehaves on request: the host's tests hold each limit against it.
//!
//! It has every hook, built against the world of all of them without the SDK. What an asset's path contains decides
//! what happens: `trap`, `spin`, `recurse`, `hoard`, `missing`, `extra`, `flood`, `huge`, `large`, `bad-date`, `twice`, `nan`,
//! `garbage`, `pester`, `past`, `nowhere`. A path with none of these is answered as it should be. The configuration can
//! misbehave too: `{"configure": "refuse" | "trap" | "spin"}`.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "exported on wasm only")
)]

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from the WIT, which documents it"
    )]
    wit_bindgen::generate!({
        path: "../../wit/v1",
        world: "every-hook",
    });
}

use bindings::exports::windlass::hooks::{localization, metadata, plugin, rights};
use bindings::windlass::hooks::host::{self, Level};
use bindings::windlass::hooks::types::{AssetView, Date, Origin, Value};

struct Misbehaving;

impl plugin::Guest for Misbehaving {
    fn identify() -> plugin::Identity {
        plugin::Identity {
            name: "misbehaving".to_owned(),
            version: "0.0.1".to_owned(),
            asks: vec![Origin::Sheet, Origin::Embedded],
        }
    }

    fn configure(config: String, _granted: Vec<Origin>) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| {
            host::log(Level::Error, &panic.to_string());
        }));
        match config.as_str() {
            text if text.contains("refuse") => Err("key \"configure\": told to refuse".to_owned()),
            text if text.contains("trap") => panic!("told to trap while configured"),
            text if text.contains("spin") => spin(),
            _ => Ok(()),
        }
    }
}

impl metadata::Guest for Misbehaving {
    fn describe(assets: Vec<AssetView>) -> Vec<metadata::Verdict> {
        let verdicts = assets.iter().map(answer).collect();
        miscounted(&assets, verdicts, || metadata::Verdict::Ready(nothing()))
    }
}

impl rights::Guest for Misbehaving {
    fn decide(releases: Vec<rights::Release>) -> Vec<rights::Ruling> {
        let ruling = |release: &rights::Release| {
            let path = misbehave(&release.asset);
            rights::Ruling {
                decision: rights::Decision::Allow,
                until: match path {
                    _ if path.contains("past") => Some(release.at.clone()),
                    _ if path.contains("garbage") => Some("tomorrow".to_owned()),
                    _ if path.contains("hour") => Some("2026-03-04T13:00:00Z".to_owned()),
                    _ => None,
                },
                reason: format!("told at {}", release.at),
                rule: "as told".to_owned(),
                findings: Vec::new(),
            }
        };
        let rulings = releases.iter().map(ruling).collect();
        let assets: Vec<AssetView> = releases.iter().map(|one| one.asset.clone()).collect();
        miscounted(&assets, rulings, || ruling(&releases[0]))
    }
}

impl localization::Guest for Misbehaving {
    fn route(
        assets: Vec<AssetView>,
        markets: Vec<localization::Market>,
    ) -> Vec<localization::Routed> {
        let routed = |asset: &AssetView| {
            let path = misbehave(asset);
            let placement = |market: &localization::Market| localization::Placement {
                market: match path.contains("nowhere") {
                    true => "Atlantis".to_owned(),
                    false => market.code.clone(),
                },
                language: market.languages[0].clone(),
                channel: market.channels[0].clone(),
                folder: match path.contains("garbage") {
                    true => "/../elsewhere".to_owned(),
                    false => format!("/{}", market.code),
                },
                file_name: "a.tif".to_owned(),
                rendition: None,
                piece: "a".to_owned(),
                fallback: 0,
                rule: "as told".to_owned(),
            };
            localization::Routed::Ready(localization::Routing {
                placements: markets.iter().map(placement).collect(),
                findings: Vec::new(),
            })
        };
        let answers = assets.iter().map(routed).collect();
        miscounted(&assets, answers, || routed(&assets[0]))
    }
}

/// One answer too few or too many, if an asset says so.
fn miscounted<T>(assets: &[AssetView], mut answers: Vec<T>, one: impl Fn() -> T) -> Vec<T> {
    if assets.iter().any(|asset| asset.path.contains("missing")) {
        answers.pop();
    }
    if assets.iter().any(|asset| asset.path.contains("extra")) {
        answers.push(one());
    }
    answers
}

/// Does what it is told to do in every hook, if it comes back at all.
fn misbehave(asset: &AssetView) -> &str {
    let path = asset.path.as_str();
    match path {
        _ if path.contains("trap") => panic!("told to trap by {path}"),
        _ if path.contains("spin") => spin(),
        _ if path.contains("recurse") => {
            let depth = recurse(1);
            host::log(Level::Info, &format!("came back from {depth}"));
        }
        _ if path.contains("hoard") => hoard(),
        _ if path.contains("flood") => flood(),
        _ if path.contains("pester") => pester(),
        _ if path.contains("lookup") => {
            let found = host::lookup("clients", "ACME", None);
            panic!("looked up {found:?}");
        }
        _ => {}
    }
    path
}

fn nothing() -> metadata::Mapping {
    metadata::Mapping {
        fields: Vec::new(),
        asset_type: None,
        collection: None,
        name: None,
        availability: None,
        findings: Vec::new(),
    }
}

fn answer(asset: &AssetView) -> metadata::Verdict {
    let path = misbehave(asset);
    let mut mapping = nothing();
    let mut assign = |field: &str, value| {
        mapping.fields.push(metadata::Assigned {
            field: field.to_owned(),
            value,
            rule: "as told".to_owned(),
        });
    };
    match path {
        _ if path.contains("flood") => {}
        _ if path.contains("huge") => assign("text", Value::Text("x".repeat(16 << 20))),
        _ if path.contains("large") => assign("text", Value::Text("x".repeat(1 << 20))),
        _ if path.contains("bad-date") => {
            let (year, month, day) = (2025, 2, 30);
            assign("date", Value::Date(Date { year, month, day }));
        }
        _ if path.contains("nan") => assign("ratio", Value::Decimal(f64::NAN)),
        _ if path.contains("twice") => {
            assign("client", Value::Boolean(true));
            assign("client", Value::Boolean(false));
        }
        _ if path.contains("today") => assign("day", Value::Date(host::today())),
        _ if path.contains("stated") => {
            let names = asset.statements.iter().map(|stated| stated.name.clone());
            assign("stated", Value::Keywords(names.collect()));
        }
        // SAFETY: none. That the host is handed bytes that are no text is what is wanted.
        _ if path.contains("garbage") => {
            let text = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xc0]) };
            assign("text", Value::Text(text));
        }
        _ => assign("path", Value::Text(path.to_owned())),
    }
    metadata::Verdict::Ready(mapping)
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Never comes back: each turn has a frame of its own, which is used after the next one came back.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    match frame[0] {
        0 => 0,
        depth => recurse(depth + 1) + frame[63],
    }
}

fn hoard() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

fn flood() {
    let line = "flood ".repeat(1_000);
    for _ in 0..1_000 {
        host::log(Level::Warn, &line);
    }
}

fn pester() {
    loop {
        host::log(Level::Debug, "again");
    }
}

// Native linkers do not take the names of a component's exports.
#[cfg(target_arch = "wasm32")]
bindings::export!(Misbehaving with_types_in bindings);
