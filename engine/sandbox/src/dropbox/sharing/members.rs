//! Who is a member of a shared folder.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Dropbox;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::paths;
use super::super::state::{Event, Ns, State};
use super::super::wire::{Union, tag, tagged};
use super::{Member, Share, after_cursor, cursor_after};
use crate::blob::lock;

/// The most entries of a page.
const LIMIT_MAX: usize = 1000;

/// The address of the account itself.
const OWN: &str = "sandbox@example.com";
/// The address of whoever owns a folder that others shared with the account.
const OTHER: &str = "partner@example.org";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddArg {
    shared_folder_id: String,
    members: Vec<AddMember>,
    #[serde(default)]
    quiet: bool,
    #[serde(default, rename = "custom_message")]
    _message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddMember {
    member: Union,
    access_level: Option<Union>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateArg {
    shared_folder_id: String,
    member: Union,
    access_level: Union,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveArg {
    shared_folder_id: String,
    member: Union,
    #[serde(rename = "leave_a_copy")]
    _leave_a_copy: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArg {
    shared_folder_id: String,
    #[serde(default = "most")]
    limit: usize,
    #[serde(default, rename = "actions")]
    _actions: Option<Vec<Union>>,
}

fn most() -> usize {
    LIMIT_MAX
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorArg {
    cursor: String,
}

/// An address as members are kept under it.
pub(super) fn folded(email: &str) -> String {
    paths::fold(email)
}

fn access(error: Value) -> ApiError {
    ApiError::Endpoint(tagged("access_error", error))
}

impl State {
    /// A shared folder that is in the account's tree. The error is a `SharedFolderAccessError`.
    fn mounted(&self, id: &str) -> Result<(Ns, &Share), Value> {
        let (ns, share) = self.share(id)?;
        match self.is_mounted(ns, share) {
            true => Ok((ns, share)),
            false => Err(tag("unmounted")),
        }
    }

    fn user(&self, email: &str, level: &str) -> Value {
        let account = match email {
            OWN => self.ids.account(),
            other => format!("dbid:{}", &self.ids.secret(other, 0)[..35]),
        };
        json!({
            "access_type": tag(level), "is_inherited": false,
            "user": {
                "account_id": account, "display_name": email, "email": email, "same_team": false,
            },
        })
    }

    /// All members of a folder by address: whether they joined, and how the listing shows them.
    fn memberships(&self, share: &Share) -> Vec<(String, bool, Value)> {
        let mut all = vec![(OWN.to_owned(), true, self.user(OWN, &share.level))];
        if share.level != "owner" {
            all.push((OTHER.to_owned(), true, self.user(OTHER, "owner")));
        }
        for (email, member) in &share.members {
            let shown = match member.joined {
                true => self.user(email, &member.level),
                false => json!({
                    "access_type": tag(&member.level), "invitee": tagged("email", email.clone().into()),
                    "is_inherited": false,
                }),
            };
            all.push((email.clone(), member.joined, shown));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

impl Dropbox {
    /// `sharing/list_folder_members`
    pub(super) fn list_folder_members(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ListArg = call.arg()?;
        if !(1..=LIMIT_MAX).contains(&arg.limit) {
            return Err(call.bad("limit: must be from 1 to 1000"));
        }
        self.members_after(&arg.shared_folder_id, "", arg.limit)
            .map_err(ApiError::Endpoint)
    }

    /// The same, from a cursor on.
    pub(super) fn list_folder_members_continue(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: CursorArg = call.arg()?;
        let after = after_cursor(&lock(&self.state), &arg.cursor);
        let mut words = after.iter().flat_map(|after| after.splitn(3, ' '));
        let limit = words.next().and_then(|limit| limit.parse().ok());
        let (Some(limit), Some(id), Some(email)) = (limit, words.next(), words.next()) else {
            return Err(ApiError::Endpoint(tag("invalid_cursor")));
        };
        self.members_after(id, email, limit).map_err(access)
    }

    fn members_after(&self, id: &str, after: &str, limit: usize) -> Result<Value, Value> {
        let state = lock(&self.state);
        let (_, share) = state.mounted(id)?;
        let all = state.memberships(share).into_iter();
        let mut rest = all.filter(|(email, ..)| email.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and_then(|_| page.last());
        let cursor = next.map(|(email, ..)| cursor_after(&state, &format!("{limit} {id} {email}")));
        let (users, invitees): (Vec<_>, Vec<_>) =
            page.into_iter().partition(|(_, joined, _)| *joined);
        let shown = |list: Vec<(String, bool, Value)>| {
            let list = list.into_iter().map(|(.., shown)| shown);
            list.collect::<Vec<_>>()
        };
        let mut answer = json!({
            "groups": [], "invitees": shown(invitees), "users": shown(users),
        });
        if let Some(cursor) = cursor {
            answer["cursor"] = cursor.into();
        }
        Ok(answer)
    }

    /// `sharing/add_folder_member`: all of them or none.
    pub(super) fn add_folder_member(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: AddArg = call.arg()?;
        let mut state = lock(&self.state);
        let (ns, share) = state.mounted(&arg.shared_folder_id).map_err(access)?;
        if share.is_read_only() {
            return Err(ApiError::Endpoint(tag("no_permission")));
        }
        let mut events = Vec::new();
        let mut mails = Vec::new();
        for wanted in arg.members {
            let level = wanted
                .access_level
                .map_or_else(|| "viewer".to_owned(), |level| level.tag);
            check_level(call, &level)?;
            let email = self.address(call, &wanted.member)?;
            if email == OWN || share.members.contains_key(&email) {
                continue;
            }
            mails.push(email.clone());
            let member = Some(Member {
                level,
                joined: false,
            });
            events.push(Event::Member { ns, email, member });
        }
        self.commit(&mut state, events)?;
        if !arg.quiet {
            lock(&self.sharing.mails).extend(mails);
        }
        Ok(Value::Null)
    }

    /// The address of somebody who is to be a member, if he may.
    fn address(&self, call: &Call, member: &Union) -> Result<String, ApiError> {
        let (tag, Some(Value::String(name))) = (member.tag.as_str(), &member.value) else {
            return Err(call.bad("member: expected email or dropbox_id with its value"));
        };
        let bad = |why: &str| {
            let inner = tagged(why, name.clone().into());
            Err(ApiError::Endpoint(tagged("bad_member", inner)))
        };
        match tag {
            // Nobody here is known by id but the account itself.
            "dropbox_id" => bad("invalid_dropbox_id"),
            "email" if !name.contains('@') => bad("invalid_email"),
            "email" => {
                let email = folded(name);
                match lock(&self.sharing.refused).get(&email) {
                    Some(error) => Err(ApiError::Endpoint(error.clone())),
                    None => Ok(email),
                }
            }
            other => Err(call.bad(&format!("member: unknown tag '{other}'"))),
        }
    }

    /// `sharing/update_folder_member`
    pub(super) fn update_folder_member(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: UpdateArg = call.arg()?;
        check_level(call, &arg.access_level.tag)?;
        let mut state = lock(&self.state);
        let (ns, share) = state.mounted(&arg.shared_folder_id).map_err(access)?;
        let (email, member) = known(call, share, &arg.member)?;
        let level = arg.access_level.tag;
        let member = Some(Member {
            level: level.clone(),
            ..member
        });
        self.commit(&mut state, vec![Event::Member { ns, email, member }])?;
        Ok(json!({ "access_level": tag(&level) }))
    }

    /// `sharing/remove_folder_member`
    pub(super) fn remove_folder_member(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: RemoveArg = call.arg()?;
        let mut state = lock(&self.state);
        let (ns, share) = state.mounted(&arg.shared_folder_id).map_err(access)?;
        let (email, _) = known(call, share, &arg.member)?;
        let gone = Event::Member {
            ns,
            email,
            member: None,
        };
        self.commit(&mut state, vec![gone])?;
        Ok(self.start_job(tag("complete")))
    }
}

fn check_level(call: &Call, level: &str) -> Result<(), ApiError> {
    match level {
        "editor" | "viewer" | "viewer_no_comment" => Ok(()),
        other => Err(call.bad(&format!("access_level: '{other}' cannot be given"))),
    }
}

/// Somebody who is a member already.
fn known(call: &Call, share: &Share, member: &Union) -> Result<(String, Member), ApiError> {
    let (tag_name, Some(Value::String(name))) = (member.tag.as_str(), &member.value) else {
        return Err(call.bad("member: expected email or dropbox_id with its value"));
    };
    if tag_name != "email" {
        let error = tagged("member_error", tag("invalid_dropbox_id"));
        return Err(ApiError::Endpoint(error));
    }
    let email = folded(name);
    if email == OWN {
        return Err(ApiError::Endpoint(tag("folder_owner")));
    }
    match share.members.get(&email) {
        Some(member) => Ok((email, member.clone())),
        None => Err(ApiError::Endpoint(tagged(
            "member_error",
            tag("not_a_member"),
        ))),
    }
}
