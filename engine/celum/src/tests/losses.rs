//! Whatever answer is lost, and whether or not the tenant had acted: one asset, one version, complete.
//!
//! Every kind of call that places something is made to go wrong once, in every way, alone and while the outcome of
//! a lost commit is looked for, with and without a correlation field, with and without a crash in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use windlass_core::{
    AssetId, Availability, Chunk, Destination, Draft, Expected, Kind, Placed, Result, Secret, Sink,
    Status,
};
use windlass_http::Jitter;

use super::model::{How, Line, Model};
use super::{ROOT, digests, draft, mark, marked, profile};
use crate::{CelumEndpoint, CelumOptions, CelumProfile};

const CONTENT: &[u8] = b"all the bytes of a picture";

const EVERY_WAY: &[How] = &[
    How::Unsent,
    How::LostBefore,
    How::LostAfter,
    How::Late(Duration::from_secs(20)),
    How::ProxyBefore(502),
    How::ProxyBefore(503),
    How::ProxyAfter(502),
    How::ProxyAfter(503),
    How::ProxyAfter(504),
    How::ProxyMaintenance,
    How::Maintenance,
];

/// Kinds of calls that place something, or look whether it was placed.
const EVERY_KIND: &[&str] = &[
    "GET users/me",
    "GET asset-types",
    "GET asset-types/{id}",
    "GET collection-types",
    "GET collections",
    "POST upload",
    "POST an upload URL",
    "POST assets",
    "POST assets/{id}/versions",
    "GET assets/{id}",
    "PATCH assets/{id}",
    "GET assets",
    "POST assets/search",
    "GET assets/{id}/versions",
    "GET download-formats",
    "GET assets/{id}/download",
    "GET a download URL",
];

const CREATING: &[&str] = &["POST assets", "POST assets/{id}/versions"];

/// One way in which the world may be.
#[derive(Clone, Debug)]
struct Case {
    marks: bool,
    version: bool,
    auto_activate: bool,
    /// The process dies whenever a commit's answer is lost.
    crashes: bool,
    faults: Vec<(&'static str, How)>,
}

impl Case {
    fn profile(&self) -> CelumProfile {
        CelumProfile {
            index_lag: 30,
            auto_activate: self.auto_activate,
            ..if self.marks { marked() } else { profile() }
        }
    }

    fn draft(&self) -> Draft {
        Draft {
            availability: Some(Availability::Direct { available: true }),
            ..draft()
        }
    }
}

async fn connect(model: &Arc<Model>, profile: &CelumProfile) -> Result<Arc<CelumEndpoint>> {
    let key = Secret::new("key-1".to_owned());
    let options = CelumOptions {
        tries: 2,
        jitter: Jitter::seeded(7),
        ..CelumOptions::new("dam", ROOT.parse().unwrap(), key, profile.clone())
    };
    CelumEndpoint::connect(Arc::new(Line(Arc::clone(model))), options).await
}

/// What a transfer and its flow do with a sink, attempt by attempt, and nothing more.
struct Mover {
    model: Arc<Model>,
    profile: CelumProfile,
    destination: Destination,
    /// The process dies before it can look.
    crashes: bool,
    /// A commit was about to be sent.
    intent: bool,
}

impl Mover {
    async fn place(&mut self) -> Placed {
        let mut endpoint = None;
        for _ in 0..8 {
            let current = match endpoint.take() {
                Some(endpoint) => Ok(endpoint),
                None => connect(&self.model, &self.profile).await,
            };
            let attempt = match &current {
                Ok(endpoint) => self.attempt(endpoint).await,
                Err(error) => {
                    assert_ne!(error.status(), Status::Permanent, "{error:?}");
                    continue;
                }
            };
            match attempt {
                Ok(placed) => return placed,
                Err(error) => {
                    assert_ne!(error.status(), Status::Permanent, "{error:?}");
                    let dies = self.crashes && error.kind() == Kind::Ambiguous;
                    endpoint = current.ok().filter(|_| !dies);
                }
            }
        }
        panic!("it is never placed");
    }

    async fn attempt(&mut self, endpoint: &CelumEndpoint) -> Result<Placed> {
        if self.intent
            && let Some(placed) = self.adopt(endpoint).await?
        {
            return Ok(placed);
        }
        let size = CONTENT.len() as u64;
        let session = endpoint.begin(&self.destination, size, &mark()).await?;
        for (index, piece) in CONTENT.chunks(10).enumerate() {
            let chunk = Chunk::new(index as u64 * 10, Bytes::from_static(piece));
            session.append(chunk).await?;
        }
        self.intent = true;
        match session.commit(&digests(CONTENT)).await {
            Err(error) if error.kind() == Kind::Ambiguous && !self.crashes => {
                self.adopt(endpoint).await?.ok_or(error)
            }
            answer => answer,
        }
    }

