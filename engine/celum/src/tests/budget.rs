//! How many calls an asset costs. A call more for each asset is a regression, whatever it is good for.

use std::sync::Arc;

use bytes::Bytes;
use windlass_core::{
    AssetId, Availability, Chunk, Correlation, Destination, Draft, Placed, Secret, Sink,
};

use super::model::{Line, Model};
use super::{ROOT, digests, draft, marked, profile};
use crate::{CelumEndpoint, CelumOptions, CelumProfile};

const CONTENT: &[u8] = b"all the bytes of a picture";

async fn connect(model: &Arc<Model>, profile: CelumProfile) -> Arc<CelumEndpoint> {
    let key = Secret::new("key-1".to_owned());
    let options = CelumOptions::new("dam", ROOT.parse().unwrap(), key, profile);
    CelumEndpoint::connect(Arc::new(Line(Arc::clone(model))), options)
        .await
        .unwrap()
}

async fn place(endpoint: &CelumEndpoint, destination: &Destination, number: usize) -> Placed {
    let revision = number.to_string();
    let mark = Correlation::derive("ingest", "studio", "id:1", &revision);
    let size = CONTENT.len() as u64;
    let session = endpoint.begin(destination, size, &mark).await.unwrap();
    let chunk = Chunk::new(0, Bytes::from_static(CONTENT));
    session.append(chunk).await.unwrap();
    session.commit(&digests(CONTENT)).await.unwrap()
}

fn available() -> Draft {
    Draft {
        availability: Some(Availability::Direct { available: true }),
        ..draft()
    }
}

#[tokio::test]
async fn what_is_known_of_a_tenant_is_read_once_and_a_new_asset_costs_three_calls() {
    let model = Arc::new(Model::default());
    let endpoint = connect(&model, marked()).await;
    let drafts = vec![draft(); 40];
    endpoint.check_drafts(&drafts).await.unwrap();
    assert_eq!(
        model.take_calls(),
        [
            "GET users/me",
            "GET collections",
            "GET asset-types",
            "GET asset-types/{id}",
            "GET collection-types",
        ]
    );
    let destination = Destination::New { draft: draft() };
    for number in 0..40 {
        place(&endpoint, &destination, number).await;
        assert_eq!(
            model.take_calls(),
            ["POST upload", "POST an upload URL", "POST assets"]
        );
    }
    endpoint.check_drafts(&drafts).await.unwrap();
    assert_eq!(model.take_calls(), [""; 0]);
}

#[tokio::test]
async fn availability_costs_one_call_more_because_creating_cannot_say_it() {
    let model = Arc::new(Model::default());
    let endpoint = connect(&model, profile()).await;
    let destination = Destination::New { draft: available() };
    place(&endpoint, &destination, 0).await;
    model.take_calls();
    place(&endpoint, &destination, 1).await;
    assert_eq!(
        model.take_calls(),
        [
            "POST upload",
            "POST an upload URL",
            "POST assets",
            "PATCH assets/{id}",
        ]
    );
}

#[tokio::test]
async fn a_version_costs_five_calls_and_one_for_each_concern_that_changes() {
    let model = Arc::new(Model::default());
    let day = std::time::Duration::from_secs(86_400);
    let asset = AssetId::new(model.put("hall-7.tif", b"what it was", day).to_string());
    let endpoint = connect(&model, profile()).await;
    let destination = Destination::Version {
        asset: asset.clone(),
        draft: available(),
        replaces: None,
    };
    endpoint.check_drafts(&[available()]).await.unwrap();
    model.take_calls();
    let version = [
        "POST upload",
        "POST an upload URL",
        "GET assets/{id}",
        "POST assets/{id}/versions",
        "GET assets/{id}",
    ];
    place(&endpoint, &destination, 0).await;
    // Name, field and availability.
    let changed = [&version[..], &["PATCH assets/{id}"; 3]].concat();
    assert_eq!(model.take_calls(), changed);
    place(&endpoint, &destination, 1).await;
    assert_eq!(model.take_calls(), version);
    endpoint.set_metadata(&asset, &available()).await.unwrap();
    assert_eq!(model.take_calls(), ["GET assets/{id}"], "nothing differs");
}
