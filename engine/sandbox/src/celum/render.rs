//! How things look on the wire, and which parts of them a call asked for.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Celum;
use super::links::Link;
use super::model::{
    Asset, Availability, Category, Collection, CollectionType, DownloadFormat, Field, FieldKind,
    FieldSet, FieldValue, Labels, Level, ObjectType, Related, Relation, Trail, User, Values,
    Version,
};
use super::state::{State, name_in};
use super::values::Rules;

/// Asset permissions that a call may ask for.
pub(super) const ASSET_PERMISSIONS: &[&str] = &[
    "viewMetadata",
    "editMetadata",
    "editName",
    "editAvailability",
    "download",
    "downloadOriginal",
    "addVersion",
    "manageVersions",
    "delete",
    "assignAssetType",
    "addToOther",
];

/// Collection permissions that a call may ask for.
pub(super) const COLLECTION_PERMISSIONS: &[&str] = &[
    "upload",
    "delete",
    "addCollection",
    "addNode",
    "moveAway",
    "viewMetadata",
    "editMetadata",
    "editName",
    "editIcon",
    "editValidationLevel",
    "download",
    "setReference",
    "removeReference",
    "addAssets",
    "addAssetsToOther",
];

/// Those that remain without the right to change things.
const READING: &[&str] = &["viewMetadata", "download", "downloadOriginal"];

/// Previews by key, with their edges in pixels.
const PREVIEWS: &[(&str, u32)] = &[("THUMB", 250), ("PREVIEW", 1024), ("LARGE", 3000)];

/// Nothing can be rendered of a file with this in its name, so that tests and demos have one when they want one.
const UNRENDERABLE: &str = "unrenderable";

/// Some, all or none of a thing's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    None,
    All,
    Ids(BTreeSet<u64>),
}

impl Part {
    pub(super) fn has(&self, id: u64) -> bool {
        match self {
            Part::None => false,
            Part::All => true,
            Part::Ids(ids) => ids.contains(&id),
        }
    }
}

/// What a call wants to see beyond the basics.
#[derive(Clone, Debug, Default)]
pub(super) struct Include {
    pub(super) fields: Part,
    pub(super) field_permissions: bool,
    pub(super) file_properties: bool,
    pub(super) external_references: bool,
    pub(super) formats: Part,
    pub(super) permissions: Vec<String>,
}

/// Renders for one caller at one instant.
pub(super) struct Render<'a> {
    pub(super) celum: &'a Celum,
    pub(super) state: &'a State,
    pub(super) user: &'a User,
    pub(super) now: Timestamp,
}

/// An object that leaves out what is not there.
fn object(members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    let present = members.into_iter();
    let present = present.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.collect()
}

fn trail(trail: &Trail) -> Value {
    json!({"date": trail.date.to_string(), "userId": trail.user})
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Strict => "STRICT",
        Level::Tolerant => "TOLERANT",
    }
}

