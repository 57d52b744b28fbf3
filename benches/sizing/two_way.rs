//! A two-way flow between both emulated services, with small files and few rules: what programs share that measure how soon
//! it acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use windlass_celum::CelumEndpoint;
use windlass_core::{AssetPath, Choices, Clock, Query, SystemClock, Value};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{
    Approval, Arrivals, Authority, BytesAuthority, Duplicates, Ingest, IngestOptions,
    PlaceAuthority, Readiness, ReleaseFlow, ReleaseOptions, RightsGate, RightsOptions, Selection,
    Silent, Sync, SyncOptions, TakingBack,
};
use windlass_ledger::SqlLedger;

pub(crate) const FLOW: &str = "work";

/// The folder of the files, and the collection of the assets.
pub(crate) const ROOT: &str = "/Work";
pub(crate) const COLLECTION: &str = "/Brand Library/Work";

/// Among how many folders the files are.
pub(crate) const FOLDERS: usize = 20;

/// How old the pairs are when the first change comes: far more than a flow looks back when it asks for changes, so that it
/// is not told of all of them as if people had made them a moment ago.
pub(crate) const AGE: SignedDuration = SignedDuration::from_hours(1);

/// The time of day at both services: behind by the pairs' age while those are made.
#[derive(Debug, Default)]
pub(crate) struct ServicesClock {
    pub(crate) is_right: AtomicBool,
}

impl Clock for ServicesClock {
    fn now(&self) -> Timestamp {
        match self.is_right.load(Ordering::Relaxed) {
            true => Timestamp::now(),
            false => Timestamp::now() - AGE,
        }
    }
}

/// When something happened to files, by name.
pub(crate) type Moments = BTreeMap<String, Instant>;

/// A path as the emulated tenant writes it.
pub(crate) fn below_root(path: &str) -> &str {
    path.trim_start_matches('/')
}

pub(crate) fn file_name(index: usize) -> String {
    format!("picture-{index:05}.jpg")
}

pub(crate) fn approved() -> (String, Value) {
    ("approval".to_owned(), Value::Text("Approved".to_owned()))
}

pub(crate) fn options() -> SyncOptions {
    SyncOptions {
        name: FLOW.to_owned(),
        way_in: format!("{FLOW}.in"),
        way_out: format!("{FLOW}.out"),
        root: AssetPath::new(ROOT),
        query: Query {
            collection: AssetPath::new(COLLECTION),
            asset_types: Vec::new(),
            fields: vec![approved()],
        },
        authority: Authority {
            bytes: BytesAuthority::File,
            place: PlaceAuthority::Whoever,
            fields: BTreeSet::new(),
            availability: false,
        },
        mirrors: true,
        governed: Vec::new(),
        publishes: true,
        removing: None,
        cap: None,
    }
}

pub(crate) fn way_in(
    options: &SyncOptions,
    account: &Arc<DropboxEndpoint>,
    dam: &Arc<CelumEndpoint>,
    ledger: &Arc<SqlLedger>,
) -> Ingest {
    let campaign = ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned()));
    Ingest {
        options: IngestOptions {
            flow: options.way_in.clone(),
            root: options.root.clone(),
            selection: Selection {
                approval: Some(Approval {
                    folder: Some("Final".to_owned()),
                    tag: None,
                }),
                ..Selection::default()
            },
            collection: options.query.collection.clone(),
            keep_folders: options.mirrors,
            asset_type: Some("campaignAsset".to_owned()),
            set: BTreeMap::from([campaign, approved()]),
            availability: None,
            choices: Choices::default(),
            ready: Readiness::default(),
            duplicates: Some(Duplicates::Place),
            retry_held: false,
        },
        source: Arc::<DropboxEndpoint>::clone(account),
        sink: Arc::<CelumEndpoint>::clone(dam),
        hooks: None,
        informant: None,
        ledger: Arc::<SqlLedger>::clone(ledger),
        arrivals: Arrivals::default(),
        observer: Arc::new(Silent),
        partners: None,
    }
}

pub(crate) fn way_out(
    options: &SyncOptions,
    account: &Arc<DropboxEndpoint>,
    dam: &Arc<CelumEndpoint>,
    ledger: &Arc<SqlLedger>,
) -> ReleaseFlow {
    let rights = RightsOptions {
        audience: "agencies".to_owned(),
        market: None,
        channel: None,
        unstated_is_open: true,
        ignores_availability: false,
    };
    let gate = RightsGate {
        library: Arc::<CelumEndpoint>::clone(dam),
        hooks: None,
        query: None,
        options: rights.clone(),
        clock: Arc::new(SystemClock),
    };
    ReleaseFlow {
        options: ReleaseOptions {
            flow: options.way_out.clone(),
            query: options.query.clone(),
            root: options.root.clone(),
            kind: Sync::kind(options),
            rights,
            taking_back: TakingBack::default(),
            handing: None,
            shared: Vec::new(),
            cap: None,
            retry_held: false,
            sweep: false,
        },
        gate: Arc::new(gate),
        localization: None,
        outlet: Arc::<DropboxEndpoint>::clone(account),
        reader: Arc::<DropboxEndpoint>::clone(account),
        ledger: Arc::<SqlLedger>::clone(ledger),
        observer: Arc::new(Silent),
    }
}

/// How long it took from one moment to the other for each file, sorted.
pub(crate) fn took(from: &Moments, to: &Moments) -> Vec<Duration> {
    let mut took: Vec<Duration> = from.iter().map(|(name, at)| to[name] - *at).collect();
    took.sort();
    took
}

pub(crate) fn median(calls: impl Iterator<Item = u64>) -> u64 {
    let mut calls: Vec<u64> = calls.collect();
    calls.sort_unstable();
    calls[calls.len() / 2]
}
