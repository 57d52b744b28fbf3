//! The routes of links, shared folders and their members.

use windlass_http::Repeat;

use super::{Api, Routed};
use crate::errors::{
    AddMemberError, CreateLinkError, FolderAccessError, LinkError, ListFoldersError,
    ListLinksError, PollError, ShareFolderError,
};
use crate::wire::{
    AddMember, AddMembersArg, CreateLinkArg, CursorArg, Ignored, JobArg, LimitArg, LinkMetadata,
    LinkSettings, ListFoldersResult, ListLinksArg, ListLinksResult, MemberSelector, MembersResult,
    ModifyLinkArg, PathArg, ShareLaunched, SharedFolderArg, UrlArg,
};

impl Api {
    pub(crate) async fn create_link(
        &self,
        path: &str,
        settings: &LinkSettings,
    ) -> Routed<LinkMetadata, CreateLinkError> {
        // A second try finds the link of the first one, and says so.
        let arg = CreateLinkArg {
            path,
            settings: Some(settings).filter(|settings| !settings.is_empty()),
        };
        let route = "sharing/create_shared_link_with_settings";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    /// The links to exactly this item.
    pub(crate) async fn list_links(
        &self,
        path: &str,
        cursor: Option<&str>,
    ) -> Routed<ListLinksResult, ListLinksError> {
        let arg = ListLinksArg {
            path,
            cursor,
            direct_only: true,
        };
        let route = "sharing/list_shared_links";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn modify_link(
        &self,
        url: &str,
        settings: &LinkSettings,
        remove_expiration: bool,
    ) -> Routed<LinkMetadata, LinkError> {
        let arg = ModifyLinkArg {
            url,
            settings,
            remove_expiration,
        };
        let route = "sharing/modify_shared_link_settings";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn revoke_link(&self, url: &str) -> Routed<Ignored, LinkError> {
        let arg = UrlArg { url };
        let route = "sharing/revoke_shared_link";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn share_folder(&self, path: &str) -> Routed<ShareLaunched, ShareFolderError> {
        // A second try finds it shared, and says so.
        let arg = PathArg { path };
        let route = "sharing/share_folder";
        self.rpc(&self.commits, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn share_job(&self, job: &str) -> Routed<ShareLaunched, PollError> {
        let arg = JobArg { async_job_id: job };
        let route = "sharing/check_share_job_status";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    /// Shared folders that the account can have in its Dropbox, at most `limit` of them.
    pub(crate) async fn list_folders(
        &self,
        limit: u32,
    ) -> Routed<ListFoldersResult, ListFoldersError> {
        let arg = LimitArg { limit };
        let route = "sharing/list_folders";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn list_folders_continue(
        &self,
        cursor: &str,
    ) -> Routed<ListFoldersResult, ListFoldersError> {
        let arg = CursorArg { cursor };
        let route = "sharing/list_folders/continue";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn members(&self, folder: &str) -> Routed<MembersResult, FolderAccessError> {
        let arg = SharedFolderArg {
            shared_folder_id: folder,
        };
        let route = "sharing/list_folder_members";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn members_continue(
        &self,
        cursor: &str,
    ) -> Routed<MembersResult, FolderAccessError> {
        let arg = CursorArg { cursor };
        let route = "sharing/list_folder_members/continue";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    /// Invites one person: of several, one that is refused would hold up all.
    pub(crate) async fn add_member(
        &self,
        folder: &str,
        email: &str,
        access_level: &'static str,
        quiet: bool,
    ) -> Routed<Ignored, AddMemberError> {
        let member = AddMember {
            member: MemberSelector::Email { email },
            access_level,
        };
        let arg = AddMembersArg {
            shared_folder_id: folder,
            members: [member],
            quiet,
        };
        // A second one may be mailed a second time.
        let route = "sharing/add_folder_member";
        self.rpc(&self.lookups, route, &arg, Repeat::OnlyIfUnsent)
            .await
    }
}
