//! The tenant that the sandbox comes with: what an administrator of a brand team would have set up.
//!
//! Two types of asset, three of collection, four roots. Credentials are constants, because they guard
//! nothing: everything here is served on loopback and made up.

use std::collections::BTreeMap;

use windlass_core::{Error, Kind, Secret};

use super::Celum;
use super::model::{
    Collection, CollectionType, DownloadFormat, FieldSet, Labels, Level, ObjectType, Tenant, Trail,
    User, Values,
};
use super::state::Event;

mod fields;

/// The API key of the user who may change things.
pub const API_KEY: &str = "windlass-sandbox-celum-key";

/// The API key of a user who may only read.
pub const READER_API_KEY: &str = "windlass-sandbox-celum-reader-key";

/// The user behind [`API_KEY`], for Basic.
pub const USERNAME: &str = "windlass";

/// The password of [`USERNAME`].
pub const PASSWORD: &str = "windlass-sandbox";

/// The technical name of the asset type for governed campaign material.
pub const ASSET_TYPE: &str = "campaignAsset";

/// Path of the collection that uploads are meant for.
pub const INBOX: &str = "Brand Library/Inbox";

const READER: &str = "reader";

/// Ids of the collection types.
const FOLDER: u64 = 1;
const CATEGORY: u64 = 2;
const KEYWORD: u64 = 3;

/// Ids of the roots, which reference fields name.
const LIBRARY: u64 = 1;
const KEYWORDS: u64 = 2;
const CLIENTS: u64 = 3;
const DROP_ZONE: u64 = 4;

/// The user that an API key stands for.
pub(super) fn user_of_key(key: &str) -> Option<&'static str> {
    match key {
        API_KEY => Some(USERNAME),
        READER_API_KEY => Some(READER),
        _ => None,
    }
}

/// The user that a name and password stand for.
pub(super) fn user_of_password(name: &str, password: &str) -> Option<&'static str> {
    (name == USERNAME && password == PASSWORD).then_some(USERNAME)
}

impl Celum {
    /// Sets the default tenant up, unless there is one already, and answers whether it did.
    pub fn seed_default_tenant(&self) -> windlass_core::Result<bool> {
        let mut state = self.state();
        if state.tenant.is_some() {
            return Ok(false);
        }
        let trail = Trail {
            date: self.now(),
            user: 1,
        };
        let tenant = Box::new(tenant(trail));
        // The tenant comes last: if a crash comes between, the next start does everything again.
        let mut events: Vec<Event> = collections(trail)
            .into_iter()
            .map(|collection| Event::Collection {
                collection: Box::new(collection),
            })
            .collect();
        events.push(Event::Tenant { tenant });
        for event in events {
            self.commit(&mut state, event).map_err(|error| {
                let message = "the CELUM sandbox's tenant cannot be written down";
                Error::new(Kind::Capacity, message).with_context("cause", format!("{error:?}"))
            })?;
        }
        Ok(true)
    }

    /// The API key of the user who may change things.
    pub fn api_key(&self) -> Secret {
        Secret::new(API_KEY)
    }
}

fn labels(english: &str, german: &str) -> Labels {
    BTreeMap::from([("en".into(), english.into()), ("de".into(), german.into())])
}

fn tenant(trail: Trail) -> Tenant {
    let fields = fields::all().into_iter().map(|field| (field.id, field));
    Tenant {
        client_id: "windlass".into(),
        users: users(trail),
        fields: fields.collect(),
        asset_types: asset_types(),
        collection_types: collection_types(),
        formats: vec![
            DownloadFormat {
                id: 1,
                key: "orig".into(),
                names: labels("Original", "Original"),
                edge: None,
            },
            DownloadFormat {
                id: 2,
                key: "prvw".into(),
                names: labels("Preview PNG", "Vorschau PNG"),
                edge: Some(1024),
            },
            DownloadFormat {
                id: 3,
                key: "web".into(),
                names: labels("Web PNG", "Web-PNG"),
                edge: Some(512),
            },
        ],
        relation_types: relation_types(),
    }
}

fn relation_types() -> Vec<ObjectType> {
    let kind = |id, name: &str, english, german| ObjectType {
        id,
        name: name.into(),
        labels: labels(english, german),
        sets: Vec::new(),
    };
    vec![
        kind(1, "derivedFrom", "Derived from", "Abgeleitet von"),
        kind(2, "source", "Source", "Quelle"),
        kind(3, "supportingDocument", "Supporting document", "Beleg"),
    ]
}