impl Render<'_> {
    pub(super) fn asset(&self, asset: &Asset, include: &Include) -> Value {
        let status = self.asset_status(asset);
        let released = status["permissionDefiningCollectionValid"] == true;
        let mut members = object([
            ("id", Some(asset.id.into())),
            ("name", Some(asset.name.as_str().into())),
            ("creation", Some(trail(&asset.creation))),
            ("modification", asset.modification.as_ref().map(trail)),
            ("typeId", asset.type_id.map(Value::from)),
            ("releaseStatus", Some(if released { "RELEASED" } else { "UNRELEASED" }.into())),
            ("currentVersion", Some(self.version(asset, asset.current()))),
            ("availability", asset.availability.as_ref().map(availability)),
            ("parentIds", Some(asset.parents.clone().into())),
            ("parentPaths", Some(asset.parents.iter().map(|id| self.path(*id)).collect())),
            ("validationLevel", Some(level(self.state.asset_level(&asset.parents)).into())),
            ("validationStatus", Some(status)),
            ("lock", asset.lock.as_ref().map(|lock| {
                json!({"temporary": false, "comment": lock.comment, "creation": trail(&lock.creation)})
            })),
        ]);
        if include.fields != Part::None {
            let sets =
                self.field_values(self.state.asset_sets(asset.type_id), &asset.values, include);
            members.insert("informationFieldValueSets".into(), sets);
        }
        if include.file_properties {
            members.insert("fileProperties".into(), file_properties(asset.current()));
        }
        if include.external_references {
            members.insert("externalReferences".into(), external_references(asset));
        }
        if include.formats != Part::None {
            members.insert("downloadFormats".into(), self.formats(&include.formats));
        }
        if !include.permissions.is_empty() {
            members.insert("permissions".into(), self.permissions(&include.permissions));
        }
        members.into()
    }

    fn asset_status(&self, asset: &Asset) -> Value {
        let rules = self.rules(self.state.asset_sets(asset.type_id));
        let placed = asset
            .parents
            .iter()
            .any(|id| self.state.permission_defining(*id));
        json!({
            "assetTypeSet": asset.type_id.is_some(),
            "requiredFieldsValid": rules.missing(&asset.values).is_empty(),
            "permissionDefiningCollectionValid": placed,
        })
    }

    pub(super) fn rules<'s>(&'s self, sets: &'s [FieldSet]) -> Rules<'s> {
        Rules {
            state: self.state,
            sets,
            locales: &self.celum.profile.locales,
        }
    }

    pub(super) fn version(&self, asset: &Asset, version: &Version) -> Value {
        let state = preview_state(version, self.now);
        let urls = (state == Some("SUCCEEDED")).then(|| self.preview_urls(asset.id, version.id));
        let checksum = version.digest.clone().filter(|_| version.digest_published);
        object([
            ("id", Some(version.id.into())),
            ("active", Some((asset.current == version.id).into())),
            ("filesize", Some(version.filesize.into())),
            ("filename", Some(version.filename.as_str().into())),
            ("fileExtension", version.extension().map(Value::from)),
            ("fileChecksum", checksum.map(Value::from)),
            ("fileCategory", Some(version.category.wire().into())),
            ("previewState", state.map(Value::from)),
            ("previewUrls", urls.flatten()),
            ("creation", Some(trail(&version.creation))),
        ])
        .into()
    }

    fn preview_urls(&self, asset: u64, version: u64) -> Option<Value> {
        let url = |edge| {
            let link = Link {
                asset,
                version,
                edge: Some(edge),
                preview: true,
                expires: self.celum.link_expiry(self.now),
            };
            self.celum.link_url(link).ok()
        };
        let urls: Option<Map<String, Value>> = PREVIEWS
            .iter()
            .map(|(key, edge)| Some(((*key).to_owned(), url(*edge)?.into())))
            .collect();
        urls.map(Value::from)
    }

    /// A collection's place: names from the root down.
    fn path(&self, id: u64) -> Value {
        let mut lineage: Vec<_> = self.state.lineage(id).collect();
        lineage.reverse();
        let segments: Vec<Value> = lineage
            .iter()
            .map(|found| json!({"collectionId": found.id, "collectionName": found.names}))
            .collect();
        let kind = lineage.last().map(|found| found.type_id);
        json!({"collectionTypeId": kind, "pathSegments": segments})
    }

    pub(super) fn collection(&self, collection: &Collection, include: &Include) -> Value {
        let sets = self.state.collection_sets(collection.type_id);
        let complete = self.rules(sets).missing(&collection.values).is_empty();
        let mut members = object([
            ("id", Some(collection.id.into())),
            ("creation", Some(trail(&collection.creation))),
            ("modification", collection.modification.as_ref().map(trail)),
            ("typeId", Some(collection.type_id.into())),
            ("name", Some(json!(collection.names))),
            ("parentId", collection.parent.map(Value::from)),
            ("path", Some(self.path(collection.id))),
            (
                "hasChildren",
                Some(
                    self.state
                        .children(Some(collection.id))
                        .next()
                        .is_some()
                        .into(),
                ),
            ),
            (
                "validationLevel",
                Some(level(self.state.level(collection.id)).into()),
            ),
            (
                "validationLevelInherited",
                Some(collection.level.is_none().into()),
            ),
            (
                "validationStatus",
                Some(json!({"requiredFieldsValid": complete})),
            ),
            ("permissions", Some(self.permissions(&include.permissions))),
        ]);
        if include.fields != Part::None {
            let values = self.field_values(sets, &collection.values, include);
            members.insert("informationFieldValueSets".into(), values);
        }
        members.into()
    }

    fn permissions(&self, asked: &[String]) -> Value {
        let granted = |name: &str| self.user.may_write || READING.contains(&name);
        let each = asked
            .iter()
            .map(|name| (name.clone(), granted(name).into()));
        Value::Object(each.collect())
    }

    fn field_values(&self, sets: &[FieldSet], values: &Values, include: &Include) -> Value {
        let mut names_left = self.celum.profile.max_reference_names;
        let active = self.rules(sets).active(values);
        let rendered = active.map(|set| {
            let wanted = set.fields.iter().filter(|id| include.fields.has(**id));
            let fields = wanted.filter_map(|id| self.state.field(*id));
            let entries: Vec<Value> = fields
                .map(|field| {
                    let value = values.get(&field.id);
                    let value = value.map(|value| self.value(field, value, &mut names_left));
                    let mut definition = self.field(field);
                    if !include.field_permissions
                        && let Some(definition) = definition.as_object_mut()
                    {
                        definition.remove("permissions");
                    }
                    object([
                        ("type", Some(field.kind.wire().into())),
                        ("field", Some(definition)),
                        ("value", value),
                    ])
                    .into()
                })
                .collect();
            let mut members = set_members(set);
            members.insert("informationFieldValues".into(), entries.into());
            Value::from(members)
        });
        // Sets in which nothing was asked for would only be noise.
        let shown = rendered.filter(|set| set["informationFieldValues"] != json!([]));
        shown.collect()
    }

    fn value(&self, field: &Field, value: &FieldValue, names_left: &mut usize) -> Value {
        match value {
            FieldValue::Text(text) => text.as_str().into(),
            FieldValue::Localized(texts) => json!(texts),
            FieldValue::Number(number) | FieldValue::Dropdown(number) => (*number).into(),
            FieldValue::Double(number) => (*number).into(),
            FieldValue::Boolean(flag) => (*flag).into(),
            FieldValue::Date(date) => date.to_string().into(),
            FieldValue::References(ids) => {
                let found = ids.iter().filter_map(|id| self.state.collections.get(id));
                let rendered = found.map(|collection| {
                    let named = *names_left > 0;
                    *names_left = names_left.saturating_sub(1);
                    let name = match &field.kind {
                        FieldKind::Tags { .. } => self.tag_name(&collection.names),
                        _ => json!(collection.names),
                    };
                    let name = named.then_some(name);
                    Value::from(object([("id", Some(collection.id.into())), ("name", name)]))
                });
                rendered.collect()
            }
        }
    }

    fn tag_name(&self, names: &Labels) -> Value {
        name_in(names, &self.celum.profile.locales[0]).into()
    }

    pub(super) fn field(&self, field: &Field) -> Value {
        let mut members = object([
            ("id", Some(field.id.into())),
            ("name", Some(field.name.as_str().into())),
            ("labels", Some(json!(field.labels))),
            ("editorInformation", Some(json!({}))),
            ("readerInformation", Some(json!({}))),
            ("required", Some(field.required.into())),
            ("permissions", Some(json!({"edit": self.user.may_write}))),
            ("type", Some(field.kind.wire().into())),
        ]);
        members.extend(self.field_settings(&field.kind));
        members.into()
    }

    fn field_settings(&self, kind: &FieldKind) -> Map<String, Value> {
        match kind {
            FieldKind::Text {
                min, max, pattern, ..
            } => object([
                ("minLength", min.map(Value::from)),
                ("maxLength", max.map(Value::from)),
                ("validationPattern", pattern.clone().map(Value::from)),
            ]),
            FieldKind::Dropdown { options } => {
                let locales = self.celum.profile.locales.iter();
                let by_locale = locales.map(|locale| {
                    let options = options.iter();
                    let options = options.map(
                        |(index, labels)| json!({"index": index, "label": name_in(labels, locale)}),
                    );
                    (locale.clone(), options.collect())
                });
                let options = Value::Object(by_locale.collect());
                object([
                    ("options", Some(options)),
                    ("sortOrder", Some("INDEX".into())),
                ])
            }
            FieldKind::Collections {
                root,
                max,
                root_selectable,
            } => object([
                ("rootId", Some((*root).into())),
                ("maxSelections", max.map(Value::from)),
                ("showTree", Some(true.into())),
                ("rootSelectable", Some((*root_selectable).into())),
            ]),
            FieldKind::Tags {
                root,
                max,
                create_new,
            } => object([
                ("rootId", Some((*root).into())),
                ("maxSelections", max.map(Value::from)),
                ("createNewOnTheFly", Some((*create_new).into())),
            ]),
            _ => Map::new(),
        }
    }

    /// A type; the field sets only where a single one was asked for.
    pub(super) fn object_type(&self, kind: &ObjectType, with_sets: bool) -> Map<String, Value> {
        let mut members = object([
            ("id", Some(kind.id.into())),
            ("name", Some(kind.name.as_str().into())),
            ("labels", Some(json!(kind.labels))),
            ("permissions", Some(json!({"assign": self.user.may_write}))),
        ]);
        if with_sets {
            let sets = kind.sets.iter().map(|set| {
                let fields = set.fields.iter().filter_map(|id| self.state.field(*id));
                let fields: Vec<Value> = fields.map(|field| self.field(field)).collect();
                let mut members = set_members(set);
                members.insert("informationFields".into(), fields.into());
                Value::from(members)
            });
            members.insert("informationFieldSets".into(), sets.collect());
        }
        members
    }

    pub(super) fn collection_type(&self, kind: &CollectionType, with_sets: bool) -> Value {
        let mut members = self.object_type(&kind.base, with_sets);
        members.remove("permissions");
        members.insert("permissionDefining".into(), kind.permission_defining.into());
        members.insert("tagCloud".into(), kind.tag_cloud.into());
        members.into()
    }

    pub(super) fn relation_type(&self, kind: &ObjectType, with_sets: bool) -> Value {
        let mut members = self.object_type(kind, with_sets);
        members.remove("permissions");
        members.into()
    }

    /// A relation. Its assets are shown as lists show them.
    pub(super) fn relation(&self, relation: &Relation) -> Value {
        let end = |end: Related| self.state.assets.get(&end.asset);
        let shown = |related| end(related).map(|asset| self.asset(asset, &Include::default()));
        let is_current = |related: Related| {
            let current = end(related).map(|asset| asset.current);
            related.version.is_none() || related.version == current
        };
        let synced = is_current(relation.source) && is_current(relation.target);
        object([
            ("id", Some(relation.id.into())),
            ("creation", Some(trail(&relation.creation))),
            ("typeId", Some(relation.type_id.into())),
            ("sourceAsset", shown(relation.source)),
            ("targetAsset", shown(relation.target)),
            (
                "status",
                Some(if synced { "SYNCED" } else { "OUTDATED" }.into()),
            ),
        ])
        .into()
    }

    pub(super) fn formats(&self, wanted: &Part) -> Value {
        let formats = self.state.tenant.iter().flat_map(|tenant| &tenant.formats);
        formats
            .filter(|format| wanted.has(format.id))
            .map(format)
            .collect()
    }
}