    async fn adopt(&self, endpoint: &CelumEndpoint) -> Result<Option<Placed>> {
        let expected = Expected::from(&digests(CONTENT));
        let found = endpoint.find(&self.destination, &mark(), &expected).await?;
        if let Some(placed) = &found {
            let draft = self.destination.draft();
            endpoint.set_metadata(&placed.asset, draft).await?;
        }
        Ok(found)
    }
}

/// Lives through a case. True when all of its faults were met.
async fn live(case: &Case) -> bool {
    let model = Arc::new(Model {
        index_lag: Duration::from_secs(30),
        auto_activate: case.auto_activate,
        ..Model::default()
    });
    // Made by us, with the same bytes, a day ago: after a crash, and without marks, nobody could tell it
    // from what was made a minute ago.
    let day = Duration::from_secs(86_400);
    let has_twin = case.marks || !case.crashes;
    let twin = has_twin.then(|| model.put("hall-7.tif", CONTENT, day));
    let destination = match case.version {
        false => Destination::New {
            draft: case.draft(),
        },
        true => Destination::Version {
            asset: AssetId::new(
                model
                    .put("hall-7.tif", b"what it was before", day)
                    .to_string(),
            ),
            draft: case.draft(),
            replaces: None,
        },
    };
    let before = model.assets();
    for (kind, how) in &case.faults {
        model.fail(kind, *how);
    }
    let mut mover = Mover {
        model: Arc::clone(&model),
        profile: case.profile(),
        destination,
        crashes: case.crashes,
        intent: false,
    };
    let placed = mover.place().await;
    // What is still on its way arrives.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = model.assets();
    let made = usize::from(!case.version);
    assert_eq!(after.len(), before.len() + made, "{case:?}");
    if let Some(twin) = twin {
        assert_eq!(after[&twin].name, "hall-7.tif", "{case:?}");
    }
    let asset = &after[&placed.asset.as_str().parse().unwrap()];
    assert_eq!(
        asset.versions.len(),
        1 + usize::from(case.version),
        "{case:?}"
    );
    assert_eq!(asset.current.to_string(), placed.revision.as_str());
    assert_eq!(asset.version(asset.current).bytes, CONTENT, "{case:?}");
    assert_eq!(asset.name, "Hall 7", "{case:?}");
    assert_eq!(asset.values[&643], json!("SKU-1"), "{case:?}");
    let available = json!({"type": "DIRECT", "available": true});
    assert_eq!(asset.availability, Some(available), "{case:?}");
    model.faults_left() == 0
}

fn worlds() -> Vec<Case> {
    let mut worlds = Vec::new();
    for bits in 0..16_u8 {
        let is_set = |bit: u8| bits & (1 << bit) != 0;
        worlds.push(Case {
            marks: is_set(0),
            version: is_set(1),
            auto_activate: is_set(2),
            crashes: is_set(3),
            faults: Vec::new(),
        });
    }
    // Whether versions become current by themselves matters to versions only.
    worlds.retain(|case| case.version || case.auto_activate);
    worlds
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_any_kind_never_makes_a_second_asset() {
    let mut met = BTreeSet::new();
    for world in worlds() {
        for kind in EVERY_KIND {
            for how in EVERY_WAY {
                let mut case = world.clone();
                case.faults.push((kind, *how));
                if live(&case).await {
                    met.insert(*kind);
                }
            }
        }
    }
    for kind in ["POST upload", "POST an upload URL", "PATCH assets/{id}"] {
        assert!(met.contains(kind), "{kind} never went wrong");
    }
    assert!(CREATING.iter().all(|kind| met.contains(kind)));
}

/// Makes a second call go wrong after a commit whose answer was lost; which kinds were met.
async fn live_through_two(crashes: bool) -> BTreeSet<&'static str> {
    let ways = [
        How::Unsent,
        How::LostBefore,
        How::LostAfter,
        How::Late(Duration::from_secs(20)),
        How::ProxyAfter(503),
    ];
    let mut met = BTreeSet::new();
    for world in worlds() {
        if world.crashes != crashes {
            continue;
        }
        let commit = CREATING[usize::from(world.version)];
        for first in [How::LostAfter, How::LostBefore] {
            for kind in EVERY_KIND {
                for how in ways {
                    let mut case = world.clone();
                    case.faults = vec![(commit, first), (kind, how)];
                    if live(&case).await {
                        met.insert(*kind);
                    }
                }
            }
        }
    }
    met
}

#[tokio::test(start_paused = true)]
async fn a_second_loss_while_the_first_is_looked_for_never_makes_a_second_asset() {
    let met = live_through_two(false).await;
    for kind in [
        "GET assets",
        "POST assets/search",
        "GET assets/{id}/versions",
    ] {
        assert!(met.contains(kind), "{kind} never went wrong");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_loss_after_a_crash_never_makes_a_second_asset() {
    let met = live_through_two(true).await;
    let all = BTreeSet::from_iter(EVERY_KIND.iter().copied());
    assert_eq!(met, all, "every kind went wrong somewhere");
}

#[tokio::test(start_paused = true)]
async fn a_page_instead_of_an_answer_to_a_commit_never_makes_a_second_asset() {
    for world in worlds() {
        for kind in CREATING {
            let mut case = world.clone();
            case.faults.push((kind, How::Page));
            let met = live(&case).await;
            assert_eq!(met, *kind == CREATING[usize::from(case.version)]);
        }
    }
}
