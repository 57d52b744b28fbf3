//! The information fields of the seeded tenant: what campaigns say of their material, how it is classified, and by what
//! rights and for which markets it is released.

use super::{CLIENTS, KEYWORDS, labels};
use crate::celum::model::{Field, FieldKind};

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

/// All of them.
pub(super) fn all() -> Vec<Field> {
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