fn users(trail: Trail) -> Vec<User> {
    let user = |id, username: &str, lastname: &str| User {
        id,
        username: username.into(),
        firstname: "Sandbox".into(),
        lastname: lastname.into(),
        email: format!("{username}@sandbox.invalid"),
        created: trail.date,
        may_write: username != READER,
        may_impersonate: username == USERNAME,
    };
    vec![
        user(1, "administrator", "Administrator"),
        user(2, USERNAME, "Integration"),
        user(3, READER, "Reader"),
        user(4, "editor", "Editor"),
    ]
}

fn set(id: u64, name: &str, english: &str, german: &str, fields: &[u64]) -> FieldSet {
    FieldSet {
        id,
        name: name.into(),
        labels: labels(english, german),
        depends_on: None,
        fields: fields.to_vec(),
    }
}

fn asset_types() -> Vec<ObjectType> {
    let mut details = set(
        504,
        "rightsDetails",
        "Rights details",
        "Rechte im Einzelnen",
        &[610],
    );
    details.depends_on = Some(609);
    vec![
        ObjectType {
            id: 12,
            name: ASSET_TYPE.into(),
            labels: labels("Campaign asset", "Kampagnenmaterial"),
            sets: vec![
                set(
                    501,
                    "campaign",
                    "Campaign",
                    "Kampagne",
                    &[601, 602, 603, 604, 605, 606],
                ),
                set(
                    502,
                    "classification",
                    "Classification",
                    "Einordnung",
                    &[607, 611, 613, 614],
                ),
                set(503, "rights", "Rights", "Rechte", &[608, 609]),
                details,
                set(505, "integration", "Integration", "Anbindung", &[612]),
                set(
                    508,
                    "licence",
                    "Licence",
                    "Lizenz",
                    &[620, 621, 622, 623, 624, 625, 626],
                ),
                set(
                    509,
                    "releases",
                    "Releases",
                    "Einwilligungen",
                    &[630, 631, 632, 633, 634],
                ),
                set(510, "markets", "Markets", "Märkte", &[640, 641, 642, 643]),
            ],
        },
        ObjectType {
            id: 13,
            name: "document".into(),
            labels: labels("Document", "Dokument"),
            sets: vec![
                set(
                    506,
                    "document",
                    "Document",
                    "Dokument",
                    &[602, 605, 607, 613],
                ),
                set(
                    507,
                    "documentIntegration",
                    "Integration",
                    "Anbindung",
                    &[612],
                ),
            ],
        },
    ]
}

fn collection_types() -> Vec<CollectionType> {
    let kind = |id, name: &str, english, german, sets| CollectionType {
        base: ObjectType {
            id,
            name: name.into(),
            labels: labels(english, german),
            sets,
        },
        permission_defining: id == FOLDER,
        tag_cloud: id == KEYWORD,
    };
    let codes = vec![set(520, "codes", "Codes", "Kürzel", &[650])];
    vec![
        kind(FOLDER, "folder", "Folder", "Ordner", Vec::new()),
        kind(CATEGORY, "category", "Category", "Kategorie", codes),
        kind(KEYWORD, "keyword", "Keyword", "Stichwort", Vec::new()),
    ]
}

fn collections(trail: Trail) -> Vec<Collection> {
    let make = |id, type_id, parent: Option<u64>, english, german| Collection {
        id,
        type_id,
        names: labels(english, german),
        parent,
        level: parent.is_none().then_some(match id {
            LIBRARY => Level::Strict,
            _ => Level::Tolerant,
        }),
        creation: trail,
        modification: None,
        values: Values::new(),
    };
    vec![
        make(LIBRARY, FOLDER, None, "Brand Library", "Markenbibliothek"),
        make(KEYWORDS, KEYWORD, None, "Keywords", "Stichwörter"),
        make(CLIENTS, CATEGORY, None, "Clients", "Kunden"),
        make(DROP_ZONE, FOLDER, None, "Drop Zone", "Ablage"),
        make(11, FOLDER, Some(LIBRARY), "Inbox", "Eingang"),
        make(12, FOLDER, Some(LIBRARY), "Campaigns", "Kampagnen"),
        make(21, KEYWORD, Some(KEYWORDS), "Print", "Druck"),
        make(22, KEYWORD, Some(KEYWORDS), "Social", "Social"),
        make(23, KEYWORD, Some(KEYWORDS), "Photography", "Fotografie"),
        make(24, KEYWORD, Some(KEYWORDS), "Video", "Video"),
        make(31, CATEGORY, Some(CLIENTS), "Alpine Dairy", "Alpine Dairy"),
        make(
            32,
            CATEGORY,
            Some(CLIENTS),
            "Harbour Optics",
            "Harbour Optics",
        ),
    ]
}
