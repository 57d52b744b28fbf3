//! Arguments and results as they are on the wire.
//!
//! Arguments leave out fields that equal their default, as the service documents. Results ignore fields
//! that are not listed here, because structs gain fields over time.

use http::HeaderValue;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_core::ContentHash;

use crate::union::{Tagged, Union};

mod sharing;

pub(crate) use sharing::*;

/// JSON for a header: every character from U+007F up is written as `\uXXXX`, one for each UTF-16 unit,
/// so that a character outside the basic plane becomes a surrogate pair.
pub(crate) fn header_json(value: &impl Serialize) -> serde_json::Result<HeaderValue> {
    let plain = serde_json::to_string(value)?;
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        if c < '\u{7f}' {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    // What is left is printable ASCII: the serializer escapes control characters itself.
    HeaderValue::from_str(&safe).map_err(serde::ser::Error::custom)
}

/// The root of all paths, as the path-root header says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum PathRootHeader {
    Home,
    Root { root: String },
    NamespaceId { namespace_id: String },
}

#[derive(Debug, Serialize)]
pub(crate) struct EchoArg<'a> {
    pub(crate) query: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Echo {
    pub(crate) result: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) root_info: RootInfo,
}

/// `user` or `team`; both carry the same ids.
#[derive(Debug, Deserialize)]
pub(crate) struct RootInfo {
    pub(crate) root_namespace_id: String,
    pub(crate) home_namespace_id: String,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct FileMetadata {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) path_lower: Option<String>,
    pub(crate) path_display: Option<String>,
    pub(crate) client_modified: Timestamp,
    pub(crate) rev: String,
    pub(crate) size: u64,
    #[serde(default = "yes")]
    pub(crate) is_downloadable: bool,
    pub(crate) content_hash: Option<ContentHash>,
    pub(crate) sharing_info: Option<Box<SharingInfo>>,
    /// Only those that were asked for.
    #[serde(default)]
    pub(crate) property_groups: Vec<PropertyGroup>,
}

/// The values of one template on one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PropertyGroup {
    pub(crate) template_id: String,
    pub(crate) fields: Vec<PropertyField>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PropertyField {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Which values a file may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) fields: Vec<TemplateField>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TemplateField {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Always `string`; sent, and not looked at.
    #[serde(
        rename = "type",
        skip_deserializing,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) kind: Option<&'static str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TemplateIds {
    pub(crate) template_ids: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TemplateId {
    pub(crate) template_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct FolderMetadata {
    pub(crate) id: String,
    pub(crate) path_lower: Option<String>,
    pub(crate) path_display: Option<String>,
    /// There for one that is shared itself.
    pub(crate) shared_folder_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct DeletedMetadata {
    pub(crate) path_lower: Option<String>,
    pub(crate) path_display: Option<String>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum Metadata {
    File(FileMetadata),
    Folder(FolderMetadata),
    Deleted(DeletedMetadata),
    /// A kind of entry that did not exist when this was written.
    #[serde(other)]
    Other,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListFolderArg<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) recursive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) include_property_groups: Option<TemplateFilter<'a>>,
}

/// Whose values a listing shows.
#[derive(Debug, Serialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum TemplateFilter<'a> {
    FilterSome {
        filter_some: &'a [std::sync::Arc<str>],
    },
}

/// What is looked for among properties.
#[derive(Debug, Serialize)]
pub(crate) struct SearchPropertiesArg<'a> {
    pub(crate) queries: [PropertyQuery<'a>; 1],
    pub(crate) template_filter: TemplateFilter<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PropertyQuery<'a> {
    pub(crate) query: &'a str,
    pub(crate) mode: PropertyMode<'a>,
    pub(crate) logical_operator: &'static str,
}

/// Where it is looked for.
#[derive(Debug, Serialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum PropertyMode<'a> {
    FieldName { field_name: &'a str },
}

#[derive(Debug, Deserialize)]
pub(crate) struct PropertyMatches {
    pub(crate) matches: Vec<PropertyMatch>,
}

