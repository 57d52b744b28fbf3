//! `GET /assets`, `POST /assets/search` and `POST /collections/search`: filter, sort, page, include.
//!
//! All three see the store as it was one index lag ago. What they find is shown as it is now, and what
//! was deleted meanwhile is left out.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Celum;
use super::api::{Call, Reply};
use super::error::{ApiError, Result};
use super::filters::{Filter, Reader, Sort, Subject};
use super::model::{Asset, Collection, FieldValue, Labels, Trail, Values};
use super::query::{SearchOperator, SearchType, TextQuery};
use super::render::{ASSET_PERMISSIONS, COLLECTION_PERMISSIONS, Include, Part, Render};
use super::request::{Id, Page, Query, body, part};
use super::state::{State, name_in};

/// Parameters of `GET /assets`.
pub(super) const LIST_QUERY: &[&str] = &[
    "locale",
    "parentId",
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
    "downloadFormats",
];

/// `GET /assets`.
pub(super) fn list(celum: &Celum, call: &Call) -> Result<Reply> {
    let query = &call.query;
    let page = query.page()?;
    let include = asset_inclusions(query)?;
    let order = listed_order(Sort::Asset, query)?;
    let mut filters = Vec::new();
    let recursive = query.flag("recursive")?;
    let parent = query.id("parentId")?;
    if let Some(text) = text_query(query)? {
        filters.push(Filter::Text(super::filters::TextOf::Everything, text));
    }
    let mut state = celum.state();
    if let Some(parent) = parent {
        if !state.collections.contains_key(&parent) {
            return Err(ApiError::missing(&celum.profile, "Collection", parent));
        }
        filters.push(Filter::Parents {
            ids: vec![parent],
            recursive,
            all: true,
        });
    }
    found_assets(
        celum,
        call,
        &mut state,
        &Filter::All(filters),
        &order,
        page,
        &include,
    )
}

/// `POST /assets/search`.
pub(super) fn search(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut state = celum.state();
    let asked = Asked::read(celum, call, &state, Sort::Asset)?;
    let Asked {
        filter,
        order,
        page,
        include,
    } = asked;
    found_assets(celum, call, &mut state, &filter, &order, page, &include)
}

/// `POST /collections/search`.
pub(super) fn search_collections(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut state = celum.state();
    let asked = Asked::read(celum, call, &state, Sort::Collection)?;
    let now = celum.now();
    state.collection_index.catch_up(now);
    let seen = state.collection_index.seen().values();
    let found = seen.filter(|one| asked.filter.matches(Subject::Collection(one), &state, now));
    let found: Vec<&Arc<Collection>> = found
        .filter_map(|one| state.collections.get(&one.id))
        .collect();
    Reply::ok(collection_page(
        celum,
        call,
        &state,
        found,
        &asked.order,
        asked.page,
        &asked.include,
    ))
}

fn found_assets(
    celum: &Celum,
    call: &Call,
    state: &mut State,
    filter: &Filter,
    order: &[Order],
    page: Page,
    include: &Include,
) -> Result<Reply> {
    let now = celum.now();
    state.index.catch_up(now);
    let state = &*state;
    let seen = state.index.seen().values();
    let hits = seen.filter(|one| filter.matches(Subject::Asset(one), state, now));
    let mut found: Vec<&Arc<Asset>> = hits.filter_map(|one| state.assets.get(&one.id)).collect();
    sort(&mut found, order, |asset, field| field.of_asset(asset));
    let render = Render {
        celum,
        state,
        user: &call.user,
        now,
    };
    Reply::ok(page.envelope(&found, |asset| render.asset(asset, include)))
}

/// One page of collections that were found.
pub(super) fn collection_page(
    celum: &Celum,
    call: &Call,
    state: &State,
    mut found: Vec<&Arc<Collection>>,
    order: &[Order],
    page: Page,
    include: &Include,
) -> Value {
    let locale = &celum.profile.locales[0];
    sort(&mut found, order, |one, field| {
        field.of_collection(one, locale)
    });
    let render = Render {
        celum,
        state,
        user: &call.user,
        now: celum.now(),
    };
    page.envelope(&found, |one| render.collection(one, include))
}

