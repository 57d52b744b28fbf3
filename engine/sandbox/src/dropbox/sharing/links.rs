//! Links: made with settings, listed, changed, revoked, followed.

use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Dropbox;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::meta::{Spot, Target};
use super::super::paths::{self, Alias, Parts};
use super::super::read::readable;
use super::super::state::{Event, Ns, State};
use super::super::tree::Body;
use super::super::wire::{Union, tag, tagged, timestamp, with_tag};
use super::{Link, after_cursor, cursor_after};
use crate::blob::lock;

/// What every link begins with.
const HOST: &str = "https://www.dropbox.com/";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    require_password: Option<bool>,
    link_password: Option<String>,
    expires: Option<String>,
    audience: Option<Union>,
    access: Option<Union>,
    allow_download: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArg {
    path: String,
    settings: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModifyArg {
    url: String,
    settings: Settings,
    #[serde(default)]
    remove_expiration: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArg {
    path: Option<String>,
    cursor: Option<String>,
    #[serde(default)]
    direct_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArg {
    url: String,
    path: Option<String>,
    link_password: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlArg {
    url: String,
}

fn refused(why: &str) -> ApiError {
    ApiError::Endpoint(tag(why))
}

fn settings_error(why: &str) -> ApiError {
    ApiError::Endpoint(tagged("settings_error", tag(why)))
}

impl State {
    fn link(&self, url: &str) -> Result<(u64, &Link), ApiError> {
        let mut links = self.links.iter();
        let found = links.find(|(_, link)| link.url == url);
        found
            .map(|(n, link)| (*n, link))
            .ok_or_else(|| refused("shared_link_not_found"))
    }

    /// Where the item of a link is.
    fn linked(&self, link: &Link) -> Option<(Ns, String)> {
        self.homes.get(&link.item).cloned()
    }
}

impl Dropbox {
    /// `sharing/create_shared_link_with_settings`
    pub(super) fn create_shared_link(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: CreateArg = call.arg()?;
        let path = call.path(&arg.path, Alias::Read)?;
        let mut state = lock(&self.state);
        let target = self.locate_read(&state, call.root, &path);
        let Target::Spot(spot) = target.map_err(ApiError::path)? else {
            return Err(ApiError::path(tag("not_file")));
        };
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| ApiError::path(tag("not_found")))?;
        let (item, name) = (node.body.id(), paths::name(&node.display).to_owned());
        let there = state.links.values().find(|link| link.item == item);
        if let Some(link) = there {
            return Err(self.already(&state, call, link));
        }
        let n = state.number();
        let secret = state.ids.secret("link", n);
        let blank = Link {
            item,
            url: format!(
                "{HOST}scl/fi/{}/{}?rlkey={}&dl=0",
                &secret[..21],
                encoded(&name),
                &secret[21..]
            ),
            expires: None,
            audience: "public".to_owned(),
            password: None,
            allow_download: true,
            can_revoke: true,
        };
        let link = self.set(call, blank, arg.settings.unwrap_or_default())?;
        let shown = self.show(&state, call.root, &link);
        self.commit(&mut state, vec![Event::Linked { n, link }])?;
        Ok(shown)
    }

    fn already(&self, state: &State, call: &Call, link: &Link) -> ApiError {
        let metadata = match call.wants("bare-error") {
            true => Value::Null,
            false => tagged("metadata", self.show(state, call.root, link)),
        };
        ApiError::Endpoint(match metadata {
            Value::Null => tag("shared_link_already_exists"),
            metadata => tagged("shared_link_already_exists", metadata),
        })
    }

    /// A link with other settings, if they make sense and the plan has them.
    fn set(&self, call: &Call, link: Link, settings: Settings) -> Result<Link, ApiError> {
        let mut link = link;
        let basic = self.options.basic_plan;
        if let Some(access) = settings.access
            && !matches!(access.tag.as_str(), "viewer" | "default" | "max")
        {
            return Err(call.bad("settings: access: this emulator has links to view only"));
        }
        if let Some(expires) = settings.expires {
            let at: Option<Timestamp> = expires.parse().ok();
            let at = at.filter(|at| timestamp(*at) == expires);
            let at = at.ok_or_else(|| {
                call.bad("settings: expires: time data does not match format '%Y-%m-%dT%H:%M:%SZ'")
            })?;
            if basic {
                return Err(settings_error("not_authorized"));
            }
            if at <= self.options.clock.now() {
                return Err(settings_error("invalid_settings"));
            }
            link.expires = Some(at);
        }
        match (settings.require_password, settings.link_password) {
            (Some(true), None) => return Err(settings_error("invalid_settings")),
            (Some(true), Some(_)) if basic => return Err(settings_error("not_authorized")),
            (Some(true), password) => link.password = password,
            (Some(false), None) => link.password = None,
            (None, None) => {}
            (_, Some(_)) => return Err(settings_error("invalid_settings")),
        }
        if let Some(audience) = settings.audience {
            let is_public = audience.tag == "public";
            if !matches!(audience.tag.as_str(), "public" | "team" | "no_one") {
                return Err(call.bad(&format!(
                    "settings: audience: unknown tag '{}'",
                    audience.tag
                )));
            }
            let lacks_team = audience.tag == "team" && self.options.team_home.is_none();
            if lacks_team || (basic && !is_public) {
                return Err(settings_error("not_authorized"));
            }
            link.audience = audience.tag;
        }
        link.allow_download = settings.allow_download.unwrap_or(link.allow_download);
        Ok(link)
    }

    /// `SharedLinkMetadata`.
    fn show(&self, state: &State, root: Ns, link: &Link) -> Value {
        let place = state.linked(link);
        let node = place.and_then(|(ns, key)| Some((ns, state.node(ns, &key)?)));
        let Some((ns, node)) = node else {
            return Value::Null;
        };
        let (subtype, all) = match &node.body {
            Body::Folder { .. } => ("folder", state.folder(root, ns, node, &None)),
            Body::File { rev, .. } => (
                "file",
                state.file_metadata(root, ns, *rev, Some(node), &None),
            ),
        };
        let shared = [
            "client_modified",
            "id",
            "name",
            "path_lower",
            "rev",
            "server_modified",
            "size",
        ];
        let mut members: Map<String, Value> = all
            .into_iter()
            .filter(|(name, _)| shared.contains(&name.as_str()))
            .collect();
        members.insert("url".into(), link.url.clone().into());
        members.insert("link_permissions".into(), self.permissions(link));
        if let Some(expires) = link.expires {
            members.insert("expires".into(), timestamp(expires).into());
        }
        with_tag(subtype, members)
    }

    fn permissions(&self, link: &Link) -> Value {
        let visibility = match (link.audience.as_str(), &link.password) {
            ("team", None) => "team_only",
            ("team", Some(_)) => "team_and_password",
            ("no_one", _) => "no_one",
            (_, Some(_)) => "password",
            _ => "public",
        };
        json!({
            "allow_comments": true,
            "allow_download": link.allow_download,
            "can_allow_download": true,
            "can_disallow_download": true,
            "can_remove_expiry": !self.options.basic_plan,
            "can_revoke": link.can_revoke,
            "can_set_expiry": !self.options.basic_plan,
            "effective_audience": tag(&link.audience),
            "link_access_level": tag("viewer"),
            "require_password": link.password.is_some(),
            "resolved_visibility": tag(visibility),
            "team_restricts_comments": false,
            "visibility_policies": [],
        })
    }

    /// `sharing/list_shared_links`
    pub(super) fn list_shared_links(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ListArg = call.arg()?;
        let state = lock(&self.state);
        let after: u64 = match &arg.cursor {
            None => 0,
            Some(cursor) => after_cursor(&state, cursor)
                .and_then(|after| after.parse().ok())
                .ok_or_else(|| refused("reset"))?,
        };
        let wanted = match &arg.path {
            None => None,
            Some(path) => {
                let path = call.path(path, Alias::Read)?;
                let target = self.locate_read(&state, call.root, &path);
                let Target::Spot(spot) = target.map_err(ApiError::path)? else {
                    return Err(ApiError::path(tag("not_file")));
                };
                if state.node(spot.ns, &spot.key()).is_none() {
                    return Err(ApiError::path(tag("not_found")));
                }
                Some(spot)
            }
        };
        let is_wanted = |link: &Link| match (&wanted, state.linked(link)) {
            (None, _) => true,
            (Some(spot), Some((ns, key))) if arg.direct_only => ns == spot.ns && key == spot.key(),
            (Some(spot), Some((ns, key))) => ns == spot.ns && paths::within(&spot.key(), &key),
            (Some(_), None) => false,
        };
        let mut rest = state
            .links
            .range(after + 1..)
            .filter(|(_, link)| is_wanted(link));
        let page: Vec<_> = rest
            .by_ref()
            .take(self.options.page_entries.max(1))
            .collect();
        let has_more = rest.next().is_some();
        let links: Vec<Value> = page
            .iter()
            .map(|(_, link)| self.show(&state, call.root, link))
            .collect();
        let mut answer = json!({ "has_more": has_more, "links": links });
        if let Some((last, _)) = page.last().filter(|_| has_more) {
            answer["cursor"] = cursor_after(&state, &last.to_string()).into();
        }
        Ok(answer)
    }

    /// `sharing/modify_shared_link_settings`
    pub(super) fn modify_shared_link(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ModifyArg = call.arg()?;
        let mut state = lock(&self.state);
        let (n, link) = state.link(&arg.url)?;
        if !link.can_revoke {
            return Err(refused("shared_link_access_denied"));
        }
        if arg.remove_expiration && arg.settings.expires.is_some() {
            return Err(settings_error("invalid_settings"));
        }
        let mut link = self.set(call, link.clone(), arg.settings)?;
        if arg.remove_expiration {
            link.expires = None;
        }
        let shown = self.show(&state, call.root, &link);
        self.commit(&mut state, vec![Event::Linked { n, link }])?;
        Ok(shown)
    }

    /// `sharing/revoke_shared_link`
    pub(super) fn revoke_shared_link(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: UrlArg = call.arg()?;
        if !arg.url.starts_with(HOST) {
            return Err(refused("shared_link_malformed"));
        }
        let mut state = lock(&self.state);
        let (n, link) = state.link(&arg.url)?;
        if !link.can_revoke {
            return Err(refused("shared_link_access_denied"));
        }
        self.commit(&mut state, vec![Event::LinkGone { n }])?;
        Ok(Value::Null)
    }

    /// `sharing/get_shared_link_metadata`
    pub(super) fn get_shared_link_metadata(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: GetArg = call.arg()?;
        let state = lock(&self.state);
        let (link, _) = self.follow(&state, call, &arg)?;
        Ok(self.show(&state, call.root, &link))
    }

    /// `sharing/get_shared_link_file`
    pub(in super::super) fn get_shared_link_file(&self, call: &Call) -> Result<Response, ApiError> {
        let arg: GetArg = call.arg()?;
        let content = {
            let state = lock(&self.state);
            let (link, spot) = self.follow(&state, call, &arg)?;
            if !link.allow_download {
                return Err(refused("shared_link_access_denied"));
            }
            let content = readable(&state, call.root, &Target::Spot(spot));
            // What is there is a folder, or may not be read by anybody.
            let mut content = content.map_err(|error| match error[".tag"].as_str() {
                Some("not_file") => refused("shared_link_is_directory"),
                _ => refused("shared_link_access_denied"),
            })?;
            if let Value::Object(shown) = self.show(&state, call.root, &link) {
                content.metadata = shown;
            }
            content
        };
        self.send(call, content)
    }

    /// The link of a URL as somebody follows it, and where it leads. One for what is in a folder speaks of that item.
    fn follow(&self, state: &State, call: &Call, arg: &GetArg) -> Result<(Link, Spot), ApiError> {
        let (_, link) = state.link(&arg.url)?;
        let has_ended = link
            .expires
            .is_some_and(|at| at <= self.options.clock.now());
        let is_locked = link.password.is_some() && link.password != arg.link_password;
        if has_ended || is_locked || link.audience == "no_one" {
            return Err(refused("shared_link_access_denied"));
        }
        let missing = || refused("shared_link_not_found");
        let (ns, key) = state.linked(link).ok_or_else(missing)?;
        let display = state.node(ns, &key).map(|node| node.display.clone());
        let below = arg.path.as_deref().unwrap_or_default();
        if !below.is_empty() && !below.starts_with('/') {
            return Err(call.bad("path: Value must begin with a slash"));
        }
        let whole = format!("{}{below}", display.ok_or_else(missing)?);
        let parts = Parts::of(&whole, self.options.emoji_names).map_err(|_| missing())?;
        let spot = Spot { ns, parts };
        let node = state.node(ns, &spot.key()).ok_or_else(missing)?;
        let link = Link {
            item: node.body.id(),
            ..link.clone()
        };
        Ok((link, spot))
    }
}

/// A name as it stands in a URL.
fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}