/// A file or folder with what was looked for among its properties.
#[derive(Debug, Deserialize)]
pub(crate) struct PropertyMatch {
    pub(crate) id: String,
    pub(crate) is_deleted: bool,
    #[serde(default)]
    pub(crate) property_groups: Vec<PropertyGroup>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CursorArg<'a> {
    pub(crate) cursor: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListFolderResult {
    pub(crate) entries: Vec<Metadata>,
    pub(crate) cursor: String,
    pub(crate) has_more: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct LongpollArg<'a> {
    pub(crate) cursor: &'a str,
    /// Seconds, 30 to 480.
    pub(crate) timeout: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LongpollResult {
    pub(crate) changes: bool,
    /// Seconds to stay away before the next poll.
    pub(crate) backoff: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LatestCursor {
    pub(crate) cursor: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct PathArg<'a> {
    pub(crate) path: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct MetadataArg<'a> {
    pub(crate) path: &'a str,
    pub(crate) include_property_groups: TemplateFilter<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PropertiesArg<'a> {
    pub(crate) path: &'a str,
    pub(crate) property_groups: [&'a PropertyGroup; 1],
}

#[derive(Debug, Serialize)]
pub(crate) struct TagsArg<'a> {
    pub(crate) paths: Vec<&'a str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TagsResult {
    pub(crate) paths_to_tags: Vec<PathToTags>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PathToTags {
    pub(crate) path: String,
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum Tag {
    UserGeneratedTag {
        tag_text: String,
    },
    #[serde(other)]
    Other,
}

impl Tag {
    /// The text of a tag that a person gave.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Tag::UserGeneratedTag { tag_text } => Some(tag_text),
            Tag::Other => None,
        }
    }
}

/// What a commit does about a file that is already there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = ".tag", content = "update")]
pub(crate) enum WriteMode {
    /// Never replace.
    Add,
    /// Replace exactly this revision.
    Update(String),
}

impl WriteMode {
    /// The revision that is replaced.
    pub(crate) fn revision(&self) -> Option<String> {
        match self {
            WriteMode::Add => None,
            WriteMode::Update(revision) => Some(revision.clone()),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct CommitInfo {
    pub(crate) path: String,
    pub(crate) mode: WriteMode,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mute: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) strict_conflict: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) property_groups: Vec<PropertyGroup>,
}

#[derive(Debug, Serialize)]
pub(crate) struct UploadArg<'a> {
    #[serde(flatten)]
    pub(crate) commit: &'a CommitInfo,
    pub(crate) content_hash: ContentHash,
}

/// In which order a session takes its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum SessionType {
    /// Each append where the last one ended.
    #[default]
    Sequential,
    /// Aligned pieces in any order, the closing one last.
    Concurrent,
}

impl SessionType {
    fn is_default(&self) -> bool {
        *self == SessionType::Sequential
    }
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct StartArg {
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) close: bool,
    #[serde(skip_serializing_if = "SessionType::is_default")]
    pub(crate) session_type: SessionType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_hash: Option<ContentHash>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Started {
    pub(crate) session_id: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct StartBatchArg {
    #[serde(skip_serializing_if = "SessionType::is_default")]
    pub(crate) session_type: SessionType,
    pub(crate) num_sessions: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StartedBatch {
    pub(crate) session_ids: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SessionCursor<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) offset: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct AppendArg<'a> {
    pub(crate) cursor: SessionCursor<'a>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) close: bool,
    /// Of this call's bytes, not of the file.
    pub(crate) content_hash: ContentHash,
}

#[derive(Debug, Serialize)]
pub(crate) struct AppendBatchArg<'a> {
    pub(crate) entries: &'a [AppendEntry<'a>],
    /// Of the whole body.
    pub(crate) content_hash: ContentHash,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct AppendEntry<'a> {
    pub(crate) cursor: SessionCursor<'a>,
    pub(crate) length: u64,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) close: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct FinishArg<'a> {
    pub(crate) cursor: SessionCursor<'a>,
    pub(crate) commit: &'a CommitInfo,
}

#[derive(Debug, Serialize)]
pub(crate) struct FinishBatchArg<'a> {
    pub(crate) entries: Vec<FinishArg<'a>>,
}

