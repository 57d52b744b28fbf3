//! Refusals of the routes that create folders, move, delete and bring back.

use windlass_core::Kind;

use super::{Explain, LookupError, Meaning, WriteError, busy};
use crate::union::union;

union! {
    /// `files/create_folder_v2`.
    CreateFolderError {
        "path" => Path(WriteError),
    }
}

impl Explain for CreateFolderError {
    fn explain(&self) -> Meaning {
        match self {
            CreateFolderError::Path(error) => error.explain(),
            CreateFolderError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/delete_v2`.
    DeleteError {
        "path_lookup" => PathLookup(LookupError),
        "path_write" => PathWrite(WriteError),
        "too_many_write_operations" => TooManyWriteOperations,
        "too_many_files" => TooManyFiles,
    }
}

impl Explain for DeleteError {
    fn explain(&self) -> Meaning {
        match self {
            DeleteError::PathLookup(error) => error.explain(),
            DeleteError::PathWrite(error) => error.explain(),
            DeleteError::TooManyWriteOperations => busy(),
            DeleteError::TooManyFiles => Meaning::new(
                Kind::InvalidInput,
                "the folder holds too many files to be deleted at once",
            ),
            DeleteError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/list_revisions`.
    RevisionsError {
        "path" => Path(LookupError),
        "invalid_before_rev" => InvalidBeforeRev,
        "before_rev_not_supported" => BeforeRevNotSupported,
    }
}

impl Explain for RevisionsError {
    fn explain(&self) -> Meaning {
        match self {
            RevisionsError::Path(error) => error.explain(),
            _ => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/restore`.
    RestoreError {
        "path_lookup" => PathLookup(LookupError),
        "path_write" => PathWrite(WriteError),
        "invalid_revision" => InvalidRevision,
        "in_progress" => InProgress,
    }
}

impl Explain for RestoreError {
    fn explain(&self) -> Meaning {
        match self {
            RestoreError::PathLookup(error) => error.explain(),
            RestoreError::PathWrite(error) => error.explain(),
            RestoreError::InvalidRevision => Meaning::new(
                Kind::NotFound,
                "the earlier revision can no longer be restored in Dropbox",
            ),
            RestoreError::InProgress => {
                Meaning::new(Kind::Unavailable, "Dropbox is still restoring the file")
            }
            RestoreError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/move_v2` and its siblings.
    RelocationError {
        "from_lookup" => FromLookup(LookupError),
        "from_write" => FromWrite(WriteError),
        "to" => To(WriteError),
        "cant_copy_shared_folder" => CantCopySharedFolder,
        "cant_nest_shared_folder" => CantNestSharedFolder,
        "cant_move_folder_into_itself" => CantMoveFolderIntoItself,
        "too_many_files" => TooManyFiles,
        "duplicated_or_nested_paths" => DuplicatedOrNestedPaths,
        "cant_transfer_ownership" => CantTransferOwnership,
        "insufficient_quota" => InsufficientQuota,
        "internal_error" => InternalError,
        "cant_move_shared_folder" => CantMoveSharedFolder,
        "cant_move_into_vault" => CantMoveIntoVault,
        "cant_move_into_family" => CantMoveIntoFamily,
    }
}

impl Explain for RelocationError {
    fn explain(&self) -> Meaning {
        match self {
            RelocationError::FromLookup(error) => error.explain(),
            RelocationError::FromWrite(error) | RelocationError::To(error) => error.explain(),
            RelocationError::InsufficientQuota => WriteError::InsufficientSpace.explain(),
            RelocationError::InternalError => Meaning::new(
                Kind::Unavailable,
                "Dropbox failed while it moved or copied the file",
            ),
            RelocationError::CantTransferOwnership => Meaning::new(
                Kind::Denied,
                "the move would change the file's owner in Dropbox",
            ),
            RelocationError::Other(_) => Meaning::undocumented(),
            _ => Meaning::new(
                Kind::InvalidInput,
                "Dropbox does not allow a move to that place",
            ),
        }
    }
}

union! {
    /// An entry of `files/copy_batch_v2`.
    CopyEntryError {
        "relocation_error" => Relocation(RelocationError),
        "internal_error" => InternalError,
        "too_many_write_operations" => TooManyWriteOperations,
    }
}

impl Explain for CopyEntryError {
    fn explain(&self) -> Meaning {
        match self {
            CopyEntryError::Relocation(error) => error.explain(),
            CopyEntryError::InternalError => {
                Meaning::new(Kind::Unavailable, "Dropbox failed while it copied the file")
            }
            CopyEntryError::TooManyWriteOperations => busy(),
            CopyEntryError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `files/copy_batch/check_v2`.
    PollError {
        "invalid_async_job_id" => InvalidAsyncJobId,
        "internal_error" => InternalError,
    }
}

impl Explain for PollError {
    fn explain(&self) -> Meaning {
        Meaning::new(
            Kind::Ambiguous,
            "Dropbox does not say what became of a batch of copies",
        )
    }
}
