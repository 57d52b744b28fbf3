//! Every refusal Dropbox documents for the routes in use, and what each means for us.
//!
//! Route errors are tagged unions; [`Explain`] turns them into the shared error: a kind for the program,
//! a sentence for the person and a hint for the next step. The path of tags is kept as context.

use windlass_core::{Error, Kind, Status};

use crate::union::{Carried, Tagged, Union, union};

mod manage;
mod sharing;

pub(crate) use manage::{
    CopyEntryError, CreateFolderError, DeleteError, PollError, RelocationError, RestoreError,
    RevisionsError,
};
pub(crate) use sharing::{
    AddMemberError, CreateLinkError, FolderAccessError, LinkError, LinkSettingsError,
    ListFoldersError, ListLinksError, ShareFolderError, SharePathError, There,
};

/// What a refusal means, before the circumstances are added.
#[derive(Debug)]
pub(crate) struct Meaning {
    pub(crate) kind: Kind,
    pub(crate) message: &'static str,
    pub(crate) hint: Option<&'static str>,
    /// Overrides the kind's usual status.
    pub(crate) status: Option<Status>,
}

impl Meaning {
    fn new(kind: Kind, message: &'static str) -> Self {
        Meaning {
            kind,
            message,
            hint: None,
            status: None,
        }
    }

    fn hint(self, hint: &'static str) -> Self {
        Meaning {
            hint: Some(hint),
            ..self
        }
    }

    fn undocumented() -> Self {
        Meaning::new(
            Kind::Unexpected,
            "Dropbox refused for a reason that this version does not know",
        )
    }
}

/// Knows what it means.
pub(crate) trait Explain: Union {
    /// What it means for the caller.
    fn explain(&self) -> Meaning;
}

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The route refused, for a reason of its own.
    Route(E, Circumstances),
    /// Anything else: network, credential, limits, a malformed call.
    Call(Error),
}

/// What else is known of a refusal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    pub(crate) route: &'static str,
    pub(crate) request_id: Option<String>,
    pub(crate) user_message: Option<String>,
}

impl<E: Explain> From<Failure<E>> for Error {
    fn from(failure: Failure<E>) -> Self {
        let (refusal, circumstances) = match failure {
            Failure::Route(refusal, circumstances) => (refusal, circumstances),
            Failure::Call(error) => return error,
        };
        let meaning = refusal.explain();
        let mut error = Error::new(meaning.kind, meaning.message)
            .with_context("route", circumstances.route)
            .with_context("answer", &refusal);
        if let Some(id) = circumstances.request_id {
            error = error.with_context("request id", id);
        }
        if let Some(text) = circumstances.user_message {
            error = error.with_context("Dropbox says", text);
        }
        if let Some(hint) = meaning.hint {
            error = error.with_hint(hint);
        }
        match meaning.status {
            Some(status) => error.with_status(status),
            None => error,
        }
    }
}

union! {
    /// Why a path could not be looked up.
    LookupError {
        "malformed_path" => MalformedPath(Option<String>),
        "not_found" => NotFound,
        "not_file" => NotFile,
        "not_folder" => NotFolder,
        "restricted_content" => RestrictedContent,
        "unsupported_content_type" => UnsupportedContentType,
        "locked" => Locked,
    }
}

