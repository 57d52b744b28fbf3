//! Searches: the filters of the API's vocabulary that are used, typed, and the call that takes them.

use std::collections::BTreeSet;

use http::Method;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use windlass_core::Result;

use crate::client::{Api, PAGE_SIZE};
use crate::wire;

/// A filter of `POST /assets/search`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Filter {
    /// All of them.
    #[serde(rename = "ASSET_LOGICAL")]
    Logical {
        /// `AND` or `OR`.
        operator: Operator,
        /// What is combined.
        filters: Vec<Filter>,
    },
    /// Assets in one of these collections.
    #[serde(rename = "ASSET_PARENT_ID")]
    Parent {
        /// The collections' ids.
        values: Vec<i64>,
        /// Whether collections below count too.
        recursive: bool,
        /// `ANY`: one of them is enough.
        matcher: Matcher,
    },
    /// Assets from an id on.
    #[serde(rename = "ASSET_ID_RANGE")]
    IdRange {
        /// The first id.
        from: i64,
    },
    /// Assets that were made at a moment or later.
    #[serde(rename = "ASSET_CREATION_DATE_RANGE")]
    Created {
        /// The moment.
        from: Timestamp,
    },
    /// Assets that were edited last at a moment or later.
    #[serde(rename = "ASSET_MODIFICATION_DATE_RANGE")]
    Modified {
        /// The moment.
        from: Timestamp,
    },
    /// Assets whose current version was made at a moment or later.
    #[serde(rename = "ASSET_VERSIONED_DATE_RANGE")]
    Versioned {
        /// The moment.
        from: Timestamp,
    },
    /// Assets whose current version has one of these checksums.
    #[serde(rename = "ASSET_CHECKSUM")]
    Checksum {
        /// As the tenant spells them.
        values: Vec<String>,
    },
    /// Assets whose current version has this file name.
    #[serde(rename = "ASSET_FILE_NAME", rename_all = "camelCase")]
    FileName {
        /// The name.
        text: String,
        /// How it is compared.
        search_type: SearchType,
    },
    /// Assets whose field has a value, or none.
    #[serde(rename = "ASSET_INFORMATION_FIELD_EMPTY", rename_all = "camelCase")]
    FieldEmpty {
        /// The field.
        information_field_id: i64,
        /// Whether it has none.
        empty: bool,
    },
    /// Assets of one of these types.
    #[serde(rename = "ASSET_TYPE_ID")]
    Type {
        /// The types' ids.
        values: BTreeSet<i64>,
    },
    /// Assets whose longer text has this text.
    #[serde(rename = "ASSET_TEXT_AREA_INFORMATION_FIELD", rename_all = "camelCase")]
    TextArea {
        /// The field.
        information_field_id: i64,
        /// The text.
        text: String,
        /// How it is compared.
        search_type: SearchType,
    },
    /// Assets whose field is this whole number.
    #[serde(
        rename = "ASSET_NUMBER_INFORMATION_FIELD_EQUALITY",
        rename_all = "camelCase"
    )]
    Number {
        /// The field.
        information_field_id: i64,
        /// The number.
        value: i64,
    },
    /// Assets whose field is this number.
    #[serde(
        rename = "ASSET_DOUBLE_INFORMATION_FIELD_EQUALITY",
        rename_all = "camelCase"
    )]
    Double {
        /// The field.
        information_field_id: i64,
        /// The number.
        value: f64,
    },
    /// Assets whose field is so.
    #[serde(rename = "ASSET_BOOLEAN_INFORMATION_FIELD", rename_all = "camelCase")]
    Boolean {
        /// The field.
        information_field_id: i64,
        /// Yes or no.
        value: bool,
    },
    /// Assets whose field is a moment of a span.
    #[serde(
        rename = "ASSET_DATE_INFORMATION_FIELD_RANGE",
        rename_all = "camelCase"
    )]
    Dates {
        /// The field.
        information_field_id: i64,
        /// The first moment.
        from: Timestamp,
        /// The last one.
        to: Timestamp,
    },
    /// Assets whose field has this option.
    #[serde(
        rename = "ASSET_DROPDOWN_INFORMATION_FIELD_EQUALITY",
        rename_all = "camelCase"
    )]
    Dropdown {
        /// The field.
        information_field_id: i64,
        /// The option's index.
        value: i64,
    },
    /// Assets whose field refers to this collection.
    #[serde(
        rename = "ASSET_COLLECTION_REFERENCE_INFORMATION_FIELD_EQUALITY",
        rename_all = "camelCase"
    )]
    Reference {
        /// The field.
        information_field_id: i64,
        /// The collection's id.
        value: i64,
    },
    /// Assets whose field has this keyword.
    #[serde(
        rename = "ASSET_TAG_REFERENCE_INFORMATION_FIELD_EQUALITY",
        rename_all = "camelCase"
    )]
    Tag {
        /// The field.
        information_field_id: i64,
        /// The keyword's id.
        value: i64,
    },
    /// Assets whose text field has this text.
    #[serde(rename = "ASSET_TEXT_INFORMATION_FIELD", rename_all = "camelCase")]
    TextField {
        /// The field.
        information_field_id: i64,
        /// The text.
        text: String,
        /// How it is compared.
        search_type: SearchType,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Operator {
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Matcher {
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SearchType {
    Phrase,
    TermsStartingWith,
}

/// In which order a search lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Order {
    /// By ascending id: the oldest first.
    Asc,
    /// By descending id: the newest first.
    Desc,
}

/// Filters as one; alone it stands for itself.
pub(crate) fn combined(operator: Operator, mut filters: Vec<Filter>) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => Filter::Logical { operator, filters },
    }
}

impl Api {
    /// The first page of a search, by id.
    pub(crate) async fn search(
        &self,
        filter: &Filter,
        order: Order,
    ) -> Result<wire::Page<wire::Asset>> {
        self.search_with(filter, order, &BTreeSet::new()).await
    }

    /// The same with the values of some fields.
    pub(crate) async fn search_with(
        &self,
        filter: &Filter,
        order: Order,
        fields: &BTreeSet<i64>,
    ) -> Result<wire::Page<wire::Asset>> {
        let included = match fields.is_empty() {
            true => None,
            false => Some(json!({ "type": "ASSET_INFORMATION_FIELDS", "ids": fields })),
        };
        self.search_including(filter, order, included).await
    }

    /// The same with what one inclusion names.
    pub(crate) async fn search_including(
        &self,
        filter: &Filter,
        order: Order,
        included: Option<serde_json::Value>,
    ) -> Result<wire::Page<wire::Asset>> {
        let mut body = json!({
            "filter": filter,
            "sorting": [{ "field": "id", "order": order }],
            "pagination": { "page": 1, "size": PAGE_SIZE },
        });
        if let Some(included) = included {
            body["inclusions"] = json!([included]);
        }
        let request = self.json(Method::POST, "assets/search", &body)?;
        self.send("POST assets/search", request)
            .await?
            .or_refused("searching assets")
    }
}