/// One result for each entry of a batch, in its order.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchResult {
    pub(crate) entries: Vec<Value>,
}

/// What became of one entry of a batch.
#[derive(Debug)]
pub(crate) enum Entry<T, E> {
    Success(T),
    Failure(E),
}

impl<T: DeserializeOwned, E: Union> Entry<T, E> {
    /// Reads one. A tag that nobody knows is a failure of that name.
    pub(crate) fn decode(entry: Value) -> serde_json::Result<Self> {
        let tagged = Tagged::of(&entry);
        Ok(match tagged.tag {
            "success" => Entry::Success(serde_json::from_value(entry)?),
            "failure" => Entry::Failure(E::decode(tagged.nested().unwrap_or(&Value::Null))),
            _ => Entry::Failure(E::decode(&entry)),
        })
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct DeleteArg<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_rev: Option<&'a str>,
}

/// The newest revisions of a file, wherever it was moved.
#[derive(Debug, Serialize)]
pub(crate) struct RevisionsArg<'a> {
    pub(crate) path: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) limit: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Revisions {
    pub(crate) is_deleted: bool,
    /// Newest first.
    pub(crate) entries: Vec<FileMetadata>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RestoreArg<'a> {
    pub(crate) path: &'a str,
    pub(crate) rev: &'a str,
}

/// What an item is after it was moved.
#[derive(Debug, Deserialize)]
pub(crate) struct Relocated {
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Serialize)]
pub(crate) struct RelocationArg<'a> {
    pub(crate) from_path: &'a str,
    pub(crate) to_path: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct RelocationBatchArg<'a> {
    pub(crate) entries: &'a [RelocationArg<'a>],
}

#[derive(Debug, Serialize)]
pub(crate) struct JobArg<'a> {
    pub(crate) async_job_id: &'a str,
}

/// What a batch answers that may take its time: also what asking for it does.
#[derive(Debug)]
pub(crate) enum Launched {
    Complete(Vec<Value>),
    /// It goes on under this name.
    Job(String),
    InProgress,
}

impl<'de> Deserialize<'de> for Launched {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let answer = Value::deserialize(deserializer)?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let launched = match Tagged::of(&answer).tag {
            "complete" => answer["entries"]
                .as_array()
                .cloned()
                .map(Launched::Complete),
            "async_job_id" => text("async_job_id").map(Launched::Job),
            "in_progress" => Some(Launched::InProgress),
            _ => None,
        };
        launched.ok_or_else(|| serde::de::Error::custom("neither entries nor a job"))
    }
}

/// An entry of a batch of copies: the file that was made, or why not.
pub(crate) fn copied<E: Union>(entry: &Value) -> serde_json::Result<Entry<FileMetadata, E>> {
    let tagged = Tagged::of(entry);
    Ok(match (tagged.tag, tagged.nested()) {
        ("success", Some(file)) => Entry::Success(serde_json::from_value(file.clone())?),
        ("failure", failure) => Entry::Failure(E::decode(failure.unwrap_or(&Value::Null))),
        _ => Entry::Failure(E::decode(entry)),
    })
}

/// A result of which only success matters.
#[derive(Debug)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Ignored)
    }
}

/// The envelope of a refusal in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    #[serde(default)]
    pub(crate) error: Value,
    #[serde(default)]
    pub(crate) error_summary: String,
    pub(crate) user_message: Option<UserMessage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UserMessage {
    pub(crate) text: String,
}

/// What `error` holds when we are asked to wait.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RateLimit {
    #[serde(default)]
    pub(crate) reason: Value,
    /// Seconds; may be missing or 0 while the header says more.
    #[serde(default)]
    pub(crate) retry_after: u64,
}
