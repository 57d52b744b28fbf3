//! A guest that misbehaves on request: the host's tests hold each limit against it.
//!
//! What an asset's path contains decides what happens: `trap`, `spin`, `hoard`, `missing`, `extra`,
//! `flood`, `huge`, `large`, `bad-date`, `twice`, `nan`, `pester`. A path with none of these is answered
//! as it should be. The configuration can misbehave too: `{"configure": "refuse" | "trap" | "spin"}`.

#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "exported on wasm only")
)]

use windlass_sdk::bindings::exports::windlass::hooks::{metadata, plugin};
use windlass_sdk::bindings::windlass::hooks::host;
use windlass_sdk::{AssetView, Date, Identity, Level, Mapping, Value, Verdict};

struct Misbehaving;

impl plugin::Guest for Misbehaving {
    fn identify() -> Identity {
        Identity {
            name: "misbehaving".to_owned(),
            version: "0.0.1".to_owned(),
        }
    }

    fn configure(config: String) -> Result<(), String> {
        windlass_sdk::report_panics();
        match config.as_str() {
            text if text.contains("refuse") => Err("key \"configure\": told to refuse".to_owned()),
            text if text.contains("trap") => panic!("told to trap while configured"),
            text if text.contains("spin") => spin(),
            _ => Ok(()),
        }
    }
}

impl metadata::Guest for Misbehaving {
    fn describe(assets: Vec<AssetView>) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = assets.iter().map(answer).collect();
        if assets.iter().any(|asset| asset.path.contains("missing")) {
            verdicts.pop();
        }
        if assets.iter().any(|asset| asset.path.contains("extra")) {
            verdicts.push(Verdict::Ready(Mapping::default()));
        }
        verdicts
    }
}

fn answer(asset: &AssetView) -> Verdict {
    let mut mapping = Mapping::default();
    let path = asset.path.as_str();
    let rule = "as told";
    match path {
        _ if path.contains("trap") => panic!("told to trap by {path}"),
        _ if path.contains("spin") => spin(),
        _ if path.contains("hoard") => hoard(),
        _ if path.contains("flood") => flood(),
        _ if path.contains("pester") => pester(),
        _ if path.contains("huge") => {
            mapping.assign("text", Value::Text("x".repeat(16 << 20)), rule);
        }
        _ if path.contains("large") => {
            mapping.assign("text", Value::Text("x".repeat(1 << 20)), rule);
        }
        _ if path.contains("bad-date") => {
            let date = Date {
                year: 2025,
                month: 2,
                day: 30,
            };
            mapping.assign("date", Value::Date(date), rule);
        }
        _ if path.contains("nan") => mapping.assign("ratio", Value::Decimal(f64::NAN), rule),
        _ if path.contains("twice") => {
            mapping.assign("client", Value::Boolean(true), rule);
            mapping.assign("client", Value::Boolean(false), rule);
        }
        _ if path.contains("today") => mapping.assign("day", Value::Date(host::today()), rule),
        _ => mapping.assign("path", Value::Text(path.to_owned()), rule),
    }
    Verdict::Ready(mapping)
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
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
windlass_sdk::bindings::export!(Misbehaving with_types_in windlass_sdk::bindings);
