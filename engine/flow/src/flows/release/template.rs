//! Names and folders that are made of what is known about an asset: `{field:client}/{title}.{ext}`.
//!
//! A template is read once, when a flow is set up, so that a variable that there is not is found before anything else.
//! What an asset lacks is found when the asset is planned.

use std::fmt;
use std::str::FromStr;

use windlass_core::{AssetPath, Holding, Value};

/// What templates can name, besides fields.
const VARIABLES: &[&str] = &[
    "title",
    "file",
    "stem",
    "ext",
    "id",
    "version",
    "type",
    "rendition",
    "collection",
];

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(&'static str),
    Field(String),
}

/// What fills the holes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) holding: &'a Holding,
    /// The rendition that is placed, and its extension where that is another one than the original's.
    pub(crate) rendition: Option<&'a str>,
    pub(crate) extension: Option<&'a str>,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, hole)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((name, after)) = hole.split_once('}') else {
                return Err(format!("{text:?}: a '{{' is not closed"));
            };
            parts.push(part(text, name.trim())?);
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("{text:?}: a '}}' closes nothing"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template {
            text: text.to_owned(),
            parts,
        })
    }
}

fn part(text: &str, name: &str) -> Result<Part, String> {
    if let Some(field) = name.strip_prefix("field:") {
        return match field.trim() {
            "" => Err(format!("{text:?}: {{field:}} names no field")),
            field => Ok(Part::Field(field.to_owned())),
        };
    }
    let known = VARIABLES.iter().find(|known| **known == name);
    known.map(|known| Part::Variable(known)).ok_or_else(|| {
        let all = VARIABLES.join("}, {");
        format!("{text:?}: there is no variable {{{name}}}; there is {{{all}}}, and {{field:NAME}}")
    })
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Template {
    /// The fields that it names.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.as_str()),
            Part::Text(_) | Part::Variable(_) => None,
        })
    }

    /// The name of a file. What is not allowed in names becomes `-`.
    pub(crate) fn name(&self, filling: Filling<'_>) -> Result<String, String> {
        let name = self.fill(filling)?.replace(['/', '\\'], "-");
        match name.trim() {
            "" | "." => Err(format!("the template {self} gives it no name")),
            name => Ok(name.to_owned()),
        }
    }

    /// A folder below another one. A `/` in a value makes no folder; a part that is empty is left out.
    pub(crate) fn folder(
        &self,
        root: &AssetPath,
        filling: Filling<'_>,
    ) -> Result<AssetPath, String> {
        let path = self.fill(filling)?;
        let segments = path.split('/').map(str::trim);
        let segments = segments.filter(|segment| !segment.is_empty());
        Ok(segments.fold(root.clone(), |at, segment| at.join(segment)))
    }

    fn fill(&self, filling: Filling<'_>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Variable(name) => filled.push_str(&variable(name, filling).replace('/', "-")),
                Part::Field(field) => {
                    let value = filling.holding.value(field).map(value_text);
                    let value = value.filter(|value| !value.trim().is_empty());
                    let Some(value) = value else {
                        return Err(format!("its field {field:?} is empty, and {self} needs it"));
                    };
                    filled.push_str(&value.replace('/', "-"));
                }
            }
        }
        Ok(filled)
    }
}

fn variable(name: &str, filling: Filling<'_>) -> String {
    let holding = filling.holding;
    let file = holding.asset.path.name();
    let stem = file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    let (stem, extension) = stem.unwrap_or((file, ""));
    match name {
        "title" => without_extension(&holding.title, extension).to_owned(),
        "file" => file.to_owned(),
        "stem" => stem.to_owned(),
        "ext" => filling.extension.unwrap_or(extension).to_owned(),
        "id" => holding.asset.id.to_string(),
        "version" => holding.asset.revision.to_string(),
        "type" => holding.asset_type.clone().unwrap_or_default(),
        "rendition" => filling.rendition.unwrap_or("original").to_owned(),
        _ => holding.asset.path.parent().name().to_owned(),
    }
}

/// Titles that people never changed are file names.
fn without_extension<'a>(title: &'a str, extension: &str) -> &'a str {
    match title.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.eq_ignore_ascii_case(extension) => stem,
        _ => title,
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::LocalizedText(texts) => texts
            .get("en")
            .or_else(|| texts.values().next())
            .cloned()
            .unwrap_or_default(),
        Value::Keywords(entries) | Value::References(entries) => entries.join(", "),
        other => windlass_core::said(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::{Asset, AssetId, Origin, Readable, Revision, Statement, Usable};

    fn holding() -> Holding {
        Holding {
            asset: Asset {
                id: AssetId::new("55"),
                path: AssetPath::new("/Brand/Spring/hero_final.tif"),
                revision: Revision::new("3"),
                size: 1,
                modified: None,
                content_hash: None,
                tags: Vec::new(),
                readable: Readable::Yes,
            },
            title: "Hero.tif".to_owned(),
            asset_type: None,
            usable: Usable::Unstated,
            collections: Vec::new(),
            statements: vec![Statement {
                origin: Origin::Source,
                name: "client".to_owned(),
                value: Value::References(vec!["A/B Motors".to_owned()]),
            }],
            findings: Vec::new(),
            locked: None,
            is_released: true,
            has_file: true,
            changed: None,
        }
    }

    fn filled(template: &str) -> Result<String, String> {
        let held = holding();
        let filling = Filling {
            holding: &held,
            rendition: Some("web"),
            extension: Some("png"),
        };
        let template: Template = template.parse()?;
        let folder = template.folder(&AssetPath::new("/Out"), filling)?;
        Ok(folder.to_string())
    }

    #[test]
    fn holes_are_filled_and_a_slash_in_a_value_makes_no_folder() {
        assert_eq!(
            filled("{field:client}/{title}.{ext}").unwrap(),
            "/Out/A-B Motors/Hero.png"
        );
        assert_eq!(
            filled("{collection}//{stem}-v{version}").unwrap(),
            "/Out/Spring/hero_final-v3"
        );
        assert_eq!(filled("{rendition}/{type}/{id}").unwrap(), "/Out/web/55");
    }

    #[test]
    fn a_variable_that_there_is_not_is_named_with_those_that_there_are() {
        let error = filled("{campaign}").unwrap_err();
        assert!(error.contains("there is no variable {campaign}"), "{error}");
        assert!(error.contains("{field:NAME}"), "{error}");
        assert!(filled("{title").unwrap_err().contains("not closed"));
        assert!(filled("title}").unwrap_err().contains("closes nothing"));
        assert!(filled("{field:}").unwrap_err().contains("names no field"));
    }

    #[test]
    fn what_an_asset_lacks_is_said_with_the_template_that_needs_it() {
        let error = filled("{field:market}/x").unwrap_err();
        assert_eq!(
            error,
            "its field \"market\" is empty, and {field:market}/x needs it"
        );
    }
}