/// What the body of a search asks for.
struct Asked {
    filter: Filter,
    order: Vec<Order>,
    page: Page,
    include: Include,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pagination {
    page: Option<i64>,
    size: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sorting {
    field: String,
    #[serde(default)]
    order: Direction,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Direction {
    #[default]
    Asc,
    Desc,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
enum Inclusion {
    #[serde(alias = "ALL_COLLECTION_INFORMATION_FIELDS")]
    AllAssetInformationFields {},
    #[serde(alias = "COLLECTION_INFORMATION_FIELDS")]
    AssetInformationFields {
        ids: Vec<Id>,
    },
    #[serde(alias = "COLLECTION_INFORMATION_FIELD_PERMISSIONS")]
    AssetInformationFieldPermissions {},
    AllFileProperties {},
    AllExternalReferences {},
    AllDownloadFormats {},
    DownloadFormats {
        ids: Vec<Id>,
    },
    #[serde(alias = "COLLECTION_PERMISSIONS")]
    AssetPermissions {
        permissions: Option<Vec<String>>,
    },
}

impl Asked {
    fn read(celum: &Celum, call: &Call, state: &State, sort: Sort) -> Result<Self> {
        let mut members: Map<String, Value> = body(&call.body)?;
        let mut take = |name| members.remove(name).filter(|value| !value.is_null());
        let filter = take("filter");
        let filter = filter
            .ok_or_else(|| ApiError::argument("filter", "MISSING", "a search needs a filter"))?;
        let sorting: Vec<Sorting> =
            take("sorting").map_or(Ok(Vec::new()), |v| part(v, "sorting"))?;
        let pagination: Option<Pagination> = take("pagination")
            .map(|v| part(v, "pagination"))
            .transpose()?;
        let inclusions: Vec<Inclusion> =
            take("inclusions").map_or(Ok(Vec::new()), |v| part(v, "inclusions"))?;
        if let Some(name) = members.keys().next()
            && !celum.profile.ignore_unknown_search_members
        {
            let message = format!(
                "unknown member {name:?}, expected filter, sorting, pagination or inclusions"
            );
            return Err(ApiError::argument(name.as_str(), "UNKNOWN", message));
        }
        let reader = Reader {
            sort,
            state,
            profile: &celum.profile,
        };
        let pagination = pagination.unwrap_or(Pagination {
            page: None,
            size: None,
        });
        let order = sorting
            .iter()
            .map(|one| Order::new(sort, &one.field, one.order));
        Ok(Asked {
            filter: reader.read(filter)?,
            order: order.collect::<Result<_>>()?,
            page: Page::new(pagination.page, pagination.size)?,
            include: included(sort, inclusions)?,
        })
    }
}

fn included(sort: Sort, inclusions: Vec<Inclusion>) -> Result<Include> {
    let ids = |ids: Vec<Id>| Part::Ids(ids.iter().map(|id| id.0).collect());
    let mut include = Include::default();
    for inclusion in inclusions {
        match inclusion {
            Inclusion::AllAssetInformationFields {} => include.fields = Part::All,
            Inclusion::AssetInformationFields { ids: wanted } => include.fields = ids(wanted),
            Inclusion::AssetInformationFieldPermissions {} => include.field_permissions = true,
            Inclusion::AllFileProperties {} => include.file_properties = true,
            Inclusion::AllExternalReferences {} => include.external_references = true,
            Inclusion::AllDownloadFormats {} => include.formats = Part::All,
            Inclusion::DownloadFormats { ids: wanted } => include.formats = ids(wanted),
            Inclusion::AssetPermissions { permissions } => {
                let all = known_permissions(sort)
                    .iter()
                    .map(|name| (*name).to_owned());
                let wanted = permissions.unwrap_or_else(|| all.collect());
                include.permissions = check_permissions(sort, wanted)?;
            }
        }
    }
    Ok(include)
}

fn known_permissions(sort: Sort) -> &'static [&'static str] {
    match sort {
        Sort::Asset => ASSET_PERMISSIONS,
        Sort::Collection => COLLECTION_PERMISSIONS,
    }
}

fn check_permissions(sort: Sort, wanted: Vec<String>) -> Result<Vec<String>> {
    let known = known_permissions(sort);
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let message = format!("there is no permission {name:?}");
            Err(ApiError::argument("permissions", "UNKNOWN", message))
        }
        None => Ok(wanted),
    }
}

/// The inclusions of a GET of assets. Without any, nothing beyond the basics.
pub(super) fn asset_inclusions(query: &Query) -> Result<Include> {
    let mut include = inclusions(Sort::Asset, query)?;
    if let Some(ids) = query.ids("downloadFormats")? {
        include.formats = Part::Ids(ids);
    }
    Ok(include)
}

/// The inclusions of a GET of collections.
pub(super) fn collection_inclusions(query: &Query) -> Result<Include> {
    inclusions(Sort::Collection, query)
}

fn inclusions(sort: Sort, query: &Query) -> Result<Include> {
    let asset = sort == Sort::Asset;
    let mut include = Include::default();
    for name in query.many("inclusions") {
        match name {
            "informationFields" => include.fields = Part::All,
            "informationFieldPermissions" => include.field_permissions = true,
            "fileProperties" if asset => include.file_properties = true,
            "externalReferences" if asset => include.external_references = true,
            "downloadFormats" if asset => include.formats = Part::All,
            other => {
                let message = format!("there is no inclusion {other:?}");
                return Err(ApiError::argument("inclusions", "UNKNOWN", message));
            }
        }
    }
    if let Some(ids) = query.ids("informationFields")? {
        include.fields = Part::Ids(ids);
    }
    let permissions = query.many("permissions").map(str::to_owned).collect();
    include.permissions = check_permissions(sort, permissions)?;
    Ok(include)
}

/// `searchText` with its two companions, which mean nothing without it.
pub(super) fn text_query(query: &Query) -> Result<Option<TextQuery>> {
    let word = |name: &'static str| -> Result<Option<Value>> {
        Ok(query.one(name)?.map(|text| Value::String(text.to_owned())))
    };
    let kind: SearchType =
        word("searchType")?.map_or(Ok(SearchType::default()), |v| part(v, "searchType"))?;
    let operator: SearchOperator = word("searchOperator")?
        .map_or(Ok(SearchOperator::default()), |v| part(v, "searchOperator"))?;
    let text = query.one("searchText")?;
    text.map(|text| TextQuery::new(text, kind, operator))
        .transpose()
}

