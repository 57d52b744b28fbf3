//! Arranging and inspecting what is shared without going over HTTP, also as another person.
//!
//! Other people edit, rename and remove files by [`Dropbox::put_file`] and its siblings.

use jiff::Timestamp;
use serde_json::Value;

use super::super::admin::{AdminError, item, parse, refused};
use super::super::error::summary;
use super::super::state::{Event, Ns};
use super::super::wire::{tag, tagged};
use super::super::{Dropbox, HOME};
use super::members::folded;
use super::{Link, Member};
use crate::blob::lock;

/// A link, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEntry {
    /// Where it leads from.
    pub url: String,
    /// Where what it leads to is now.
    pub path: String,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// `public`, `team` or `no_one`.
    pub audience: String,
}

/// Somebody in a shared folder, besides the account itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// The address, folded.
    pub email: String,
    /// `editor`, `viewer`, …
    pub level: String,
    /// Whether the invitation was accepted.
    pub joined: bool,
}

impl Dropbox {
    /// Shares a folder, or shares it with the account where `level` is not `owner`: `editor` or `viewer`. Its namespace.
    pub fn share_as(&self, path: &str, level: &str) -> Result<u64, AdminError> {
        let shared = self.share_item(HOME, &parse(path)?, level);
        shared.map_err(|error| item(path, error))?;
        self.shared_at(path)
    }

    /// Ends the sharing of a folder; it stays where it is.
    pub fn unshare(&self, path: &str) -> Result<(), AdminError> {
        let ns = self.shared_at(path)?;
        Ok(self.commit(&mut lock(&self.state), vec![Event::Unshared { ns }])?)
    }

    /// Takes the account out of a shared folder, as its owner can: folder and namespace are gone for it.
    pub fn expel(&self, path: &str) -> Result<(), AdminError> {
        self.shared_at(path)?;
        self.remove(path)
    }

    /// Takes a shared folder out of the account's tree; its namespace, for [`Dropbox::mount_again`].
    pub fn unmount(&self, path: &str) -> Result<u64, AdminError> {
        let ns = self.shared_at(path)?;
        self.take_down(&ns.to_string())
            .map_err(|error| item(path, error))?;
        Ok(ns)
    }

    /// Brings a shared folder back to the top of the account's tree.
    pub fn mount_again(&self, namespace: u64) -> Result<(), AdminError> {
        let id = namespace.to_string();
        let mounted = self.mount(HOME, &id);
        mounted.map(drop).map_err(|error| item(&id, error))
    }

    /// Makes somebody a member of a shared folder, with a level such as `editor`.
    pub fn put_member(&self, path: &str, email: &str, level: &str) -> Result<(), AdminError> {
        let (ns, email) = (self.shared_at(path)?, folded(email));
        let member = Some(Member {
            level: level.to_owned(),
            joined: true,
        });
        Ok(self.commit(
            &mut lock(&self.state),
            vec![Event::Member { ns, email, member }],
        )?)
    }

    /// The members of a shared folder, by address.
    pub fn members_of(&self, path: &str) -> Result<Vec<MemberEntry>, AdminError> {
        let ns = self.shared_at(path)?;
        let state = lock(&self.state);
        let members = state.shares.get(&ns).into_iter();
        let members = members.flat_map(|share| &share.members);
        let entries = members.map(|(email, member)| MemberEntry {
            email: email.clone(),
            level: member.level.clone(),
            joined: member.joined,
        });
        Ok(entries.collect())
    }

    /// Refuses to invite an address from now on, with this member of `AddFolderMemberError`: `banned_member`,
    /// `insufficient_plan`, … What carries a value there gets one.
    pub fn refuse_member(&self, email: &str, error: &str) {
        let email = folded(email);
        let value = match error {
            "bad_member" => tagged(error, tagged("invalid_email", email.clone().into())),
            "too_many_members" | "too_many_pending_invites" => tagged(error, Value::from(0)),
            other => tag(other),
        };
        lock(&self.sharing.refused).insert(email, value);
    }

    /// The addresses that invitations were mailed to, in their order.
    pub fn invitation_mails(&self) -> Vec<String> {
        lock(&self.sharing.mails).clone()
    }

    /// Lets another person make a link to an item, which this account cannot revoke; its URL.
    pub fn add_foreign_link(&self, path: &str) -> Result<String, AdminError> {
        let arg = parse(path)?;
        let mut state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let node = state.node(spot.ns, &spot.key());
        let item = node.ok_or_else(|| refused(path, "not_found/"))?.body.id();
        let n = state.number();
        let url = format!(
            "https://www.dropbox.com/s/{}",
            state.ids.secret("foreign", n)
        );
        let link = Link {
            item,
            url: url.clone(),
            expires: None,
            audience: "public".to_owned(),
            password: None,
            allow_download: true,
            can_revoke: false,
        };
        self.commit(&mut state, vec![Event::Linked { n, link }])?;
        Ok(url)
    }

    /// Every link of the account, in the order in which they were made.
    pub fn links(&self) -> Vec<LinkEntry> {
        let state = lock(&self.state);
        let links = state.links.values();
        let entries = links.map(|link| {
            let home = state.homes.get(&link.item);
            let node = home.and_then(|(ns, key)| state.node(*ns, key));
            LinkEntry {
                url: link.url.clone(),
                path: node.map_or_else(String::new, |node| node.display.clone()),
                expires: link.expires,
                audience: link.audience.clone(),
            }
        });
        entries.collect()
    }

    fn shared_at(&self, path: &str) -> Result<Ns, AdminError> {
        let arg = parse(path)?;
        let state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let node = state.node(spot.ns, &spot.key());
        let folder = node.map(|node| node.body.id());
        let mut shares = state.shares.iter();
        let share = shares.find(|(_, share)| Some(share.folder) == folder);
        share
            .map(|(ns, _)| *ns)
            .ok_or_else(|| refused(path, "it is not shared"))
    }
}