impl Explain for LookupError {
    fn explain(&self) -> Meaning {
        match self {
            LookupError::MalformedPath(_) => {
                Meaning::new(Kind::InvalidInput, "Dropbox does not accept the path")
                    .hint("rename the file or folder: \\ and control characters, a blank at the end and more than 255 characters are refused")
            }
            LookupError::NotFound => Meaning::new(Kind::NotFound, "nothing is there in Dropbox")
                .hint("check the path, and whether this account and path root can see it"),
            LookupError::NotFile => Meaning::new(Kind::NotFound, "it is not a file in Dropbox"),
            LookupError::NotFolder => Meaning::new(Kind::NotFound, "it is not a folder in Dropbox"),
            LookupError::RestrictedContent => Meaning::new(
                Kind::Restricted,
                "Dropbox blocks the content for legal reasons",
            )
            .hint("it is never tried again on its own; its owner can ask Dropbox"),
            LookupError::UnsupportedContentType => {
                Meaning::new(Kind::Unsupported, "Dropbox cannot do this with such content")
            }
            LookupError::Locked => Meaning::new(Kind::Conflict, "the file is locked in Dropbox")
                .hint("ask whoever locked it to unlock it"),
            LookupError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// What is in the way of a write.
    WriteConflict {
        "file" => File,
        "folder" => Folder,
        "file_ancestor" => FileAncestor,
    }
}

union! {
    /// Why something could not be written.
    WriteError {
        "malformed_path" => MalformedPath(Option<String>),
        "conflict" => Conflict(WriteConflict),
        "no_write_permission" => NoWritePermission,
        "insufficient_space" => InsufficientSpace,
        "disallowed_name" => DisallowedName,
        "team_folder" => TeamFolder,
        "operation_suppressed" => OperationSuppressed,
        "too_many_write_operations" => TooManyWriteOperations,
        "access_restricted" => AccessRestricted,
    }
}

impl Explain for WriteError {
    fn explain(&self) -> Meaning {
        match self {
            WriteError::MalformedPath(_) => LookupError::MalformedPath(None).explain(),
            WriteError::Conflict(WriteConflict::File) => {
                Meaning::new(Kind::Conflict, "another file is there in Dropbox")
                    .hint("rename or move it; Windlass does not overwrite what it did not place")
            }
            WriteError::Conflict(WriteConflict::Folder) => {
                Meaning::new(Kind::Conflict, "a folder of that name is there in Dropbox")
            }
            WriteError::Conflict(WriteConflict::FileAncestor) => Meaning::new(
                Kind::Conflict,
                "a file stands where a folder is needed in Dropbox",
            ),
            WriteError::Conflict(WriteConflict::Other(_)) => {
                Meaning::new(Kind::Conflict, "something is in the way in Dropbox")
            }
            WriteError::NoWritePermission => Meaning::new(
                Kind::Denied,
                "this account may not write to the folder in Dropbox",
            )
            .hint("ask the folder's owner for edit rights"),
            WriteError::InsufficientSpace => {
                Meaning::new(Kind::Capacity, "the Dropbox account is full")
                    .hint("free space or enlarge the plan, then run again: finished files are kept")
            }
            WriteError::DisallowedName => {
                Meaning::new(Kind::InvalidInput, "Dropbox reserves that name")
                    .hint("rename the file")
            }
            WriteError::TeamFolder => Meaning::new(
                Kind::Denied,
                "this cannot be done to a team folder in Dropbox",
            ),
            WriteError::OperationSuppressed => {
                Meaning::new(Kind::Denied, "Dropbox suppressed the operation")
            }
            WriteError::TooManyWriteOperations => busy(),
            WriteError::AccessRestricted => Meaning::new(
                Kind::Denied,
                "access to the folder is restricted in Dropbox",
            ),
            WriteError::Other(_) => Meaning::undocumented(),
        }
    }
}

fn busy() -> Meaning {
    Meaning::new(
        Kind::Limited,
        "others are writing to the same Dropbox folder",
    )
}

fn too_large_a_call() -> Meaning {
    Meaning::new(Kind::InvalidInput, "one call carried too many bytes")
        .hint("lower the chunk size below 150 MiB")
}

fn damaged() -> Meaning {
    Meaning {
        // The bytes were right when they left: sending them again is the cure.
        status: Some(Status::Temporary),
        ..Meaning::new(
            Kind::Integrity,
            "bytes were damaged on their way to Dropbox",
        )
    }
}

fn not_encryptable() -> Meaning {
    Meaning::new(
        Kind::Unsupported,
        "the folder is end-to-end encrypted, which the API cannot write to",
    )
}

fn session_misuse() -> Meaning {
    Meaning::new(
        Kind::Unexpected,
        "the upload session was used in a way Dropbox does not allow",
    )
}

fn session_gone() -> Meaning {
    Meaning {
        status: Some(Status::Temporary),
        ..Meaning::new(
            Kind::Unavailable,
            "the upload session is gone: it was finished before, or is older than seven days",
        )
    }
}

fn too_large() -> Meaning {
    Meaning::new(Kind::InvalidInput, "the file is larger than Dropbox stores")
}

union! {
    /// For routes that have no error of their own.
    NoError {}
}

impl Explain for NoError {
    fn explain(&self) -> Meaning {
        Meaning::undocumented()
    }
}

union! {
    /// What is wrong with a property template.
    TemplateError {
        "template_not_found" => TemplateNotFound(Option<String>),
        "restricted_content" => RestrictedContent,
    }
}

union! {
    /// `file_properties/templates/*`.
    TemplateRouteError {
        "template_not_found" => TemplateNotFound(Option<String>),
        "restricted_content" => RestrictedContent,
        "too_many_templates" => TooManyTemplates,
        "conflicting_property_names" => ConflictingPropertyNames,
        "too_many_properties" => TooManyProperties,
        "template_attribute_too_large" => TemplateAttributeTooLarge,
    }
}

impl Explain for TemplateRouteError {
    fn explain(&self) -> Meaning {
        match self {
            TemplateRouteError::TooManyTemplates => Meaning::new(
                Kind::Capacity,
                "the account has as many property templates as it may have",
            )
            .hint("remove those that nobody uses any more"),
            TemplateRouteError::TemplateNotFound(_) => Meaning::new(
                Kind::NotFound,
                "the property template is not there any more",
            ),
            _ => Meaning::undocumented(),
        }
    }
}

union! {
    /// `file_properties/properties/search`.
    SearchPropertiesError {
        "template_not_found" => TemplateNotFound(Option<String>),
        "restricted_content" => RestrictedContent,
        "property_group_lookup" => PropertyGroupLookup(LookUpPropertiesError),
    }
}

union! {
    /// Inside `property_group_lookup`.
    LookUpPropertiesError {
        "property_group_not_found" => PropertyGroupNotFound,
    }
}

impl Explain for SearchPropertiesError {
    fn explain(&self) -> Meaning {
        match self {
            SearchPropertiesError::TemplateNotFound(_) => Meaning::new(
                Kind::NotFound,
                "the property template is not there any more",
            ),
            _ => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/list_folder`.
    ListFolderError {
        "path" => Path(LookupError),
        "template_error" => TemplateError(TemplateError),
    }
}

impl Explain for ListFolderError {
    fn explain(&self) -> Meaning {
        match self {
            ListFolderError::Path(error) => error.explain(),
            ListFolderError::TemplateError(_) | ListFolderError::Other(_) => {
                Meaning::undocumented()
            }
        }
    }
}

union! {
    /// `files/list_folder/continue`.
    ContinueError {
        "path" => Path(LookupError),
        "reset" => Reset,
    }
}

impl Explain for ContinueError {
    fn explain(&self) -> Meaning {
        match self {
            ContinueError::Path(error) => error.explain(),
            ContinueError::Reset => Meaning::new(
                Kind::CursorReset,
                "Dropbox no longer accepts the cursor of the listing",
            ),
            ContinueError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/list_folder/longpoll`.
    LongpollError {
        "reset" => Reset,
    }
}

impl Explain for LongpollError {
    fn explain(&self) -> Meaning {
        match self {
            LongpollError::Reset => ContinueError::Reset.explain(),
            LongpollError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/get_metadata`, `files/tags/get`: nothing but the lookup can fail.
    PathError {
        "path" => Path(LookupError),
    }
}

impl Explain for PathError {
    fn explain(&self) -> Meaning {
        match self {
            PathError::Path(error) => error.explain(),
            PathError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/download`.
    DownloadError {
        "path" => Path(LookupError),
        "unsupported_file" => UnsupportedFile,
    }
}

impl Explain for DownloadError {
    fn explain(&self) -> Meaning {
        match self {
            // The path is a revision: one that is not there any more was replaced and purged.
            DownloadError::Path(
                LookupError::NotFound | LookupError::NotFile | LookupError::MalformedPath(_),
            ) => Meaning {
                status: Some(Status::Permanent),
                ..Meaning::new(Kind::SourceChanged, "the revision is gone from Dropbox")
            }
            .hint("the next run plans the file again"),
            DownloadError::Path(error) => error.explain(),
            DownloadError::UnsupportedFile => Meaning::new(
                Kind::Unsupported,
                "the file is a cloud document: it has no bytes to download",
            )
            .hint("export it in Dropbox, or leave it out of the flow"),
            DownloadError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// What is wrong with properties that came with an upload.
    PropertyGroupError {
        "template_not_found" => TemplateNotFound(Option<String>),
        "restricted_content" => RestrictedContent,
        "path" => Path(LookupError),
        "unsupported_folder" => UnsupportedFolder,
        "property_field_too_large" => PropertyFieldTooLarge,
        "does_not_fit_template" => DoesNotFitTemplate,
        "duplicate_property_groups" => DuplicatePropertyGroups,
    }
}

impl Explain for PropertyGroupError {
    fn explain(&self) -> Meaning {
        match self {
            PropertyGroupError::Path(error) => error.explain(),
            PropertyGroupError::TemplateNotFound(_) => Meaning::new(
                Kind::NotFound,
                "the property template is not there any more",
            ),
            // The route knows no word for a folder that others are writing to.
            PropertyGroupError::Other(_) => Meaning::new(
                Kind::Unavailable,
                "Dropbox did not take the properties and does not say why",
            ),
            _ => Meaning::new(Kind::InvalidInput, "Dropbox refused the properties"),
        }
    }
}

fn bad_properties() -> Meaning {
    Meaning::new(
        Kind::InvalidInput,
        "Dropbox stored the file but refused its properties",
    )
}

/// A write that failed after its bytes arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadWriteFailed {
    pub(crate) reason: WriteError,
    /// Where the bytes are kept for another commit.
    pub(crate) upload_session_id: Option<String>,
}

impl Carried for UploadWriteFailed {
    fn read(tagged: Tagged<'_>) -> Self {
        let text = |name| tagged.field(name).and_then(serde_json::Value::as_str);
        UploadWriteFailed {
            reason: WriteError::decode(tagged.field("reason").unwrap_or(&serde_json::Value::Null)),
            upload_session_id: text("upload_session_id").map(str::to_owned),
        }
    }

    fn suffix(&self) -> String {
        match &self.upload_session_id {
            Some(id) => format!("/{} (bytes kept as {id})", self.reason),
            None => format!("/{}", self.reason),
        }
    }
}

union! {
    /// `files/upload`.
    UploadError {
        "path" => Path(UploadWriteFailed),
        "properties_error" => PropertiesError(PropertyGroupError),
        "payload_too_large" => PayloadTooLarge,
        "content_hash_mismatch" => ContentHashMismatch,
        "encryption_not_supported" => EncryptionNotSupported,
    }
}

impl Explain for UploadError {
    fn explain(&self) -> Meaning {
        match self {
            UploadError::Path(failed) => failed.reason.explain(),
            UploadError::PropertiesError(_) => bad_properties(),
            UploadError::PayloadTooLarge => too_large_a_call(),
            UploadError::ContentHashMismatch => damaged(),
            UploadError::EncryptionNotSupported => not_encryptable(),
            UploadError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/upload_session/start`.
    StartError {
        "concurrent_session_data_not_allowed" => ConcurrentSessionDataNotAllowed,
        "concurrent_session_close_not_allowed" => ConcurrentSessionCloseNotAllowed,
        "payload_too_large" => PayloadTooLarge,
        "content_hash_mismatch" => ContentHashMismatch,
    }
}

impl Explain for StartError {
    fn explain(&self) -> Meaning {
        match self {
            StartError::ConcurrentSessionDataNotAllowed
            | StartError::ConcurrentSessionCloseNotAllowed => session_misuse(),
            StartError::PayloadTooLarge => too_large_a_call(),
            StartError::ContentHashMismatch => damaged(),
            StartError::Other(_) => Meaning::undocumented(),
        }
    }
}

/// Where an upload session really stands, if the service said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CorrectOffset(pub(crate) Option<u64>);

impl Carried for CorrectOffset {
    fn read(tagged: Tagged<'_>) -> Self {
        let offset = tagged.field("correct_offset");
        CorrectOffset(offset.and_then(serde_json::Value::as_u64))
    }

    fn suffix(&self) -> String {
        match self.0 {
            Some(offset) => format!(" (correct: {offset})"),
            None => String::new(),
        }
    }
}

union! {
    /// `files/upload_session/append_v2`, and the lookup of a session by other routes.
    SessionError {
        "not_found" => NotFound,
        "incorrect_offset" => IncorrectOffset(CorrectOffset),
        "closed" => Closed,
        "not_closed" => NotClosed,
        "too_large" => TooLarge,
        "concurrent_session_invalid_offset" => ConcurrentSessionInvalidOffset,
        "concurrent_session_invalid_data_size" => ConcurrentSessionInvalidDataSize,
        "payload_too_large" => PayloadTooLarge,
        "content_hash_mismatch" => ContentHashMismatch,
    }
}

impl Explain for SessionError {
    fn explain(&self) -> Meaning {
        match self {
            SessionError::NotFound => session_gone(),
            SessionError::IncorrectOffset(_) => Meaning {
                status: Some(Status::Temporary),
                ..Meaning::new(
                    Kind::Unavailable,
                    "the upload session stands elsewhere than we do",
                )
            },
            SessionError::Closed
            | SessionError::NotClosed
            | SessionError::ConcurrentSessionInvalidOffset
            | SessionError::ConcurrentSessionInvalidDataSize => session_misuse(),
            SessionError::TooLarge => too_large(),
            SessionError::PayloadTooLarge => too_large_a_call(),
            SessionError::ContentHashMismatch => damaged(),
            SessionError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/upload_session/append_batch` as a whole; each entry has a [`SessionError`] of its own.
    AppendBatchError {
        "payload_too_large" => PayloadTooLarge,
        "content_hash_mismatch" => ContentHashMismatch,
        "length_mismatch" => LengthMismatch,
    }
}

impl Explain for AppendBatchError {
    fn explain(&self) -> Meaning {
        match self {
            AppendBatchError::PayloadTooLarge => too_large_a_call(),
            AppendBatchError::ContentHashMismatch | AppendBatchError::LengthMismatch => damaged(),
            AppendBatchError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/upload_session/finish`.
    FinishError {
        "lookup_failed" => LookupFailed(SessionError),
        "path" => Path(WriteError),
        "properties_error" => PropertiesError(PropertyGroupError),
        "too_many_write_operations" => TooManyWriteOperations,
        "too_many_shared_folder_targets" => TooManySharedFolderTargets,
        "concurrent_session_data_not_allowed" => ConcurrentSessionDataNotAllowed,
        "concurrent_session_not_closed" => ConcurrentSessionNotClosed,
        "concurrent_session_missing_data" => ConcurrentSessionMissingData,
        "payload_too_large" => PayloadTooLarge,
        "content_hash_mismatch" => ContentHashMismatch,
        "encryption_not_supported" => EncryptionNotSupported,
    }
}

impl Explain for FinishError {
    fn explain(&self) -> Meaning {
        match self {
            FinishError::LookupFailed(error) => error.explain(),
            FinishError::Path(error) => error.explain(),
            FinishError::PropertiesError(_) => bad_properties(),
            FinishError::TooManyWriteOperations | FinishError::TooManySharedFolderTargets => busy(),
            FinishError::ConcurrentSessionDataNotAllowed
            | FinishError::ConcurrentSessionNotClosed => session_misuse(),
            FinishError::ConcurrentSessionMissingData => Meaning {
                status: Some(Status::Temporary),
                ..Meaning::new(
                    Kind::Unavailable,
                    "the upload session lacks bytes that Dropbox had acknowledged",
                )
            },
            FinishError::PayloadTooLarge => too_large_a_call(),
            FinishError::ContentHashMismatch => damaged(),
            FinishError::EncryptionNotSupported => not_encryptable(),
            FinishError::Other(_) => Meaning::undocumented(),
        }
    }
}