fn set_members(set: &FieldSet) -> Map<String, Value> {
    object([
        ("id", Some(set.id.into())),
        ("name", Some(set.name.as_str().into())),
        ("labels", Some(json!(set.labels))),
        ("dependsOnFieldId", set.depends_on.map(Value::from)),
    ])
}

fn format(format: &DownloadFormat) -> Value {
    object([
        ("id", Some(format.id.into())),
        ("key", Some(format.key.as_str().into())),
        ("name", Some(json!(format.names))),
        ("description", Some(json!({}))),
        ("original", format.edge.is_none().then_some(true.into())),
    ])
    .into()
}

/// None for placeholders, which have nothing to show.
pub(super) fn preview_state(version: &Version, now: Timestamp) -> Option<&'static str> {
    if version.category == Category::Placeholder {
        None
    } else if now < version.preview_due {
        Some("PROCESSING")
    } else if version.preview_fails || version.filename.contains(UNRENDERABLE) {
        Some("FAILED")
    } else {
        Some("SUCCEEDED")
    }
}

fn availability(availability: &Availability) -> Value {
    match availability {
        Availability::Direct(available) => json!({"type": "DIRECT", "available": available}),
        Availability::Dated { from, to } => object([
            ("type", Some("DATED".into())),
            ("from", from.map(|from| from.to_string().into())),
            ("to", to.map(|to| to.to_string().into())),
        ])
        .into(),
    }
}

fn file_properties(version: &Version) -> Value {
    let Some((width, height)) = version.dimensions else {
        return json!([]);
    };
    let property = |id, name: &str, label, value| json!({"id": id, "name": name, "labels": {"en": label}, "type": "NUMBER", "value": value});
    json!([
        property(1, "width", "Width", width),
        property(2, "height", "Height", height)
    ])
}

fn external_references(asset: &Asset) -> Value {
    let each = asset.references.iter().map(|reference| {
        Value::from(object([
            ("id", Some(reference.id.into())),
            (
                "description",
                Some(json!({"key": reference.description, "labels": {}})),
            ),
            (
                "provider",
                Some(json!({"key": reference.provider, "labels": {}})),
            ),
            ("instance", reference.instance.clone().map(Value::from)),
            ("url", Some(reference.url.as_str().into())),
            ("updated", Some(reference.updated.to_string().into())),
        ]))
    });
    each.collect()
}
