//! What the library says of an asset, in a property of the file that stands for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use windlass_core::{AssetId, Assigned, Draft, DraftPart, Kind, Secret, Sink, Value};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use super::express::at;
use super::sandbox::{connect, listen, place, serve};
use crate::wire::{Metadata, PropertyGroup};
use crate::{Credential, DropboxEndpoint, DropboxOptions};

const OVERWRITE: &str = "file_properties/properties/overwrite";

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A draft of a file that stays where it is.
fn beside(fields: &[(&str, Value)]) -> Draft {
    let fields = fields.iter().map(|(field, value)| Assigned {
        field: (*field).to_owned(),
        value: value.clone(),
        rule: "governed by the library".to_owned(),
    });
    Draft {
        fields: fields.collect(),
        yields: BTreeSet::from([DraftPart::Name, DraftPart::Collection]),
        ..at("/Elsewhere/other.tif").draft().clone()
    }
}

async fn placed(dropbox: &DropboxEndpoint) -> AssetId {
    let bytes = Bytes::from_static(b"one");
    place(dropbox, "/Out/a.tif", &bytes).await.unwrap().asset
}

/// The groups of a file by the template of governed metadata and by those of stamps.
async fn groups(dropbox: &DropboxEndpoint, id: &AssetId) -> Vec<PropertyGroup> {
    let mut all = Vec::new();
    let governed = dropbox.governing.template(&beside(&[])).await.unwrap();
    let stamps = dropbox.stamps.templates().await.unwrap();
    for template in governed.iter().chain(stamps.iter()) {
        let shown = dropbox.api.metadata_with(id.as_str(), template).await;
        let Ok(Metadata::File(file)) = shown else {
            panic!("{shown:?}");
        };
        all.extend(file.property_groups);
    }
    all
}

/// What the file says, and nothing where it says nothing.
async fn said(dropbox: &DropboxEndpoint, id: &AssetId) -> Json {
    let groups = groups(dropbox, id).await;
    let mut fields = groups.iter().flat_map(|group| &group.fields);
    let value = fields.find(|field| field.name == "fields");
    value.map_or(Json::Null, |field| {
        assert!(field.value.len() <= 1024, "{}", field.value.len());
        serde_json::from_str(&field.value).unwrap()
    })
}

fn paths(service: &Dropbox) -> Vec<String> {
    let files = service.tree().into_iter();
    let files = files.filter(|entry| entry.file.is_some());
    files.map(|entry| entry.path_display).collect()
}

#[tokio::test]
async fn fields_stand_beside_a_file_as_people_read_them_and_nothing_moves() {
    let (service, dropbox) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    let before = service.bytes_received();
    let localized = BTreeMap::from([("de".to_owned(), "Höhe".to_owned())]);
    let draft = beside(&[
        ("approval", text("approved")),
        ("title", Value::LocalizedText(localized)),
        ("pieces", Value::Number(3)),
        ("until", Value::Date(jiff::civil::date(2027, 1, 31))),
        ("final", Value::Boolean(true)),
        ("markets", Value::References(vec!["Europe/DE".to_owned()])),
    ]);
    let faults = dropbox.check_drafts(std::slice::from_ref(&draft)).await;
    assert_eq!(faults.unwrap(), [Vec::new()]);
    dropbox.set_metadata(&id, &draft).await.unwrap();
    let wanted = json!({
        "approval": "approved", "title": {"de": "Höhe"}, "pieces": 3, "until": "2027-01-31",
        "final": true, "markets": ["Europe/DE"],
    });
    assert_eq!(said(&dropbox, &id).await, wanted);
    // Listings show the same.
    let template = dropbox.governing.template(&draft).await.unwrap().unwrap();
    let listed = dropbox.api.list_folder_with("/Out", &[template]).await;
    let entries = listed.unwrap().entries.into_iter();
    let shown = entries.filter_map(|entry| match entry {
        Metadata::File(file) => Some(file.property_groups),
        _ => None,
    });
    let shown: Vec<_> = shown.flatten().flat_map(|group| group.fields).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(
        serde_json::from_str::<Json>(&shown[0].value).unwrap(),
        wanted
    );
    assert_eq!(paths(&service), ["/Out/a.tif"]);
    assert_eq!(service.bytes_received(), before);
}

#[tokio::test]
async fn fields_that_change_are_written_as_a_whole_and_what_is_there_is_not_written_again() {
    let (service, dropbox) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    let first = beside(&[("approval", text("draft")), ("usage", text("web"))]);
    for _ in 0..2 {
        dropbox.set_metadata(&id, &first).await.unwrap();
    }
    assert_eq!(service.calls(OVERWRITE), 1);
    let second = beside(&[("approval", text("approved"))]);
    dropbox.set_metadata(&id, &second).await.unwrap();
    assert_eq!(
        said(&dropbox, &id).await,
        json!({ "approval": "approved" }),
        "a field that the library has not any more is gone"
    );
    dropbox.set_metadata(&id, &beside(&[])).await.unwrap();
    assert_eq!(said(&dropbox, &id).await, json!({}));
    dropbox.set_metadata(&id, &beside(&[])).await.unwrap();
    assert_eq!(service.calls(OVERWRITE), 3);
    let add = "file_properties/templates/add_for_user";
    assert_eq!(service.calls(add), 1, "made once");
}

#[tokio::test]
async fn a_file_without_fields_makes_no_template() {
    let (service, dropbox) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    dropbox.set_metadata(&id, &beside(&[])).await.unwrap();
    assert_eq!(service.calls("file_properties/templates/add_for_user"), 0);
    assert_eq!(service.calls(OVERWRITE), 0);
}

