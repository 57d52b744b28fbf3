//! The routes: where each lives, how it is called, and what a token must allow.

/// The host names that the service spreads its routes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// `api`: calls with JSON bodies, and the token endpoint.
    Api,
    /// `content`: calls with bytes.
    Content,
    /// `notify`: the long poll.
    Notify,
}

impl Host {
    pub(super) fn name(self) -> &'static str {
        match self {
            Host::Api => "api.dropboxapi.com",
            Host::Content => "content.dropboxapi.com",
            Host::Notify => "notify.dropboxapi.com",
        }
    }
}

/// How arguments and results travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// JSON body in, JSON body out.
    Rpc,
    /// Argument in a header, bytes in, JSON body out.
    Upload,
    /// Argument in a header, result in a header, bytes out.
    Download,
    /// OAuth's form.
    Form,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// A bearer token with this scope.
    User(&'static str),
    /// A bearer token, whatever its scopes.
    AnyUser,
    /// Nobody: a token is an error.
    None,
    /// The route looks after itself.
    Own,
}

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    /// Namespace and name with version, as in the URL after `/2/`.
    pub(super) name: &'static str,
    pub(super) host: Host,
    pub(super) style: Style,
    pub(super) auth: Auth,
}

impl Route {
    /// The route of a URL path, if there is one.
    pub(super) fn find(path: &str) -> Option<&'static Route> {
        let name = match path.strip_prefix("/2/") {
            Some(name) if name != TOKEN => name,
            None if path == "/oauth2/token" => TOKEN,
            _ => return None,
        };
        ROUTES.iter().find(|route| route.name == name)
    }
}

const TOKEN: &str = "oauth2/token";

const META_READ: &str = "files.metadata.read";
const META_WRITE: &str = "files.metadata.write";
const READ: &str = "files.content.read";
const WRITE: &str = "files.content.write";
const ACCOUNT: &str = "account_info.read";
const SHARE_READ: &str = "sharing.read";
const SHARE_WRITE: &str = "sharing.write";

const fn rpc(name: &'static str, scope: &'static str) -> Route {
    Route {
        name,
        host: Host::Api,
        style: Style::Rpc,
        auth: Auth::User(scope),
    }
}

const fn upload(name: &'static str) -> Route {
    Route {
        name,
        host: Host::Content,
        style: Style::Upload,
        auth: Auth::User(WRITE),
    }
}

const ROUTES: &[Route] = &[
    Route {
        name: TOKEN,
        host: Host::Api,
        style: Style::Form,
        auth: Auth::Own,
    },
    Route {
        name: "auth/token/revoke",
        host: Host::Api,
        style: Style::Rpc,
        auth: Auth::AnyUser,
    },
    rpc("check/user", ACCOUNT),
    rpc("users/get_current_account", ACCOUNT),
    rpc("users/get_space_usage", ACCOUNT),
    rpc("files/list_folder", META_READ),
    rpc("files/list_folder/continue", META_READ),
    rpc("files/list_folder/get_latest_cursor", META_READ),
    Route {
        name: "files/list_folder/longpoll",
        host: Host::Notify,
        style: Style::Rpc,
        auth: Auth::None,
    },
    rpc("files/get_metadata", META_READ),
    rpc("files/list_revisions", META_READ),
    rpc("files/restore", WRITE),
    Route {
        name: "files/download",
        host: Host::Content,
        style: Style::Download,
        auth: Auth::User(READ),
    },
    upload("files/upload"),
    upload("files/upload_session/start"),
    rpc("files/upload_session/start_batch", WRITE),
    upload("files/upload_session/append_v2"),
    upload("files/upload_session/append_batch"),
    upload("files/upload_session/finish"),
    rpc("files/upload_session/finish_batch_v2", WRITE),
    rpc("files/create_folder_v2", WRITE),
    rpc("files/create_folder_batch", WRITE),
    rpc("files/delete_v2", WRITE),
    rpc("files/delete_batch", WRITE),
    rpc("files/copy_v2", WRITE),
    rpc("files/move_v2", WRITE),
    rpc("files/copy_batch_v2", WRITE),
    rpc("files/move_batch_v2", WRITE),
    rpc("files/copy_batch/check_v2", WRITE),
    rpc("files/move_batch/check_v2", WRITE),
    rpc("files/tags/add", META_WRITE),
    rpc("files/tags/remove", META_WRITE),
    rpc("files/tags/get", META_READ),
    rpc("file_properties/templates/add_for_user", META_WRITE),
    rpc("file_properties/templates/get_for_user", META_READ),
    rpc("file_properties/templates/list_for_user", META_READ),
    rpc("file_properties/templates/remove_for_user", META_WRITE),
    rpc("file_properties/properties/add", META_WRITE),
    rpc("file_properties/properties/overwrite", META_WRITE),
    rpc("file_properties/properties/remove", META_WRITE),
    rpc("file_properties/properties/search", META_READ),
    rpc("sharing/share_folder", SHARE_WRITE),
    rpc("sharing/check_share_job_status", SHARE_WRITE),
    rpc("sharing/add_folder_member", SHARE_WRITE),
    rpc("sharing/update_folder_member", SHARE_WRITE),
    rpc("sharing/remove_folder_member", SHARE_WRITE),
    rpc("sharing/check_remove_member_job_status", SHARE_WRITE),
    rpc("sharing/list_folders", SHARE_READ),
    rpc("sharing/list_folders/continue", SHARE_READ),
    rpc("sharing/list_mountable_folders", SHARE_READ),
    rpc("sharing/list_mountable_folders/continue", SHARE_READ),
    rpc("sharing/mount_folder", SHARE_WRITE),
    rpc("sharing/unmount_folder", SHARE_WRITE),
    rpc("sharing/get_folder_metadata", SHARE_READ),
    rpc("sharing/list_folder_members", SHARE_READ),
    rpc("sharing/list_folder_members/continue", SHARE_READ),
    rpc("sharing/create_shared_link_with_settings", SHARE_WRITE),
    rpc("sharing/list_shared_links", SHARE_READ),
    rpc("sharing/get_shared_link_metadata", SHARE_READ),
    rpc("sharing/modify_shared_link_settings", SHARE_WRITE),
    rpc("sharing/revoke_shared_link", SHARE_WRITE),
    Route {
        name: "sharing/get_shared_link_file",
        host: Host::Content,
        style: Style::Download,
        auth: Auth::User(SHARE_READ),
    },
];
