//! How one tenant differs: every point on which CELUM's public material is silent, in one place.
//!
//! The defaults are the most careful assumption for each. A real tenant's difference is an edit of a
//! profile file, never of code. Unknown keys are refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use windlass_core::digest::{ChecksumAlgorithm as Algorithm, ChecksumHasher};
use windlass_core::{Error, Kind, Result};

use crate::vocabulary::nearest;

/// What is known of a tenant beyond the published API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct CelumProfile {
    /// How the tenant computes `fileChecksum`; found out by itself while `uncalibrated`.
    pub checksum: ChecksumRule,
    /// How bytes are sent to an upload URL.
    pub upload_mode: UploadMode,
    /// Whether credentials go to an upload URL on another origin than the API.
    pub upload_auth: UploadAuth,
    /// The largest file that the tenant takes, in bytes.
    pub max_bytes: Option<u64>,
    /// The technical name of a text field that carries Windlass's correlation mark.
    pub correlation_field: Option<String>,
    /// Whether a new version becomes the current one by itself.
    pub auto_activate: bool,
    /// How long lists and searches may lag behind writes, in seconds.
    pub index_lag: u64,
    /// Whether download URLs answer byte ranges.
    pub range: bool,
    /// API calls at the same time at most, at least 1; those that create something are counted apart. How
    /// many there are is found out, starting with a few.
    pub api_calls: usize,
    /// Uploads at the same time at most, and as many downloads; at least 1. How many there are is found
    /// out, starting with one or two.
    pub transfers: usize,
    /// A word before the API key in its header, such as `Bearer`; none on most tenants.
    pub api_key_prefix: Option<String>,
    /// The locale that new collections are named in, then the ones that names are looked up in.
    pub locales: Vec<String>,
    /// Whether collections that a draft names and that do not exist are created.
    pub create_collections: bool,
    /// Whether keywords that do not exist are created, in fields that allow it.
    pub tag_create: bool,
}

impl Default for CelumProfile {
    fn default() -> Self {
        CelumProfile {
            checksum: ChecksumRule::Uncalibrated,
            upload_mode: UploadMode::PostRaw,
            upload_auth: UploadAuth::None,
            max_bytes: None,
            correlation_field: None,
            auto_activate: true,
            // Nothing public states it; a search index of this kind rarely needs longer.
            index_lag: 30,
            range: false,
            // Nothing public states a limit. Careful callers use 4 and 2, which is where it starts; more
            // than this would only be the first to find the limit (300 creations at once have been seen to
            // end in gateway timeouts).
            api_calls: 8,
            transfers: 8,
            api_key_prefix: None,
            locales: vec!["en".to_owned(), "de".to_owned()],
            create_collections: true,
            // A vocabulary that grows by every typing error is worth less than a held asset.
            tag_create: false,
        }
    }
}

/// Keys of a profile that only steer an emulated tenant. One file may serve both sides, so they are
/// accepted and have no effect here: whatever a tenant does in these points, this client is prepared.
const TENANT_KEYS: &[&str] = &[
    "datePrecision",
    "downloadTtl",
    "emptyStatus",
    "expiredStatus",
    "handleTtl",
    "ignoreUnknownSearchMembers",
    "lenientCreateValues",
    "lock",
    "maxReferenceNames",
    "missingStatus",
    "modBumps",
    "previewAuth",
    "previewDelay",
    "previewFailurePercent",
    "rangeInclusive",
    "searchCaps",
    "sizeMismatch",
];

