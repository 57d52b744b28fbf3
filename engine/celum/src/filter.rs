//! Search filters, typed: the ones of the API's vocabulary that are used.

use serde::Serialize;

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
