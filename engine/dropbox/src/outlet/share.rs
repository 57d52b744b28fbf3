//! Shared folders: made, and people invited to them.

use std::collections::BTreeSet;

use tokio::time::{Duration, sleep};
use windlass_core::{AssetPath, Error, Kind, Member, Result, SharedFolder, fold_key};

use crate::endpoint::{DropboxEndpoint, wire_path};
use crate::errors::{
    Circumstances, Explain, Failure, LookupError, PathError, ShareFolderError, SharePathError,
    There,
};
use crate::union::Union;
use crate::wire::{FileMetadata, Metadata, ShareLaunched, SharedFolderMetadata};

/// How long a job is waited for at first, and at most in all.
const JOB_WAIT: Duration = Duration::from_millis(500);
const JOB_WAIT_MAX: Duration = Duration::from_secs(10);
const JOB_ROUNDS: u32 = 60;

/// How many pages a list of members or of shared folders may have, of up to a thousand entries each.
const PAGES_MAX: usize = 1_000;

/// The most shared folders on a page, as documented.
const PAGE_FOLDERS: u32 = 1_000;

impl DropboxEndpoint {
    pub(super) async fn share_with(
        &self,
        folder: &AssetPath,
        members: &[Member],
    ) -> Result<SharedFolder> {
        let (id, is_new) = match self.shared_id(folder).await? {
            Some(id) => (id, false),
            None => (self.make_shared(folder).await?, true),
        };
        self.add_namespace(folder);
        let mut shared = SharedFolder {
            is_new,
            ..SharedFolder::default()
        };
        let known = self.members(&id).await?;
        let mut known: BTreeSet<String> = known.iter().map(|name| fold_key(name)).collect();
        for member in members {
            if known.insert(fold_key(&member.email)) {
                self.invite(&id, member, &mut shared).await?;
            }
        }
        Ok(shared)
    }

