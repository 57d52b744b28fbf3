//! Tags that users give to files and folders.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::paths::Alias;
use super::state::{Event, Ns, State};
use super::tree::Node;
use super::wire::tag;
use crate::blob::lock;

/// The most tags on one item.
const TAGS_MAX: usize = 20;
/// The most characters in a tag.
const TEXT_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagArg {
    path: String,
    tag_text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetArg {
    paths: Vec<String>,
}

/// A tag as it is stored: 1 to 32 word characters, in lower case.
pub(super) fn normal(text: &str) -> Option<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let fits = (1..=TEXT_MAX).contains(&text.chars().count()) && text.chars().all(word);
    fits.then(|| text.to_lowercase())
}

impl Dropbox {
    /// `files/tags/add`
    pub(super) fn tags_add(&self, call: &Call) -> Result<Value, ApiError> {
        self.tag(call, |node, text| {
            let mut tags = node.tags.clone();
            tags.insert(text);
            match tags.len() {
                ..=TAGS_MAX => Ok(tags),
                _ => Err(ApiError::Endpoint(tag("too_many_tags"))),
            }
        })
    }

    /// `files/tags/remove`
    pub(super) fn tags_remove(&self, call: &Call) -> Result<Value, ApiError> {
        self.tag(call, |node, text| {
            let mut tags = node.tags.clone();
            match tags.remove(&text) {
                true => Ok(tags),
                false => Err(ApiError::Endpoint(tag("tag_not_present"))),
            }
        })
    }

    fn tag(
        &self,
        call: &Call,
        change: impl FnOnce(&Node, String) -> Result<std::collections::BTreeSet<String>, ApiError>,
    ) -> Result<Value, ApiError> {
        let arg: TagArg = call.arg()?;
        let text = normal(&arg.tag_text)
            .ok_or_else(|| call.bad("tag_text: did not match pattern '[\\w]{1,32}'"))?;
        let mut state = lock(&self.state);
        let (ns, node) = self.tagged_item(&state, call, &arg.path)?;
        let event = Event::Tagged {
            ns,
            path: node.display.clone(),
            tags: change(node, text)?,
            listed: self.options.annotations_listed,
        };
        self.commit(&mut state, vec![event])?;
        Ok(Value::Null)
    }

    /// `files/tags/get`
    pub(super) fn tags_get(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: GetArg = call.arg()?;
        let state = lock(&self.state);
        let mut found = Vec::with_capacity(arg.paths.len());
        for path in &arg.paths {
            let (_, node) = self.tagged_item(&state, call, path)?;
            let tags: Vec<Value> = node
                .tags
                .iter()
                .map(|text| json!({".tag": "user_generated_tag", "tag_text": text}))
                .collect();
            found.push(json!({"path": path, "tags": tags}));
        }
        Ok(json!({ "paths_to_tags": found }))
    }

    fn tagged_item<'a>(
        &self,
        state: &'a State,
        call: &Call,
        path: &str,
    ) -> Result<(Ns, &'a Node), ApiError> {
        let path = call.path(path, Alias::Plain)?;
        let spot = self
            .locate(state, call.root, &path)
            .map_err(ApiError::path)?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| ApiError::path(tag("not_found")))?;
        Ok((spot.ns, node))
    }
}
