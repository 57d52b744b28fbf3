//! How this tenant behaves where public material about CELUM is silent.
//!
//! Every open question of the contract is one key here, with the most conservative answer as default. A
//! profile is a TOML text whose keys a client's profile may share; keys that only steer a client are
//! accepted and have no effect, any other unknown key is refused by name.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde::{Deserialize, Deserializer, de};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use windlass_core::{Error, Kind};

/// Keys of a shared profile that say how a client acts; they mean nothing to a server.
const CLIENT_KEYS: &[&str] = &[
    "apiCalls",
    "availEnd",
    "correlationField",
    "correlationFieldId",
    "createCollections",
    "dateFieldZone",
    "deletePolicy",
    "events",
    "impersonate",
    "limits",
    "mode",
    "nameRules",
    "patchSplit",
    "tagCreate",
    "transfers",
    "upload",
];

/// What the emulated tenant does where the contract leaves a choice. Durations are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Profile {
    /// What `fileChecksum` holds.
    pub checksum: Checksum,
    /// Put before the key in `X-API-KEY`, followed by one space. None: the bare key.
    pub api_key_prefix: Option<String>,
    /// Status for an id that does not exist: 400, 403 or 404.
    pub missing_status: u16,
    /// Status of a success without a body: 200 or 204.
    pub empty_status: u16,
    /// Whether the upload URL wants the API's credentials.
    pub upload_auth: UploadAuth,
    /// What the upload URL takes.
    pub upload_mode: UploadMode,
    /// How long an upload handle lives.
    pub handle_ttl: u64,
    /// Largest `filesize` that is accepted, in bytes. None: no limit.
    pub max_bytes: Option<u64>,
    /// What happens when the length received is not the `filesize` announced.
    pub size_mismatch: SizeMismatch,
    /// Whether a new version becomes the current one by itself.
    pub auto_activate: bool,
    /// How long after a change searches and asset lists see it.
    pub index_lag: u64,
    /// How long a download or preview URL works.
    pub download_ttl: u64,
    /// Status of a download URL that expired: 403, 404 or 410.
    pub expired_status: u16,
    /// Whether download URLs honour `Range`.
    pub range: bool,
    /// Whether the bounds of date ranges belong to the range.
    pub range_inclusive: bool,
    /// Whether values on create may be wrapped as `{"op":"SET"}`.
    pub lenient_create_values: bool,
    /// Whether unknown top-level members of a search are ignored instead of refused.
    pub ignore_unknown_search_members: bool,
    /// How many references of one asset are answered with their names.
    pub max_reference_names: usize,
    /// How long a preview stays `PROCESSING`.
    pub preview_delay: u64,
    /// How many of a hundred previews fail, chosen by the seed.
    pub preview_failure_percent: u8,
    /// Whether preview URLs want the API's credentials.
    pub preview_auth: bool,
    /// Which edits move `modification`.
    pub mod_bumps: ModBumps,
    /// To what times are rounded down.
    pub date_precision: DatePrecision,
    /// How locks work.
    pub lock: LockRules,
    /// Bounds of one search.
    pub search_caps: SearchCaps,
    /// Locales of information fields and names; the first is the system's.
    pub locales: Vec<String>,
}

/// Locks: the owner may lock again and clear, others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LockRules {
    /// Status for edits by somebody else: 403, 409 or 423.
    pub others_status: u16,
}

/// Bounds of one search; beyond them it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SearchCaps {
    /// Longest `values` of a filter.
    pub values: usize,
    /// Deepest nesting of filters, the outermost counted as 1.
    pub depth: usize,
}

/// Whether the upload URL wants the API's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UploadAuth {
    /// The URL authorises itself.
    None,
    /// `X-API-KEY` or Basic as for the API, else 401.
    ApiKey,
}

/// What the upload URL takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadMode {
    /// POST, raw or multipart: what is documented.
    #[serde(alias = "post")]
    PostRaw,
    /// POST, multipart only.
    #[serde(alias = "multipart")]
    PostMultipart,
    /// Like `PostRaw`, and PUT with a raw body.
    Put,
}

/// What happens when the length received is not the `filesize` announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SizeMismatch {
    /// 400, and the handle is dead.
    Refuse,
    /// The content is taken as it came.
    Accept,
}

/// Which edits move `modification`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ModBumps {
    /// Name, type and information fields.
    Edits,
    /// Every change.
    All,
}

/// To what times are rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DatePrecision {
    /// Three decimals.
    Milliseconds,
    /// None.
    Seconds,
}

/// What `fileChecksum` holds. Written `"md5"`, `"sha256:base64"`, `"none"`, or as a client's profile does,
/// `{ algorithm = "sha1", encoding = "hex-upper" }`; a client's `"uncalibrated"` is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How it is computed. None: the member is absent.
    pub algorithm: Option<Algorithm>,
    /// How it is written.
    pub encoding: Encoding,
}

/// A digest that a tenant may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the digest of that name")]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the encoding of that name")]
pub enum Encoding {
    HexLower,
    HexUpper,
    Base64,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            checksum: Checksum {
                algorithm: Some(Algorithm::Md5),
                encoding: Encoding::HexLower,
            },
            api_key_prefix: None,
            missing_status: 403,
            empty_status: 204,
            upload_auth: UploadAuth::None,
            upload_mode: UploadMode::PostRaw,
            handle_ttl: 60 * 60,
            max_bytes: None,
            size_mismatch: SizeMismatch::Refuse,
            auto_activate: true,
            index_lag: 30,
            download_ttl: 5 * 60,
            expired_status: 403,
            range: false,
            range_inclusive: true,
            lenient_create_values: false,
            ignore_unknown_search_members: false,
            max_reference_names: 10,
            preview_delay: 2,
            preview_failure_percent: 2,
            preview_auth: false,
            mod_bumps: ModBumps::Edits,
            date_precision: DatePrecision::Milliseconds,
            lock: LockRules::default(),
            search_caps: SearchCaps::default(),
            locales: ["en", "de", "fr"].map(String::from).to_vec(),
        }
    }
}