    /// The id of a folder that is shared. `None` where there is none, or it is not shared.
    ///
    /// Errors: `NotFound` for one that was shared and is not in the account's Dropbox any more: a second one of its name
    /// would be another folder for everybody else.
    async fn shared_id(&self, folder: &AssetPath) -> Result<Option<String>> {
        match self.api.metadata(&wire_path(folder)).await {
            Ok(Metadata::Folder(there)) => Ok(there.shared_folder_id),
            Ok(_) => Ok(None),
            Err(Failure::Route(PathError::Path(LookupError::NotFound), _)) => {
                self.must_not_be_lost(folder).await?;
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    async fn must_not_be_lost(&self, folder: &AssetPath) -> Result<()> {
        let name = fold_key(folder.name());
        let mut page = self.api.list_folders(PAGE_FOLDERS).await?;
        for _ in 0..PAGES_MAX {
            let mut entries = page.entries.iter();
            let lost = |entry: &&SharedFolderMetadata| {
                entry.path_lower.is_none() && fold_key(&entry.name) == name
            };
            if let Some(lost) = entries.find(lost) {
                return Err(Error::new(
                    Kind::NotFound,
                    "a shared folder of that name was taken out of this account's Dropbox",
                )
                .with_context("shared folder", &lost.shared_folder_id)
                .with_hint(
                    "add it to the account's Dropbox again at this place, or choose another name",
                ));
            }
            match page.cursor {
                None => return Ok(()),
                Some(cursor) => page = self.api.list_folders_continue(&cursor).await?,
            }
        }
        Err(endless("shared folders"))
    }

    /// Makes the folder and shares it; its id.
    async fn make_shared(&self, folder: &AssetPath) -> Result<String> {
        self.create_folder(folder).await?;
        let mut answer = match self.api.share_folder(&wire_path(folder)).await {
            Ok(answer) => answer,
            Err(failure) => return already_shared(failure),
        };
        let mut job = None;
        let mut wait = JOB_WAIT;
        for _ in 0..JOB_ROUNDS {
            match answer {
                ShareLaunched::Complete(shared) => return Ok(shared.shared_folder_id),
                ShareLaunched::Failed(reason) => {
                    let reason = ShareFolderError::decode(&reason);
                    return already_shared(Failure::Route(reason, circumstances()));
                }
                ShareLaunched::Job(name) => job = Some(name),
                ShareLaunched::InProgress => {}
            }
            let Some(job) = &job else {
                break;
            };
            sleep(wait).await;
            wait = (wait * 2).min(JOB_WAIT_MAX);
            answer = self.api.share_job(job).await?;
        }
        Err(Error::new(
            Kind::Unavailable,
            "Dropbox is still sharing the folder",
        ))
    }

    /// Everybody who is a member, or is invited.
    async fn members(&self, id: &str) -> Result<Vec<String>> {
        let mut page = self.api.members(id).await?;
        let mut names = Vec::new();
        for _ in 0..PAGES_MAX {
            let next = page.cursor.take();
            names.extend(page.names());
            match next {
                None => return Ok(names),
                Some(cursor) => page = self.api.members_continue(&cursor).await?,
            }
        }
        Err(endless("members"))
    }

    async fn invite(&self, id: &str, member: &Member, shared: &mut SharedFolder) -> Result<()> {
        let level = match member.may_edit {
            true => "editor",
            false => "viewer",
        };
        let email = &member.email;
        let quiet = self.quiet_invitations;
        let failure = match self.api.add_member(id, email, level, quiet).await {
            Ok(_) => {
                shared.invited.push(email.clone());
                return Ok(());
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Route(reason, circumstances) if reason.is_personal() => {
                let why = reason.explain().message.to_owned();
                let why = match circumstances.user_message {
                    Some(text) => format!("{why} ({text})"),
                    None => why,
                };
                tracing::info!(folder = id, %reason, "a member is refused");
                shared.refused.push((email.clone(), why));
                Ok(())
            }
            other => {
                let error = Error::from(other).with_context("member", email);
                let is_there = error.kind() == Kind::Ambiguous && self.is_member(id, email).await?;
                match is_there {
                    true => shared.invited.push(email.clone()),
                    false => return Err(error),
                }
                Ok(())
            }
        }
    }

    async fn is_member(&self, id: &str, email: &str) -> Result<bool> {
        let email = fold_key(email);
        let members = self.members(id).await?;
        Ok(members.iter().any(|name| fold_key(name) == email))
    }

    /// Who else is known to have access to a file: the other members of the shared folder that holds it. Not known is no
    /// reason to leave it there, and is said in the place of names.
    pub(super) async fn recipients(&self, file: &FileMetadata) -> Result<Vec<String>> {
        let sharing = file.sharing_info.as_ref();
        let Some(folder) = sharing.and_then(|info| info.parent_shared_folder_id.as_deref()) else {
            return Ok(Vec::new());
        };
        match self.other_members(folder).await {
            Ok(names) => Ok(names),
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Unauthenticated) => {
                Err(error)
            }
            Err(error) => {
                let why = error.chain();
                tracing::warn!(folder, error = %why, "who has access is not known");
                Ok(vec![format!("(not known: {why})")])
            }
        }
    }

    /// All members but this account.
    async fn other_members(&self, folder: &str) -> Result<Vec<String>> {
        let asked = async {
            self.api
                .account()
                .await
                .map(|account| fold_key(&account.email))
        };
        let own = self.own_email.get_or_try_init(|| asked).await?;
        let mut names = self.members(folder).await?;
        names.retain(|name| fold_key(name) != *own);
        Ok(names)
    }
}

/// The id of a folder that somebody shared meanwhile.
fn already_shared(failure: Failure<ShareFolderError>) -> Result<String> {
    match failure {
        Failure::Route(
            ShareFolderError::BadPath(SharePathError::AlreadyShared(There(Some(shared)))),
            _,
        ) => Ok(shared.shared_folder_id),
        other => Err(other.into()),
    }
}

fn circumstances() -> Circumstances {
    Circumstances {
        route: "sharing/check_share_job_status",
        ..Circumstances::default()
    }
}

fn endless(what: &str) -> Error {
    Error::new(
        Kind::Unexpected,
        format!("Dropbox lists {what} without end"),
    )
}
