//! A tenant's asset types and fields, by technical name, loaded once.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::Result;

use crate::client::Api;
use crate::wire::{AssetType, CollectionType, Field, FieldKind};

/// Asset types with their fields, and collection types.
#[derive(Debug)]
pub(crate) struct Catalogue {
    types: Vec<TypeSheet>,
    collection_types: Vec<CollectionType>,
}

/// One asset type with the fields of its sets.
#[derive(Debug)]
pub(crate) struct TypeSheet {
    pub(crate) id: i64,
    pub(crate) name: String,
    labels: Vec<String>,
    pub(crate) fields: BTreeMap<String, SheetField>,
}

/// A field, and the yes-or-no field that switches its set on.
#[derive(Debug)]
pub(crate) struct SheetField {
    pub(crate) field: Field,
    pub(crate) depends_on: Option<i64>,
}

impl Catalogue {
    pub(crate) async fn load(api: &Api) -> Result<Self> {
        let mut types = Vec::new();
        for listed in api.asset_types().await? {
            // Only the single read has the field sets.
            types.push(TypeSheet::of(api.asset_type(listed.id).await?));
        }
        Ok(Catalogue {
            types,
            collection_types: api.collection_types().await?,
        })
    }

    /// The asset type of a technical name or of a label.
    pub(crate) fn asset_type(&self, name: &str) -> Option<&TypeSheet> {
        let by_name = self.types.iter().find(|sheet| sheet.name == name);
        by_name.or_else(|| {
            self.types
                .iter()
                .find(|s| s.labels.iter().any(|label| label == name))
        })
    }

    /// All asset types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &TypeSheet> {
        self.types.iter()
    }

    /// A field with its technical name.
    pub(crate) fn field(&self, id: i64) -> Option<&Field> {
        let fields = self.types.iter().flat_map(|sheet| sheet.fields.values());
        let mut fields = fields.map(|entry| &entry.field);
        fields.find(|field| field.id == id)
    }

    /// The asset type of an id.
    pub(crate) fn type_by_id(&self, id: i64) -> Option<&TypeSheet> {
        self.types.iter().find(|sheet| sheet.id == id)
    }

    /// The technical names of all asset types.
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|sheet| sheet.name.as_str())
    }

    /// The type that a field belongs to although the asset's own type has it not.
    pub(crate) fn type_with(&self, field: &str) -> Option<&TypeSheet> {
        self.types
            .iter()
            .find(|sheet| sheet.fields.contains_key(field))
    }

    /// The fields of a name: types may each have one of their own.
    pub(crate) fn fields_of(&self, name: &str) -> Vec<&Field> {
        let named = self.types.iter().filter_map(|sheet| sheet.fields.get(name));
        named.map(|entry| &entry.field).collect()
    }

    /// The ids of those that are text fields.
    pub(crate) fn text_fields(&self, name: &str) -> BTreeSet<i64> {
        let named = self.fields_of(name).into_iter();
        let texts = named.filter(|field| field.kind == FieldKind::Text);
        texts.map(|field| field.id).collect()
    }

    /// The technical name of a field.
    pub(crate) fn field_name(&self, id: i64) -> Option<String> {
        let mut all = self.types.iter().flat_map(|sheet| sheet.fields.iter());
        all.find(|(_, entry)| entry.field.id == id)
            .map(|(name, _)| name.clone())
    }

    /// Whether collections of this type may hold uploads; unknown types are given the benefit.
    pub(crate) fn takes_uploads(&self, collection_type: Option<i64>) -> bool {
        let Some(id) = collection_type else {
            return true;
        };
        self.collection_types
            .iter()
            .find(|known| known.id == id)
            .is_none_or(|known| known.permission_defining)
    }

    /// Whether any collection type may hold uploads.
    pub(crate) fn has_upload_type(&self) -> bool {
        self.collection_types
            .iter()
            .any(|known| known.permission_defining)
    }
}

impl TypeSheet {
    /// The technical name of one of its fields.
    pub(crate) fn name_of(&self, id: i64) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(_, entry)| entry.field.id == id);
        found.map(|(name, _)| name.as_str())
    }

    fn of(asset_type: AssetType) -> Self {
        let mut fields = BTreeMap::new();
        for set in asset_type.information_field_sets {
            for field in set.information_fields {
                let entry = SheetField {
                    depends_on: set.depends_on_field_id,
                    field,
                };
                fields.insert(entry.field.name.clone(), entry);
            }
        }
        TypeSheet {
            id: asset_type.id,
            name: asset_type.name,
            labels: asset_type.labels.into_values().collect(),
            fields,
        }
    }
}