/// The `sort` parameters of a GET.
pub(super) fn listed_order(sort: Sort, query: &Query) -> Result<Vec<Order>> {
    let each = query.each("sort").map(|text| {
        let (field, direction) = text.split_once(',').unwrap_or((text, "ASC"));
        let direction = part(Value::String(direction.to_owned()), "sort")?;
        Order::new(sort, field, direction)
    });
    each.collect()
}

/// One criterion of an order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    field: Field,
    direction: Direction,
}

#[derive(Clone, Debug)]
enum Field {
    Id,
    Name,
    Filename,
    Filesize,
    Category,
    Extension,
    CreationDate,
    CreationUser,
    ModificationDate,
    ModificationUser,
    Value(u64, Option<String>),
}

/// What is compared. Nothing comes before something.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Key {
    None,
    Number(i128),
    Fraction(f64),
    Text(String),
}

impl Order {
    fn new(sort: Sort, name: &str, direction: Direction) -> Result<Self> {
        let asset = sort == Sort::Asset;
        let field = match name {
            "id" => Field::Id,
            "name" => Field::Name,
            "creation.date" => Field::CreationDate,
            "creation.userId" => Field::CreationUser,
            "modification.date" => Field::ModificationDate,
            "modification.userId" => Field::ModificationUser,
            "currentVersion.filename" if asset => Field::Filename,
            "currentVersion.filesize" if asset => Field::Filesize,
            "currentVersion.fileCategory" if asset => Field::Category,
            "currentVersion.fileExtension" if asset => Field::Extension,
            _ => {
                let value = name.strip_prefix("informationField.").filter(|_| asset);
                let value = value.and_then(|rest| {
                    let (id, locale) = match rest.split_once('.') {
                        Some((id, locale)) => (id, Some(locale.to_owned())),
                        None => (rest, None),
                    };
                    Some(Field::Value(id.parse().ok().filter(|id| *id > 0)?, locale))
                });
                value.ok_or_else(|| {
                    ApiError::argument("sort", "FIELD", format!("{name:?} cannot be sorted by"))
                })?
            }
        };
        Ok(Order { field, direction })
    }
}

