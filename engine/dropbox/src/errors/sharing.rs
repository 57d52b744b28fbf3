//! Refusals of the routes that share folders and links.

use windlass_core::Kind;

use super::{Explain, LookupError, Meaning};
use crate::union::{Carried, Tagged, union};
use crate::wire::{LinkMetadata, SharedFolderMetadata};

/// What a refusal carries that speaks of what is there already; `None` where it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct There<T>(pub(crate) Option<T>);

impl Carried for There<SharedFolderMetadata> {
    /// A struct: its fields stand beside the tag.
    fn read(tagged: Tagged<'_>) -> Self {
        There(tagged.flattened())
    }

    fn suffix(&self) -> String {
        String::new()
    }
}

impl Carried for There<LinkMetadata> {
    /// A union whose member `metadata` nests a polymorphic struct.
    fn read(tagged: Tagged<'_>) -> Self {
        let inner = tagged.nested().map(Tagged::of);
        let metadata = inner.and_then(|inner| inner.field("metadata"));
        There(metadata.and_then(|metadata| serde_json::from_value(metadata.clone()).ok()))
    }

    fn suffix(&self) -> String {
        String::new()
    }
}

fn unverified() -> Meaning {
    Meaning::new(
        Kind::Denied,
        "the account's own email address is not verified",
    )
    .hint("verify it in Dropbox, then run again")
}

fn not_allowed() -> Meaning {
    Meaning::new(Kind::Denied, "this account may not share the folder")
        .hint("ask the folder's owner, or the team's administrator, to allow it")
}

union! {
    /// What is wrong with a link's settings.
    LinkSettingsError {
        "invalid_settings" => InvalidSettings,
        "not_authorized" => NotAuthorized,
    }
}

