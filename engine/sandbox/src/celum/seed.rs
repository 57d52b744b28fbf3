//! The tenant that the sandbox comes with: what an administrator of a brand team would have set up.
//!
//! Two types of asset, three of collection, four roots. Credentials are constants, because they guard
//! nothing: everything here is served on loopback and made up.

use std::collections::BTreeMap;

use windlass_core::{Error, Kind, Secret};

use super::Celum;
use super::model::{
    Collection, CollectionType, DownloadFormat, Field, FieldKind, FieldSet, Labels, Level,
    ObjectType, Tenant, Trail, User, Values,
};
use super::state::Event;

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
    let fields = fields().into_iter().map(|field| (field.id, field));
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

/// An information field that takes no settings beyond its kind.
fn field(id: u64, name: &str, english: &str, german: &str, kind: FieldKind) -> Field {
    Field {
        id,
        name: name.into(),
        labels: labels(english, german),
        required: false,
        kind,
    }
}

fn text(max: usize) -> FieldKind {
    FieldKind::Text {
        area: false,
        min: None,
        max: Some(max),
        pattern: None,
    }
}

fn fields() -> Vec<Field> {
    let mut fields = campaign_fields();
    fields.extend(classification_fields());
    fields.extend(rights_fields());
    fields.extend(licence_fields());
    fields.extend(release_fields());
    fields.extend(market_fields());
    fields
}

fn campaign_fields() -> Vec<Field> {
    let client = FieldKind::Collections {
        root: CLIENTS,
        max: Some(1),
        root_selectable: false,
    };
    let id = FieldKind::Text {
        area: false,
        min: Some(8),
        max: Some(16),
        pattern: Some(r"CMP-\d{4,}".into()),
    };
    let mut campaign = field(603, "campaignId", "Campaign ID", "Kampagnen-ID", id);
    campaign.required = true;
    let name = FieldKind::Localized { area: false };
    vec![
        field(601, "client", "Client", "Kunde", client),
        field(602, "clientCode", "Client code", "Kundenkürzel", text(32)),
        campaign,
        field(604, "campaignName", "Campaign", "Kampagne", name),
        field(605, "year", "Year", "Jahr", FieldKind::Number),
        field(
            606,
            "shootDate",
            "Shoot date",
            "Aufnahmedatum",
            FieldKind::Date,
        ),
        field(650, "code", "Code", "Kürzel", text(32)),
    ]
}

fn classification_fields() -> Vec<Field> {
    let keywords = FieldKind::Tags {
        root: KEYWORDS,
        max: Some(50),
        create_new: true,
    };
    let description = FieldKind::Text {
        area: true,
        min: None,
        max: Some(4000),
        pattern: None,
    };
    vec![
        field(607, "keywords", "Keywords", "Stichwörter", keywords),
        field(
            611,
            "usageTerritory",
            "Usage territory",
            "Nutzungsgebiet",
            text(100),
        ),
        field(
            612,
            "windlassCorrelation",
            "Windlass mark",
            "Windlass-Kennung",
            text(200),
        ),
        field(
            613,
            "description",
            "Description",
            "Beschreibung",
            description,
        ),
        field(614, "duration", "Seconds", "Sekunden", FieldKind::Double),
    ]
}

fn rights_fields() -> Vec<Field> {
    let approval = FieldKind::Dropdown {
        options: vec![
            (0, labels("In review", "In Prüfung")),
            (1, labels("Approved", "Freigegeben")),
            (2, labels("Rejected", "Abgelehnt")),
        ],
    };
    let note = FieldKind::Localized { area: true };
    let cleared = FieldKind::Boolean;
    vec![
        field(608, "approval", "Approval", "Freigabe", approval),
        field(
            609,
            "rightsCleared",
            "Rights cleared",
            "Rechte geklärt",
            cleared,
        ),
        field(610, "rightsNote", "Rights note", "Rechtehinweis", note),
    ]
}

/// Until when, where, in which channels and for whom: several entries of a text have commas between them.
fn licence_fields() -> Vec<Field> {
    let confidentiality = FieldKind::Dropdown {
        options: vec![
            (0, labels("Public", "Öffentlich")),
            (1, labels("Partners", "Partner")),
            (2, labels("Internal", "Intern")),
        ],
    };
    let date = |id, name: &str, english, german| field(id, name, english, german, FieldKind::Date);
    let list = |id, name: &str, english, german| field(id, name, english, german, text(400));
    vec![
        date(620, "licenceFrom", "Licence from", "Lizenz ab"),
        date(621, "licenceUntil", "Licence until", "Lizenz bis"),
        date(622, "embargo", "Embargo", "Sperrfrist"),
        list(623, "territories", "Territories", "Gebiete"),
        list(
            624,
            "excludedTerritories",
            "Excluded territories",
            "Ausgenommene Gebiete",
        ),
        list(
            625,
            "excludedChannels",
            "Excluded channels",
            "Ausgenommene Kanäle",
        ),
        field(
            626,
            "confidentiality",
            "Confidentiality",
            "Vertraulichkeit",
            confidentiality,
        ),
    ]
}

/// What others must have signed.
fn release_fields() -> Vec<Field> {
    let state = || FieldKind::Dropdown {
        options: vec![
            (0, labels("Requested", "Angefragt")),
            (1, labels("Signed", "Unterschrieben")),
            (2, labels("Not needed", "Nicht nötig")),
            (3, labels("Refused", "Verweigert")),
            (4, labels("Withdrawn", "Widerrufen")),
        ],
    };
    let yes = || FieldKind::Boolean;
    vec![
        field(630, "peopleShown", "People shown", "Personen", yes()),
        field(
            631,
            "modelRelease",
            "Model release",
            "Einwilligung",
            state(),
        ),
        field(
            632,
            "modelReleaseUntil",
            "Model release until",
            "Einwilligung bis",
            FieldKind::Date,
        ),
        field(633, "propertyShown", "Property shown", "Bauwerke", yes()),
        field(
            634,
            "propertyRelease",
            "Property release",
            "Bauwerksfreigabe",
            state(),
        ),
    ]
}

/// Of which language, for which markets and channels, and which piece it is a version of.
fn market_fields() -> Vec<Field> {
    let list = |id, name: &str, english, german| field(id, name, english, german, text(400));
    vec![
        list(640, "languages", "Languages", "Sprachen"),
        list(641, "markets", "Markets", "Märkte"),
        list(642, "channels", "Channels", "Kanäle"),
        list(643, "motif", "Motif", "Motiv"),
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