#[tokio::test]
async fn stamps_stay_when_fields_are_written_and_another_process_finds_the_template() {
    let (service, options) = listen(Account::default()).await;
    let options = DropboxOptions {
        stamps: true,
        ..options
    };
    let dropbox = connect(options.clone()).await;
    let id = placed(&dropbox).await;
    let stamp = groups(&dropbox, &id).await;
    assert_eq!(stamp.len(), 1);
    for approval in ["draft", "approved"] {
        // A process of its own each time.
        let again = connect(options.clone()).await;
        let draft = beside(&[("approval", text(approval))]);
        again.set_metadata(&id, &draft).await.unwrap();
        assert_eq!(said(&again, &id).await, json!({ "approval": approval }));
        let all = groups(&again, &id).await;
        assert_eq!(all[1..], stamp);
    }
    let made = service.calls("file_properties/templates/add_for_user");
    assert_eq!(made, 2, "one for stamps, one for fields");
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_field_by_field_and_the_value_says_so() {
    let (_service, dropbox) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    let part = "ü\"".repeat(60);
    let draft = beside(&[
        ("a", text(&part)),
        ("b", text(&"x".repeat(2000))),
        ("c", text(&part)),
        ("d", text(&part)),
        ("e", text(&part)),
        ("f", text(&part)),
        ("g", text(&part)),
    ]);
    dropbox.set_metadata(&id, &draft).await.unwrap();
    let wanted = json!({ "a": part, "c": part, "d": part, "e": part, "(left out)": 3 });
    assert_eq!(said(&dropbox, &id).await, wanted);
    let huge = beside(&[("b", text(&"x".repeat(2000)))]);
    dropbox.set_metadata(&id, &huge).await.unwrap();
    assert_eq!(said(&dropbox, &id).await, json!({ "(left out)": 1 }));
    // Exactly what Dropbox keeps is kept.
    let room = 1024 - r#"{"b":""}"#.len();
    let exact = "x".repeat(room);
    let draft = beside(&[("b", text(&exact))]);
    dropbox.set_metadata(&id, &draft).await.unwrap();
    assert_eq!(said(&dropbox, &id).await, json!({ "b": exact }));
}

#[tokio::test]
async fn an_app_that_may_not_write_properties_goes_without_and_asks_once() {
    let (service, options) = listen(Account::default()).await;
    let scopes = [
        "account_info.read",
        "files.content.read",
        "files.content.write",
        "files.metadata.read",
    ];
    let token = service.access_token_with(&scopes, Duration::from_secs(600));
    let restricted = DropboxOptions {
        credential: Credential::AccessToken(Secret::new(token.expose())),
        ..options.clone()
    };
    let full = connect(options).await;
    let id = placed(&full).await;
    let draft = beside(&[("approval", text("approved"))]);
    let dropbox = connect(restricted.clone()).await;
    for _ in 0..3 {
        dropbox.set_metadata(&id, &draft).await.unwrap();
    }
    assert_eq!(property_calls(&service), 2, "listed, and not made");
    assert_eq!(said(&full, &id).await, Json::Null);
    full.set_metadata(&id, &draft).await.unwrap();
    // One that finds the template and may not write what belongs to it.
    let dropbox = connect(restricted).await;
    let other = beside(&[("approval", text("withdrawn"))]);
    let before = property_calls(&service);
    for _ in 0..3 {
        dropbox.set_metadata(&id, &other).await.unwrap();
    }
    assert_eq!(
        property_calls(&service) - before,
        3,
        "listed, looked at, and refused"
    );
    assert_eq!(said(&full, &id).await, json!({ "approval": "approved" }));
}

fn property_calls(service: &Dropbox) -> u64 {
    let calls = service.call_counts().into_iter();
    let calls = calls.filter(|count| count.route.starts_with("file_properties/"));
    calls.map(|count| count.calls).sum()
}

#[tokio::test]
async fn a_template_that_somebody_removes_is_made_again() {
    let (_service, dropbox) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    let draft = beside(&[("approval", text("approved"))]);
    dropbox.set_metadata(&id, &draft).await.unwrap();
    let template = dropbox.governing.template(&draft).await.unwrap().unwrap();
    dropbox.api.remove_template(&template).await.unwrap();
    dropbox.set_metadata(&id, &draft).await.unwrap();
    assert_eq!(said(&dropbox, &id).await, json!({ "approval": "approved" }));
    assert_ne!(
        dropbox.governing.template(&draft).await.unwrap(),
        Some(template)
    );
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_found() {
    let (_service, dropbox) = serve(Account::default()).await;
    let gone = AssetId::new("id:AAAAAAAAAAAAAAAAAAAAAA");
    let draft = beside(&[("approval", text("approved"))]);
    let error = dropbox.set_metadata(&gone, &draft).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn fields_of_a_draft_that_says_where_the_file_is_are_refused() {
    let (service, dropbox): (Arc<Dropbox>, _) = serve(Account::default()).await;
    let id = placed(&dropbox).await;
    let mut draft = beside(&[("approval", text("approved"))]);
    draft.yields.remove(&DraftPart::Name);
    let faults = dropbox.check_drafts(std::slice::from_ref(&draft)).await;
    assert_eq!(faults.unwrap()[0][0].field.as_deref(), Some("approval"));
    let error = dropbox.set_metadata(&id, &draft).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(paths(&service), ["/Out/a.tif"]);
}