impl Explain for LinkSettingsError {
    fn explain(&self) -> Meaning {
        match self {
            LinkSettingsError::InvalidSettings => Meaning::new(
                Kind::InvalidInput,
                "Dropbox does not accept the link's terms",
            ),
            LinkSettingsError::NotAuthorized => Meaning::new(
                Kind::Denied,
                "the Dropbox plan or the team's rules do not allow a link on these terms",
            )
            .hint("links for the team need a team account; links that end need a paid plan"),
            LinkSettingsError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `sharing/create_shared_link_with_settings`.
    CreateLinkError {
        "path" => Path(LookupError),
        "email_not_verified" => EmailNotVerified,
        "shared_link_already_exists" => AlreadyExists(There<LinkMetadata>),
        "settings_error" => Settings(LinkSettingsError),
        "access_denied" => AccessDenied,
        "banned_member" => BannedMember,
        "too_many_shared_folders" => TooManySharedFolders,
    }
}

impl Explain for CreateLinkError {
    fn explain(&self) -> Meaning {
        match self {
            CreateLinkError::Path(error) => error.explain(),
            CreateLinkError::EmailNotVerified => unverified(),
            CreateLinkError::AlreadyExists(_) => {
                Meaning::new(Kind::Conflict, "there is a link to it in Dropbox")
            }
            CreateLinkError::Settings(error) => error.explain(),
            CreateLinkError::AccessDenied => {
                Meaning::new(Kind::Denied, "this account may not make a link to the file")
                    .hint("ask the folder's owner, or the team's administrator, to allow links")
            }
            CreateLinkError::BannedMember => Meaning::new(
                Kind::Denied,
                "Dropbox has blocked this account from making links",
            )
            .hint("ask Dropbox why"),
            CreateLinkError::TooManySharedFolders => Meaning::new(
                Kind::Denied,
                "the account has as many shared folders as it may have",
            )
            .hint("leave some of them in Dropbox"),
            CreateLinkError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `sharing/list_shared_links`.
    ListLinksError {
        "path" => Path(LookupError),
        "reset" => Reset,
    }
}

impl Explain for ListLinksError {
    fn explain(&self) -> Meaning {
        match self {
            ListLinksError::Path(error) => error.explain(),
            ListLinksError::Reset => Meaning::new(
                Kind::Unavailable,
                "the list of links changed while it was read",
            ),
            ListLinksError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `sharing/modify_shared_link_settings`, `sharing/revoke_shared_link`.
    LinkError {
        "shared_link_not_found" => NotFound,
        "shared_link_access_denied" => AccessDenied,
        "unsupported_link_type" => UnsupportedLinkType,
        "unsupported_parameter_field" => UnsupportedParameterField,
        "shared_link_malformed" => Malformed,
        "settings_error" => Settings(LinkSettingsError),
        "email_not_verified" => EmailNotVerified,
    }
}

impl Explain for LinkError {
    fn explain(&self) -> Meaning {
        match self {
            LinkError::NotFound => Meaning::new(Kind::NotFound, "the link is not there any more"),
            LinkError::AccessDenied => {
                Meaning::new(Kind::Denied, "this account may not change the link")
                    .hint("ask whoever made it to remove it in Dropbox")
            }
            LinkError::Settings(error) => error.explain(),
            LinkError::EmailNotVerified => unverified(),
            _ => Meaning::undocumented(),
        }
    }
}

union! {
    /// Why a path cannot be a shared folder.
    SharePathError {
        "is_file" => IsFile,
        "inside_shared_folder" => InsideSharedFolder,
        "contains_shared_folder" => ContainsSharedFolder,
        "contains_app_folder" => ContainsAppFolder,
        "contains_team_folder" => ContainsTeamFolder,
        "is_app_folder" => IsAppFolder,
        "inside_app_folder" => InsideAppFolder,
        "is_public_folder" => IsPublicFolder,
        "inside_public_folder" => InsidePublicFolder,
        "already_shared" => AlreadyShared(There<SharedFolderMetadata>),
        "invalid_path" => InvalidPath,
        "is_osx_package" => IsOsxPackage,
        "inside_osx_package" => InsideOsxPackage,
        "is_vault" => IsVault,
        "is_vault_locked" => IsVaultLocked,
        "is_family" => IsFamily,
    }
}

impl Explain for SharePathError {
    fn explain(&self) -> Meaning {
        let meant = |message| Meaning::new(Kind::Conflict, message);
        match self {
            SharePathError::IsFile => meant("a file has the name of the folder to be shared"),
            SharePathError::InsideSharedFolder => meant(
                "the folder lies in one that is shared already, and is shared as part of that",
            )
            .hint("share the folder above it with these people, or choose a folder outside of it"),
            SharePathError::ContainsSharedFolder => {
                meant("a folder in it is shared already, so that it cannot be shared as a whole")
                    .hint("share folders beside each other, or end the sharing of the one inside")
            }
            SharePathError::ContainsAppFolder
            | SharePathError::IsAppFolder
            | SharePathError::InsideAppFolder => {
                meant("an app's own folder cannot be shared").hint("choose a folder outside of it")
            }
            SharePathError::ContainsTeamFolder => {
                meant("a folder that holds a team folder cannot be shared")
                    .hint("choose a folder inside or outside of the team folder")
            }
            SharePathError::IsPublicFolder | SharePathError::InsidePublicFolder => {
                meant("the public folder cannot be shared with people")
                    .hint("choose another folder")
            }
            SharePathError::AlreadyShared(_) => meant("the folder is shared already"),
            SharePathError::InvalidPath => meant("Dropbox cannot share what is at that path")
                .hint("check that it is a folder in this account"),
            SharePathError::IsOsxPackage | SharePathError::InsideOsxPackage => {
                meant("macOS shows the folder as one document, which cannot be shared")
                    .hint("choose a folder without such an extension")
            }
            SharePathError::IsVault | SharePathError::IsVaultLocked => {
                meant("the vault cannot be shared").hint("choose another folder")
            }
            SharePathError::IsFamily => {
                meant("the family's folder cannot be shared further").hint("choose another folder")
            }
            SharePathError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `sharing/share_folder`.
    ShareFolderError {
        "email_unverified" => EmailUnverified,
        "bad_path" => BadPath(SharePathError),
        "team_policy_disallows_member_policy" => TeamPolicyDisallowsMemberPolicy,
        "disallowed_shared_link_policy" => DisallowedSharedLinkPolicy,
        "no_permission" => NoPermission,
    }
}

impl Explain for ShareFolderError {
    fn explain(&self) -> Meaning {
        match self {
            ShareFolderError::EmailUnverified => unverified(),
            ShareFolderError::BadPath(error) => error.explain(),
            ShareFolderError::TeamPolicyDisallowsMemberPolicy
            | ShareFolderError::DisallowedSharedLinkPolicy
            | ShareFolderError::NoPermission => not_allowed(),
            ShareFolderError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// `sharing/list_folders`.
    ListFoldersError {
        "invalid_cursor" => InvalidCursor,
    }
}

impl Explain for ListFoldersError {
    fn explain(&self) -> Meaning {
        match self {
            ListFoldersError::InvalidCursor => Meaning::new(
                Kind::Unavailable,
                "the list of shared folders changed while it was read",
            ),
            ListFoldersError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// Why a shared folder cannot be used. `sharing/list_folder_members`; its continuation nests it.
    FolderAccessError {
        "invalid_id" => InvalidId,
        "not_a_member" => NotAMember,
        "invalid_member" => InvalidMember,
        "email_unverified" => EmailUnverified,
        "unmounted" => Unmounted,
        "access_error" => Nested(SharedFolderAccessError),
        "invalid_cursor" => InvalidCursor,
    }
}

union! {
    /// The same where it is nested.
    SharedFolderAccessError {
        "invalid_id" => InvalidId,
        "not_a_member" => NotAMember,
        "invalid_member" => InvalidMember,
        "email_unverified" => EmailUnverified,
        "unmounted" => Unmounted,
    }
}

impl Explain for SharedFolderAccessError {
    fn explain(&self) -> Meaning {
        match self {
            SharedFolderAccessError::InvalidId => Meaning::new(
                Kind::NotFound,
                "the folder is not shared any more, or this account has lost it",
            )
            .hint("share it again, or ask its owner to invite this account"),
            SharedFolderAccessError::NotAMember | SharedFolderAccessError::InvalidMember => {
                Meaning::new(
                    Kind::NotFound,
                    "this account is not a member of the shared folder any more",
                )
                .hint("ask the folder's owner to invite it again")
            }
            SharedFolderAccessError::EmailUnverified => unverified(),
            SharedFolderAccessError::Unmounted => Meaning::new(
                Kind::NotFound,
                "the shared folder was taken out of this account's Dropbox",
            )
            .hint("add it to the account's Dropbox again, under the name it had"),
            SharedFolderAccessError::Other(_) => Meaning::undocumented(),
        }
    }
}

impl Explain for FolderAccessError {
    fn explain(&self) -> Meaning {
        match self {
            FolderAccessError::InvalidId => SharedFolderAccessError::InvalidId.explain(),
            FolderAccessError::NotAMember | FolderAccessError::InvalidMember => {
                SharedFolderAccessError::NotAMember.explain()
            }
            FolderAccessError::EmailUnverified => unverified(),
            FolderAccessError::Unmounted => SharedFolderAccessError::Unmounted.explain(),
            FolderAccessError::Nested(error) => error.explain(),
            FolderAccessError::InvalidCursor => Meaning::new(
                Kind::Unavailable,
                "the list of members changed while it was read",
            ),
            FolderAccessError::Other(_) => Meaning::undocumented(),
        }
    }
}

union! {
    /// Why an address cannot be a member.
    AddMemberSelectorError {
        "automatic_group" => AutomaticGroup,
        "invalid_dropbox_id" => InvalidDropboxId(Option<String>),
        "invalid_email" => InvalidEmail(Option<String>),
        "unverified_dropbox_id" => UnverifiedDropboxId(Option<String>),
        "group_deleted" => GroupDeleted,
        "group_not_on_team" => GroupNotOnTeam,
    }
}

union! {
    /// `sharing/add_folder_member`.
    AddMemberError {
        "access_error" => Access(SharedFolderAccessError),
        "email_unverified" => EmailUnverified,
        "banned_member" => BannedMember,
        "bad_member" => BadMember(AddMemberSelectorError),
        "cant_share_outside_team" => CantShareOutsideTeam,
        "too_many_members" => TooManyMembers,
        "too_many_pending_invites" => TooManyPendingInvites,
        "rate_limit" => RateLimit,
        "too_many_invitees" => TooManyInvitees,
        "insufficient_plan" => InsufficientPlan,
        "team_folder" => TeamFolder,
        "no_permission" => NoPermission,
        "invalid_shared_folder" => InvalidSharedFolder,
    }
}

impl AddMemberError {
    /// Whether it is about the one who was to be invited, and not about the folder.
    pub(crate) fn is_personal(&self) -> bool {
        !matches!(
            self,
            AddMemberError::Access(_)
                | AddMemberError::EmailUnverified
                | AddMemberError::TeamFolder
                | AddMemberError::NoPermission
                | AddMemberError::InvalidSharedFolder
                | AddMemberError::Other(_)
        )
    }
}

impl Explain for AddMemberError {
    fn explain(&self) -> Meaning {
        let denied = |message| Meaning::new(Kind::Denied, message);
        match self {
            AddMemberError::Access(error) => error.explain(),
            AddMemberError::EmailUnverified => unverified(),
            AddMemberError::BannedMember => denied("Dropbox has blocked the address"),
            AddMemberError::BadMember(_) => denied("Dropbox does not accept the address"),
            AddMemberError::CantShareOutsideTeam => {
                denied("the team does not share with people outside of it")
            }
            AddMemberError::TooManyMembers => {
                denied("the folder has as many members as it may have")
            }
            AddMemberError::TooManyPendingInvites => {
                denied("too many invitations to the folder wait for an answer")
            }
            AddMemberError::RateLimit => denied("Dropbox takes no more invitations for now"),
            AddMemberError::TooManyInvitees => denied("too many people were invited at once"),
            AddMemberError::InsufficientPlan => {
                denied("the Dropbox plan does not include members of this kind")
            }
            AddMemberError::TeamFolder => {
                denied("members of a team folder are managed by the team's administrator")
            }
            AddMemberError::NoPermission => not_allowed(),
            AddMemberError::InvalidSharedFolder => SharedFolderAccessError::InvalidId.explain(),
            AddMemberError::Other(_) => Meaning::undocumented(),
        }
    }
}