impl Default for LockRules {
    fn default() -> Self {
        LockRules { others_status: 403 }
    }
}

impl Default for SearchCaps {
    fn default() -> Self {
        SearchCaps {
            values: 100,
            depth: 5,
        }
    }
}

impl Profile {
    /// Reads a profile from TOML. Absent keys keep their defaults; an unknown key, a wrong type or a
    /// status that CELUM would not use is an error that names the key.
    pub fn from_toml(text: &str) -> windlass_core::Result<Self> {
        let refuse = |error: toml::de::Error| {
            Error::new(
                Kind::Config,
                format!("the CELUM profile is wrong: {}", error.message()),
            )
            .with_hint("the keys are those of the profile table in the sandbox's documentation")
        };
        let mut table: toml::Table = text.parse().map_err(refuse)?;
        for key in CLIENT_KEYS {
            table.remove(*key);
        }
        let profile: Profile = table.try_into().map_err(refuse)?;
        profile.check()?;
        Ok(profile)
    }

    /// Refuses values outside what a tenant could do.
    pub(super) fn check(&self) -> windlass_core::Result<()> {
        let statuses: [(&str, u16, &[u16]); 4] = [
            ("missingStatus", self.missing_status, &[400, 403, 404]),
            ("emptyStatus", self.empty_status, &[200, 204]),
            ("expiredStatus", self.expired_status, &[403, 404, 410]),
            (
                "lock.othersStatus",
                self.lock.others_status,
                &[403, 409, 423],
            ),
        ];
        for (key, value, allowed) in statuses {
            if !allowed.contains(&value) {
                let message =
                    format!("the CELUM profile's {key} is {value}, not one of {allowed:?}");
                return Err(Error::new(Kind::Config, message));
            }
        }
        if self.locales.is_empty() {
            let message = "the CELUM profile's locales are empty";
            return Err(Error::new(Kind::Config, message));
        }
        if self.preview_failure_percent > 100 {
            let message = "the CELUM profile's previewFailurePercent is above 100";
            return Err(Error::new(Kind::Config, message));
        }
        Ok(())
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, encoding) = text.split_once([':', '-']).unwrap_or((text, "hex-lower"));
        let algorithm = match algorithm {
            "none" => None,
            "uncalibrated" => return Ok(Profile::default().checksum),
            "md5" => Some(Algorithm::Md5),
            "sha1" => Some(Algorithm::Sha1),
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            other => {
                return Err(format!(
                    "{other:?} is not none, md5, sha1, sha256 or sha512"
                ));
            }
        };
        let encoding = match encoding {
            "hex-lower" => Encoding::HexLower,
            "hex-upper" => Encoding::HexUpper,
            "base64" => Encoding::Base64,
            other => return Err(format!("{other:?} is not hex-lower, hex-upper or base64")),
        };
        Ok(Checksum {
            algorithm,
            encoding,
        })
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            algorithm: Algorithm,
            encoding: Encoding,
        }
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text.parse().map_err(de::Error::custom),
            other => {
                let pair: Pair = other.try_into().map_err(de::Error::custom)?;
                Ok(Checksum {
                    algorithm: Some(pair.algorithm),
                    encoding: pair.encoding,
                })
            }
        }
    }
}

/// Computes a checksum from bytes in order.
pub(super) struct Hasher {
    state: HasherState,
    encoding: Encoding,
    published: bool,
}

enum HasherState {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

/// A finished checksum. There always is one, because the emulator itself tells duplicates by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summed {
    /// The checksum as written.
    pub(super) text: String,
    /// Whether clients see it.
    pub(super) published: bool,
}

impl Hasher {
    /// A hasher that has seen nothing. A profile without a checksum still gets MD5, unpublished.
    pub(super) fn new(checksum: Checksum) -> Self {
        let state = match checksum.algorithm {
            None | Some(Algorithm::Md5) => HasherState::Md5(Md5::new()),
            Some(Algorithm::Sha1) => HasherState::Sha1(Sha1::new()),
            Some(Algorithm::Sha256) => HasherState::Sha256(Sha256::new()),
            Some(Algorithm::Sha512) => HasherState::Sha512(Sha512::new()),
        };
        Hasher {
            state,
            encoding: checksum.encoding,
            published: checksum.algorithm.is_some(),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            HasherState::Md5(state) => state.update(bytes),
            HasherState::Sha1(state) => state.update(bytes),
            HasherState::Sha256(state) => state.update(bytes),
            HasherState::Sha512(state) => state.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Summed {
        let digest = match self.state {
            HasherState::Md5(state) => state.finalize().to_vec(),
            HasherState::Sha1(state) => state.finalize().to_vec(),
            HasherState::Sha256(state) => state.finalize().to_vec(),
            HasherState::Sha512(state) => state.finalize().to_vec(),
        };
        let text = match self.encoding {
            Encoding::HexLower => hex::encode(digest),
            Encoding::HexUpper => hex::encode_upper(digest),
            Encoding::Base64 => STANDARD.encode(digest),
        };
        Summed {
            text,
            published: self.published,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}