fn sort<T>(found: &mut [&Arc<T>], order: &[Order], key: impl Fn(&T, &Field) -> Key) {
    // What compares equal keeps the order by id in which it was found.
    found.sort_by(|left, right| {
        let each = order.iter().map(|one| {
            let compared = key(left, &one.field).partial_cmp(&key(right, &one.field));
            let compared = compared.unwrap_or(Ordering::Equal);
            match one.direction {
                Direction::Asc => compared,
                Direction::Desc => compared.reverse(),
            }
        });
        each.fold(Ordering::Equal, Ordering::then)
    });
}

fn text_key(text: &str) -> Key {
    Key::Text(text.to_lowercase())
}

fn number_key(number: u64) -> Key {
    Key::Number(number.into())
}

impl Field {
    fn of_asset(&self, asset: &Asset) -> Key {
        let version = asset.current();
        match self {
            Field::Id => number_key(asset.id),
            Field::Name => text_key(&asset.name),
            Field::Filename => text_key(&version.filename),
            Field::Filesize => number_key(version.filesize),
            Field::Category => text_key(version.category.wire()),
            Field::Extension => version
                .extension()
                .map_or(Key::None, |text| text_key(&text)),
            Field::Value(id, locale) => value_key(&asset.values, *id, locale.as_deref()),
            _ => self.of_trails(asset.creation, asset.modification),
        }
    }

    fn of_collection(&self, collection: &Collection, locale: &str) -> Key {
        match self {
            Field::Id => number_key(collection.id),
            Field::Name => text_key(name_in(&collection.names, locale)),
            _ => self.of_trails(collection.creation, collection.modification),
        }
    }

    fn of_trails(&self, creation: Trail, modification: Option<Trail>) -> Key {
        let (trail, date) = match self {
            Field::CreationDate => (Some(creation), true),
            Field::CreationUser => (Some(creation), false),
            Field::ModificationDate => (modification, true),
            Field::ModificationUser => (modification, false),
            _ => (None, false),
        };
        trail.map_or(Key::None, |trail| match date {
            true => Key::Number(trail.date.as_nanosecond()),
            false => number_key(trail.user),
        })
    }
}

fn value_key(values: &Values, id: u64, locale: Option<&str>) -> Key {
    let localized = |texts: &Labels| match locale {
        Some(locale) => texts.get(locale).map_or(Key::None, |text| text_key(text)),
        None => texts
            .values()
            .next()
            .map_or(Key::None, |text| text_key(text)),
    };
    match values.get(&id) {
        None | Some(FieldValue::References(_)) => Key::None,
        Some(FieldValue::Text(text)) => text_key(text),
        Some(FieldValue::Localized(texts)) => localized(texts),
        Some(FieldValue::Number(number) | FieldValue::Dropdown(number)) => {
            Key::Number((*number).into())
        }
        Some(FieldValue::Double(number)) => Key::Fraction(*number),
        Some(FieldValue::Boolean(flag)) => Key::Number((*flag).into()),
        Some(FieldValue::Date(date)) => Key::Number(date.as_nanosecond()),
    }
}
