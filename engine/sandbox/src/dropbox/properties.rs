//! Custom properties: templates of the user, and groups of values on files and folders.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::paths::{Alias, PathArg};
use super::state::{Event, State};
use super::wire::{Union, tag, tagged};
use crate::blob::lock;

const FIELDS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 1024;
/// The service states no number; this one is only a bound.
const TEMPLATES_MAX: usize = 64;

/// Values of one template on one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) template_id: String,
    pub(super) fields: Vec<Field>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

/// Which values an item may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    name: String,
    description: String,
    fields: Vec<TemplateField>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateField {
    name: String,
    description: String,
    #[serde(rename = "type", with = "field_type")]
    kind: (),
}

/// The only type of a field is `string`.
mod field_type {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::dropbox::wire::Union;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the shape serde asks for"
    )]
    pub(super) fn serialize<S: Serializer>((): &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("string")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match Union::deserialize(deserializer)?.tag.as_str() {
            "string" => Ok(()),
            other => Err(de::Error::custom(format!("unknown tag '{other}'"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateId {
    template_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupsArg {
    path: String,
    property_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArg {
    queries: Vec<Query>,
    #[serde(default)]
    template_filter: Option<Union>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    query: String,
    mode: Union,
    #[serde(default)]
    logical_operator: Option<Union>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveArg {
    path: String,
    property_template_ids: Vec<String>,
}

/// Groups as results show them.
pub(super) fn groups_value<'a>(groups: impl Iterator<Item = &'a Group>) -> Value {
    groups.map(|group| json!(group)).collect()
}

/// The templates that `include_property_groups` asks for: `filter_some` and a list.
pub(super) fn filter(call: &Call, union: Option<Union>) -> Result<Option<Vec<String>>, ApiError> {
    let Some(union) = union else {
        return Ok(None);
    };
    let ids = union
        .value
        .and_then(|value| serde_json::from_value(value).ok());
    match (union.tag.as_str(), ids) {
        ("filter_some", Some(ids)) => Ok(Some(ids)),
        (other, _) => Err(call.bad(&format!("include_property_groups: unknown tag '{other}'"))),
    }
}

impl State {
    /// Checks groups that are to be put on an item. The error is an `InvalidPropertyGroupError`.
    pub(super) fn check_groups(&self, groups: &[Group]) -> Result<(), Value> {
        for (index, group) in groups.iter().enumerate() {
            let id = &group.template_id;
            let template = self
                .templates
                .get(id)
                .ok_or_else(|| tagged("template_not_found", id.as_str().into()))?;
            if groups[..index].iter().any(|other| other.template_id == *id) {
                return Err(tag("duplicate_property_groups"));
            }
            for field in &group.fields {
                if field.value.len() > TEXT_BYTES_MAX {
                    return Err(tag("property_field_too_large"));
                }
                if !template.fields.iter().any(|known| known.name == field.name) {
                    return Err(tag("does_not_fit_template"));
                }
            }
        }
        Ok(())
    }
}

impl Dropbox {
    /// Every `file_properties` route.
    pub(super) async fn properties(&self, call: &Call) -> Result<Value, ApiError> {
        match call.route.name.trim_start_matches("file_properties/") {
            "templates/add_for_user" => self.template_add(call),
            "templates/get_for_user" => self.template_get(call),
            "templates/list_for_user" => {
                call.void()?;
                let state = lock(&self.state);
                let ids: Vec<&String> = state.templates.keys().collect();
                Ok(json!({ "template_ids": ids }))
            }
            "templates/remove_for_user" => self.template_remove(call),
            "properties/search" => self.properties_search(call),
            "properties/remove" => {
                let arg: RemoveArg = call.arg()?;
                let path = call.path(&arg.path, Alias::WriteOrId)?;
                let _held = self.hold_for(call, &path, &tag("other")).await?;
                self.properties_remove(call, &path, &arg.property_template_ids)
            }
            _ => {
                let arg: GroupsArg = call.arg()?;
                let path = call.path(&arg.path, Alias::WriteOrId)?;
                let _held = self.hold_for(call, &path, &tag("other")).await?;
                self.properties_put(call, &path, arg.property_groups)
            }
        }
    }

    fn template_add(&self, call: &Call) -> Result<Value, ApiError> {
        let template: Template = call.arg()?;
        let refuse = |name| Err(ApiError::Endpoint(tag(name)));
        let mut names: Vec<&str> = template.fields.iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("conflicting_property_names");
        }
        if template.fields.len() > FIELDS_MAX {
            return refuse("too_many_properties");
        }
        let too_large = |name: &str, description: &str| {
            name.len() > NAME_BYTES_MAX || description.len() > TEXT_BYTES_MAX
        };
        let fields = template.fields.iter();
        if too_large(&template.name, &template.description)
            || fields
                .into_iter()
                .any(|f| too_large(&f.name, &f.description))
        {
            return refuse("template_attribute_too_large");
        }
        let mut state = lock(&self.state);
        if state.templates.len() >= TEMPLATES_MAX {
            return refuse("too_many_templates");
        }
        let n = state.next + 1;
        let id = state.ids.template(n);
        let event = Event::Template {
            id: id.clone(),
            template,
        };
        self.commit(&mut state, vec![event])?;
        Ok(json!({ "template_id": id }))
    }

    fn template_get(&self, call: &Call) -> Result<Value, ApiError> {
        let TemplateId { template_id } = call.arg()?;
        let state = lock(&self.state);
        let template = state.templates.get(&template_id);
        let template = template.ok_or_else(|| no_template(&template_id))?;
        let fields: Vec<Value> = template
            .fields
            .iter()
            .map(|field| {
                json!({
                    "description": field.description, "name": field.name, "type": tag("string"),
                })
            })
            .collect();
        Ok(json!({
            "description": template.description, "fields": fields, "name": template.name,
        }))
    }

    fn template_remove(&self, call: &Call) -> Result<Value, ApiError> {
        let TemplateId { template_id: id } = call.arg()?;
        let mut state = lock(&self.state);
        if !state.templates.contains_key(&id) {
            return Err(no_template(&id));
        }
        self.commit(&mut state, vec![Event::TemplateRemoved { id }])?;
        Ok(Value::Null)
    }

    fn properties_put(
        &self,
        call: &Call,
        path: &PathArg,
        groups: Vec<Group>,
    ) -> Result<Value, ApiError> {
        let overwrite = call.route.name.ends_with("/overwrite");
        if overwrite && groups.is_empty() {
            return Err(call.bad("property_groups: List must have at least 1 items"));
        }
        let mut state = lock(&self.state);
        let spot = self
            .locate(&state, call.root, path)
            .map_err(ApiError::path)?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| ApiError::path(tag("not_found")))?;
        state.check_groups(&groups).map_err(ApiError::Endpoint)?;
        let mut all = node.groups.clone();
        for group in groups {
            let old = all
                .iter()
                .position(|old| old.template_id == group.template_id);
            match old {
                Some(_) if !overwrite => {
                    return Err(ApiError::Endpoint(tag("property_group_already_exists")));
                }
                Some(index) => all[index] = group,
                None => all.push(group),
            }
        }
        let event = Event::Described {
            ns: spot.ns,
            path: node.display.clone(),
            groups: all,
            listed: self.options.annotations_listed,
        };
        self.commit(&mut state, vec![event])?;
        Ok(Value::Null)
    }

    /// Items with just this value of a field. The service may find more, and later; whoever asks looks at what it finds.
    fn properties_search(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: SearchArg = call.arg()?;
        let mut wanted = Vec::with_capacity(arg.queries.len());
        for query in arg.queries {
            let name = query.mode.value.as_ref().and_then(Value::as_str);
            let operator = query.logical_operator.map(|operator| operator.tag);
            match (query.mode.tag.as_str(), name) {
                ("field_name", Some(name)) => wanted.push((name.to_owned(), query.query)),
                (other, _) => return Err(call.bad(&format!("mode: unknown tag '{other}'"))),
            }
            if let Some(other) = operator.filter(|operator| operator != "or_operator") {
                return Err(call.bad(&format!("logical_operator: unknown tag '{other}'")));
            }
        }
        if wanted.is_empty() {
            return Err(call.bad("queries: List must have at least 1 items"));
        }
        let only = match arg.template_filter {
            Some(union) if union.tag == "filter_none" => None,
            union => filter(call, union)?,
        };
        let state = lock(&self.state);
        let missing = only
            .iter()
            .flatten()
            .find(|id| !state.templates.contains_key(*id));
        if let Some(id) = missing {
            return Err(no_template(id));
        }
        let is_wanted = |group: &&Group| {
            let is_ours = only
                .as_ref()
                .is_none_or(|only| only.contains(&group.template_id));
            let has = |(name, value): &(String, String)| {
                let mut fields = group.fields.iter();
                fields.any(|field| field.name == *name && field.value == *value)
            };
            is_ours && wanted.iter().any(has)
        };
        let mut homes: Vec<_> = state.homes.iter().collect();
        homes.sort_unstable();
        let matches: Vec<Value> = homes
            .into_iter()
            .filter_map(|(item, (ns, key))| {
                let node = state.node(*ns, key)?;
                let groups: Vec<&Group> = node.groups.iter().filter(is_wanted).collect();
                (!groups.is_empty()).then(|| {
                    json!({
                        "id": format!("id:{}", state.ids.item(*item)), "path": node.display, "is_deleted": false,
                        "property_groups": groups_value(groups.into_iter()),
                    })
                })
            })
            .collect();
        Ok(json!({ "matches": matches }))
    }

    fn properties_remove(
        &self,
        call: &Call,
        path: &PathArg,
        templates: &[String],
    ) -> Result<Value, ApiError> {
        let mut state = lock(&self.state);
        let spot = self
            .locate(&state, call.root, path)
            .map_err(ApiError::path)?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| ApiError::path(tag("not_found")))?;
        let mut groups = node.groups.clone();
        for id in templates {
            if !state.templates.contains_key(id) {
                return Err(no_template(id));
            }
            let before = groups.len();
            groups.retain(|group| group.template_id != *id);
            if groups.len() == before {
                let error = tagged("property_group_lookup", tag("property_group_not_found"));
                return Err(ApiError::Endpoint(error));
            }
        }
        let event = Event::Described {
            ns: spot.ns,
            path: node.display.clone(),
            groups,
            listed: self.options.annotations_listed,
        };
        self.commit(&mut state, vec![event])?;
        Ok(Value::Null)
    }
}

fn no_template(id: &str) -> ApiError {
    ApiError::Endpoint(tagged("template_not_found", id.into()))
}
