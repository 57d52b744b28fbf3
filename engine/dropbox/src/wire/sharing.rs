//! Links, shared folders and their members on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::union::Tagged;

/// What a file's or folder's metadata says of sharing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SharingInfo {
    /// The shared folder that holds it.
    pub(crate) parent_shared_folder_id: Option<String>,
}

/// What a link allows. Left out is what stays or is the service's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LinkSettings {
    /// In whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<&'static str>,
}

impl LinkSettings {
    pub(crate) fn is_empty(&self) -> bool {
        *self == LinkSettings::default()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct CreateLinkArg<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<&'a LinkSettings>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModifyLinkArg<'a> {
    pub(crate) url: &'a str,
    pub(crate) settings: &'a LinkSettings,
    #[serde(skip_serializing_if = "super::is_false")]
    pub(crate) remove_expiration: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListLinksArg<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<&'a str>,
    pub(crate) direct_only: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListLinksResult {
    pub(crate) links: Vec<LinkMetadata>,
    pub(crate) has_more: bool,
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct UrlArg<'a> {
    pub(crate) url: &'a str,
}

/// A link to a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct LinkMetadata {
    pub(crate) url: String,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) link_permissions: LinkPermissions,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct LinkPermissions {
    #[serde(default = "super::yes")]
    pub(crate) can_revoke: bool,
    #[serde(default)]
    effective_audience: Value,
}

impl LinkMetadata {
    /// Whether only members of the team, or nobody, may follow it.
    pub(crate) fn is_for_team(&self) -> bool {
        let audience = Tagged::of(&self.link_permissions.effective_audience).tag;
        matches!(audience, "team" | "no_one")
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct SharedFolderArg<'a> {
    pub(crate) shared_folder_id: &'a str,
}

/// A shared folder, as the account sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SharedFolderMetadata {
    pub(crate) shared_folder_id: String,
    pub(crate) name: String,
    /// Absent while it is not in the account's Dropbox.
    pub(crate) path_lower: Option<String>,
}

/// What sharing a folder answers, and asking after it.
#[derive(Debug)]
pub(crate) enum ShareLaunched {
    Complete(SharedFolderMetadata),
    /// It goes on under this name.
    Job(String),
    InProgress,
    /// It did not work out, for this reason: the route's own error.
    Failed(Value),
}

impl<'de> Deserialize<'de> for ShareLaunched {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let answer = Value::deserialize(deserializer)?;
        let tagged = Tagged::of(&answer);
        let nested = || tagged.nested().cloned();
        match tagged.tag {
            "complete" => serde_json::from_value(answer)
                .map(ShareLaunched::Complete)
                .map_err(D::Error::custom),
            "in_progress" => Ok(ShareLaunched::InProgress),
            "failed" => Ok(ShareLaunched::Failed(nested().unwrap_or_default())),
            "async_job_id" => nested()
                .and_then(|job| job.as_str().map(str::to_owned))
                .map(ShareLaunched::Job)
                .ok_or_else(|| D::Error::custom("a job without a name")),
            _ => Err(D::Error::custom("neither a shared folder nor a job")),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct LimitArg {
    pub(crate) limit: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListFoldersResult {
    pub(crate) entries: Vec<SharedFolderMetadata>,
    /// Absent on the last page.
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MembersResult {
    #[serde(default)]
    users: Vec<UserMember>,
    #[serde(default)]
    invitees: Vec<Invitee>,
    #[serde(default)]
    groups: Vec<GroupMember>,
    /// Absent on the last page.
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct UserMember {
    user: User,
}

#[derive(Debug, Deserialize)]
struct User {
    email: String,
}

#[derive(Debug, Deserialize)]
struct Invitee {
    invitee: Value,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct GroupMember {
    group: Group,
}

#[derive(Debug, Deserialize)]
struct Group {
    group_name: String,
}

impl MembersResult {
    /// Addresses of people, those who are only invited as well, and names of groups.
    pub(crate) fn names(self) -> Vec<String> {
        let users = self.users.into_iter().map(|member| member.user.email);
        let invitees = self.invitees.into_iter().filter_map(|member| {
            let email = Tagged::of(&member.invitee).nested().and_then(Value::as_str);
            email
                .map(str::to_owned)
                .or_else(|| member.user.map(|user| user.email))
        });
        let groups = self.groups.into_iter();
        let groups = groups.map(|member| format!("group {}", member.group.group_name));
        users.chain(invitees).chain(groups).collect()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct AddMembersArg<'a> {
    pub(crate) shared_folder_id: &'a str,
    pub(crate) members: [AddMember<'a>; 1],
    #[serde(skip_serializing_if = "super::is_false")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct AddMember<'a> {
    pub(crate) member: MemberSelector<'a>,
    pub(crate) access_level: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(tag = ".tag", rename_all = "snake_case")]
pub(crate) enum MemberSelector<'a> {
    Email { email: &'a str },
}