impl CelumProfile {
    /// The name in the first of its locales that has one, else in any.
    pub(crate) fn name_in<'a>(&self, names: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let mut locales = self.locales.iter();
        let known = locales.find_map(|locale| names.get(locale));
        known.or_else(|| names.values().next()).map(String::as_str)
    }

    /// Reads a profile file. Errors: `Config`, naming the key.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|error| {
            Error::new(Kind::Config, "the tenant's profile cannot be read")
                .with_context("file", file.display())
                .with_source(error)
        })?;
        CelumProfile::parse(&text).map_err(|error| error.with_context("file", file.display()))
    }

    /// The profile of a TOML text.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Config, format!("the tenant's profile: {why}"));
        let mut table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| wrong(error.message()))?;
        for key in TENANT_KEYS {
            table.remove(*key);
        }
        let mistyped = table
            .keys()
            .find_map(|key| Some((key.clone(), suggestion(key)?)));
        let profile: CelumProfile = table.try_into().map_err(|error: toml::de::Error| {
            // Its full text also names the key, on a line of its own.
            let told = error.to_string();
            let lines: Vec<&str> = told.lines().map(str::trim).collect();
            let error = wrong(lines.join(" ").trim());
            match mistyped {
                Some((key, near)) => {
                    error.with_hint(format!("did you mean {near:?} instead of {key:?}?"))
                }
                None => error,
            }
        })?;
        let refuse = |why: &str| Err(wrong(why));
        match () {
            () if profile.api_calls == 0 => refuse("apiCalls is 0"),
            () if profile.transfers == 0 => refuse("transfers is 0"),
            () if profile.locales.is_empty() => refuse("locales names no locale"),
            () => Ok(profile),
        }
    }
}

/// The known key that an unknown one is closest to.
fn suggestion(key: &str) -> Option<String> {
    let defaults = toml::Table::try_from(CelumProfile::default()).ok()?;
    // Absent in the defaults, because they are unset there.
    let unset = ["maxBytes", "correlationField", "apiKeyPrefix"];
    let known = || defaults.keys().map(String::as_str).chain(unset);
    match known().any(|known| known == key) {
        true => None,
        false => nearest(key, known()),
    }
}

/// Whether credentials go to an upload URL on another origin than the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UploadAuth {
    /// Never: the URL authorises itself.
    None,
    /// As to the API itself; only where a tenant asks for it.
    ApiKey,
}

/// How bytes are sent to an upload URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadMode {
    /// `POST` of the bytes themselves, as documented.
    PostRaw,
    /// `POST` of a form with one file, as CELUM's own pages do.
    PostMultipart,
    /// `PUT` of the bytes themselves; only where a tenant asks for it.
    Put,
}

/// How a tenant computes the checksum of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ChecksumRule {
    /// Nobody found out yet, or the tenant states none.
    #[serde(with = "uncalibrated")]
    Uncalibrated,
    /// This digest in this spelling.
    Known(Checksum),
}

mod uncalibrated {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("uncalibrated")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "uncalibrated" => Ok(()),
            other => Err(de::Error::custom(format!(
                "{other:?} is not \"uncalibrated\""
            ))),
        }
    }
}

/// A digest and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// Which digest.
    pub algorithm: Algorithm,
    /// How it is written.
    pub encoding: Encoding,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Lower-case hex.
    HexLower,
    /// Upper-case hex.
    HexUpper,
    /// Base64 with padding.
    Base64,
}

impl Encoding {
    /// A digest so written.
    pub(crate) fn write(self, digest: &[u8]) -> String {
        match self {
            Encoding::HexLower => hex::encode(digest),
            Encoding::HexUpper => hex::encode_upper(digest),
            Encoding::Base64 => BASE64_STANDARD.encode(digest),
        }
    }
}

impl Checksum {
    /// Every pair that calibration tries.
    pub fn candidates() -> impl Iterator<Item = Checksum> {
        let algorithms = [
            Algorithm::Md5,
            Algorithm::Sha1,
            Algorithm::Sha256,
            Algorithm::Sha512,
        ];
        let encodings = [Encoding::HexLower, Encoding::HexUpper, Encoding::Base64];
        algorithms.into_iter().flat_map(move |algorithm| {
            encodings.into_iter().map(move |encoding| Checksum {
                algorithm,
                encoding,
            })
        })
    }

    /// The checksum of bytes that are all here.
    pub fn of(self, bytes: &[u8]) -> String {
        let mut running = ChecksumHasher::new(self.algorithm);
        running.update(bytes);
        self.encoding.write(&running.finalize())
    }

    /// The rule under which these bytes have this checksum.
    pub fn recognise(bytes: &[u8], stated: &str) -> Option<Checksum> {
        Checksum::candidates().find(|candidate| candidate.of(bytes) == stated)
    }
}
