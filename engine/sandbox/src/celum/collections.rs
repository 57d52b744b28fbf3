//! Collections: the tree that assets are placed, classified and tagged in.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::Celum;
use super::api::{Call, Reply};
use super::assets::render;
use super::create::NAME_CHARS_MAX;
use super::error::{ApiError, Fault, Result};
use super::filters::{Filter, Sort, Subject, TextOf};
use super::model::{Collection, Labels, Level, Values};
use super::render::{Include, Part};
use super::request::{Id, body, part};
use super::search::{self, collection_page};
use super::state::{DEPTH_MAX, Event, State};
use super::values::{self, Given, Rules, Style};

/// Parameters of `GET /collections`.
pub(super) const LIST_QUERY: &[&str] = &[
    "locale",
    "parentId",
    "typeId",
    "permissionDefiningOnly",
    "ids",
    "searchText",
    "searchType",
    "searchOperator",
    "recursive",
    "page",
    "size",
    "sort",
    "permissions",
    "inclusions",
    "informationFields",
];

/// Parameters of `GET /collections/{id}`.
pub(super) const GET_QUERY: &[&str] = &[
    "locale",
    "includeCompoundInfo",
    "permissions",
    "inclusions",
    "informationFields",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateCollection {
    name: Labels,
    parent_id: Option<Id>,
    type_id: Option<Id>,
    validation_level: Option<LevelWish>,
    validation_level_inherited: Option<bool>,
    #[serde(default)]
    information_field_values: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateCollection {
    name: Option<Value>,
    parent_id: Option<Value>,
    validation_level: Option<LevelWish>,
    validation_level_inherited: Option<bool>,
    information_field_values: Option<Vec<Given>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum LevelWish {
    Strict,
    Tolerant,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum NameChange {
    Modify {
        #[serde(default)]
        set: Labels,
        #[serde(default)]
        clear: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum ParentChange {
    Set { value: Id },
    Clear {},
}

impl From<LevelWish> for Level {
    fn from(wish: LevelWish) -> Self {
        match wish {
            LevelWish::Strict => Level::Strict,
            LevelWish::Tolerant => Level::Tolerant,
        }
    }
}

impl Celum {
    fn collection_of<'a>(&self, state: &'a State, id: u64) -> Result<&'a Arc<Collection>> {
        let found = state.collections.get(&id);
        found.ok_or_else(|| ApiError::missing(&self.profile, "Collection", id))
    }
}

/// `GET /collections`. Without parent, ids or text: the roots, or everything if recursive. Reads the
/// store as it is, except that a text is looked up in the index.
pub(super) fn list(celum: &Celum, call: &Call) -> Result<Reply> {
    let query = &call.query;
    let page = query.page()?;
    let include = search::collection_inclusions(query)?;
    let order = search::listed_order(Sort::Collection, query)?;
    let (parent, ids, type_id) = (
        query.id("parentId")?,
        query.ids("ids")?,
        query.id("typeId")?,
    );
    let (recursive, only) = (
        query.flag("recursive")?,
        query.flag("permissionDefiningOnly")?,
    );
    let text = search::text_query(query)?.map(|text| Filter::Text(TextOf::Everything, text));
    let mut state = celum.state();
    let now = celum.now();
    state.collection_index.catch_up(now);
    let state: &State = &state;
    if let Some(parent) = parent {
        celum.collection_of(state, parent)?;
    }
    let everywhere = recursive || ids.is_some() || text.is_some();
    let placed = |one: &Collection| match parent {
        Some(parent) if recursive => one.id != parent && state.within(one.id, parent),
        Some(parent) => one.parent == Some(parent),
        None => everywhere || one.parent.is_none(),
    };
    let said = |one: &Collection| {
        let Some(filter) = &text else {
            return true;
        };
        let seen = state.collection_index.seen().get(&one.id);
        seen.is_some_and(|seen| filter.matches(Subject::Collection(seen), state, now))
    };
    let wanted = |one: &&Arc<Collection>| {
        placed(one)
            && ids.as_ref().is_none_or(|ids| ids.contains(&one.id))
            && type_id.is_none_or(|type_id| one.type_id == type_id)
            && (!only || state.permission_defining(one.id))
            && said(one)
    };
    let found: Vec<&Arc<Collection>> = state.collections.values().filter(wanted).collect();
    Reply::ok(collection_page(
        celum, call, state, found, &order, page, &include,
    ))
}

/// `GET /collections/{id}`.
pub(super) fn get(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut include = search::collection_inclusions(&call.query)?;
    if call.query.flag("includeCompoundInfo")? {
        let message = "compound objects are not emulated";
        return Err(ApiError::argument("includeCompoundInfo", "VALUE", message));
    }
    let asked = call.query.each("inclusions").next().is_some()
        || call.query.each("informationFields").next().is_some();
    if !asked {
        include.fields = Part::All;
    }
    let state = celum.state();
    let found = celum.collection_of(&state, call.id(0)?)?;
    Reply::ok(render(celum, &state, call).collection(found, &include))
}

/// `POST /collections`.
pub(super) fn create(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: CreateCollection = body(&call.body)?;
    check_names(celum, &wish.name)?;
    let mut state = celum.state();
    let (type_id, parent) = match (wish.type_id, wish.parent_id) {
        (Some(Id(type_id)), None) => {
            let known = state.collection_type(type_id).is_some();
            known
                .then_some((type_id, None))
                .ok_or_else(|| ApiError::missing(&celum.profile, "CollectionType", type_id))?
        }
        (None, Some(Id(parent))) => {
            let above = celum.collection_of(&state, parent)?;
            check_depth(&state, parent, 1)?;
            (above.type_id, Some(parent))
        }
        _ => {
            let message = "exactly one of typeId (for a root) and parentId is given";
            return Err(ApiError::argument("parentId", "EITHER", message));
        }
    };
    let level = new_level(
        wish.validation_level,
        wish.validation_level_inherited,
        parent.is_some(),
    )?;
    let mut values = Values::new();
    let style = Style::Create {
        lenient: celum.profile.lenient_create_values,
    };
    set_values(
        celum,
        &state,
        type_id,
        &mut values,
        &wish.information_field_values,
        style,
    )?;
    let id = state.next_collection();
    let collection = Box::new(Collection {
        id,
        type_id,
        names: wish.name,
        parent,
        level,
        creation: celum.trail(call),
        modification: None,
        values,
    });
    celum.commit(&mut state, Event::Collection { collection })?;
    let made = celum.collection_of(&state, id)?;
    Reply::created(render(celum, &state, call).collection(made, &whole()))
}

/// `PATCH /collections/{id}`.
pub(super) fn patch(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: UpdateCollection = body(&call.body)?;
    let id = call.id(0)?;
    let mut state = celum.state();
    let mut collection = Collection::clone(celum.collection_of(&state, id)?);
    if let Some(change) = wish.name {
        let NameChange::Modify { set, clear } = part(change, "name")?;
        collection.names.retain(|locale, _| !clear.contains(locale));
        collection.names.extend(set);
        check_names(celum, &collection.names)?;
    }
    if let Some(change) = wish.parent_id {
        relocate(celum, &state, &mut collection, part(change, "parentId")?)?;
    }
    if wish.validation_level.is_some() || wish.validation_level_inherited.is_some() {
        let (level, inherited) = (wish.validation_level, wish.validation_level_inherited);
        collection.level = new_level(level, inherited, collection.parent.is_some())?;
    }
    if let Some(given) = &wish.information_field_values {
        let type_id = collection.type_id;
        set_values(
            celum,
            &state,
            type_id,
            &mut collection.values,
            given,
            Style::Change,
        )?;
    }
    collection.modification = Some(celum.trail(call));
    let collection = Box::new(collection);
    celum.commit(&mut state, Event::Collection { collection })?;
    let made = celum.collection_of(&state, id)?;
    Reply::ok(render(celum, &state, call).collection(made, &whole()))
}

/// `DELETE /collections/{id}`, for empty ones: what happens to content is nobody's promise.
pub(super) fn delete(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    let mut state = celum.state();
    celum.collection_of(&state, id)?;
    let used = state.children(Some(id)).next().is_some()
        || state
            .assets
            .values()
            .any(|asset| asset.parents.contains(&id));
    if used {
        let message = format!("collection {id} is not empty");
        return Err(ApiError::argument("id", "NOT_EMPTY", message));
    }
    celum.commit(&mut state, Event::CollectionRemoved { id })?;
    Ok(Reply::Empty)
}

fn whole() -> Include {
    Include {
        fields: Part::All,
        ..Include::default()
    }
}

fn relocate(
    celum: &Celum,
    state: &State,
    collection: &mut Collection,
    change: ParentChange,
) -> Result<()> {
    collection.parent = match change {
        ParentChange::Clear {} => None,
        ParentChange::Set { value: Id(parent) } => {
            let above = celum.collection_of(state, parent)?;
            if state.within(parent, collection.id) {
                let message = "a collection cannot be moved below itself";
                return Err(ApiError::argument("parentId", "CYCLE", message));
            }
            if above.type_id != collection.type_id {
                let message = "the new parent is of another collection type";
                return Err(ApiError::argument("parentId", "TYPE", message));
            }
            check_depth(state, parent, height(state, collection.id))?;
            Some(parent)
        }
    };
    // A root inherits from nobody, so it keeps what it inherited until now.
    if collection.parent.is_none() && collection.level.is_none() {
        collection.level = Some(state.level(collection.id));
    }
    Ok(())
}

/// What a collection demands: its own word, or None for its parent's.
fn new_level(
    level: Option<LevelWish>,
    inherited: Option<bool>,
    child: bool,
) -> Result<Option<Level>> {
    let refuse = |message| {
        Err(ApiError::argument(
            "validationLevelInherited",
            "VALUE",
            message,
        ))
    };
    match (child, inherited, level) {
        (false, Some(_), _) => refuse("a root inherits from nobody"),
        (false, None, level) => Ok(Some(level.map_or(Level::Strict, Level::from))),
        (true, Some(true) | None, None) => Ok(None),
        (true, Some(true) | None, Some(_)) => refuse(
            "an inherited level excludes validationLevel; say validationLevelInherited: false",
        ),
        (true, Some(false), level) => Ok(Some(level.map_or(Level::Strict, Level::from))),
    }
}

/// Refuses a place below `parent` for something that is itself `height` collections high.
fn check_depth(state: &State, parent: u64, height: usize) -> Result<()> {
    if state.lineage(parent).count() + height > DEPTH_MAX {
        let message = format!("collections nest at most {DEPTH_MAX} deep");
        return Err(ApiError::argument("parentId", "DEPTH", message));
    }
    Ok(())
}

/// How many levels a collection and what is below it make. Bounded by [`DEPTH_MAX`].
fn height(state: &State, id: u64) -> usize {
    let below = state.children(Some(id)).map(|child| height(state, child));
    1 + below.max().unwrap_or(0)
}

fn check_names(celum: &Celum, names: &Labels) -> Result<()> {
    if names.is_empty() {
        return Err(ApiError::argument(
            "name",
            "REQUIRED",
            "a collection has a name",
        ));
    }
    let mut faults = Vec::new();
    for (locale, name) in names {
        let chars = name.chars().count();
        let (code, message) = if !celum.profile.locales.contains(locale) {
            (
                "LOCALE",
                format!("{locale:?} is not one of {:?}", celum.profile.locales),
            )
        } else if name.trim().is_empty() || chars > NAME_CHARS_MAX {
            (
                "LENGTH",
                format!("a name has 1 to {NAME_CHARS_MAX} characters, not {chars}"),
            )
        } else {
            continue;
        };
        faults.push(Fault::LocalizedArgument {
            code,
            message,
            argument: "name".into(),
            locale: locale.clone(),
        });
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(faults))
    }
}

fn set_values(
    celum: &Celum,
    state: &State,
    type_id: u64,
    values: &mut Values,
    given: &[Given],
    style: Style,
) -> Result<()> {
    let rules = Rules {
        state,
        sets: state.collection_sets(type_id),
        locales: &celum.profile.locales,
    };
    let faults = values::apply(&rules, values, given, style, true);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(faults))
    }
}
