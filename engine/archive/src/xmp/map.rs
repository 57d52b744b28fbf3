//! Which fields stand for which properties of XMP.

use std::collections::BTreeMap;

use windlass_core::{Error, Kind, Result, Value};

/// How a property is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One text.
    Text,
    /// `True` or `False`.
    Boolean,
    /// A text in several languages.
    Languages,
    /// A list without order.
    Bag,
    /// A list in order.
    Seq,
}

/// The properties that a field may stand for.
const PROPERTIES: &[(&str, Form)] = &[
    ("dc:title", Form::Languages),
    ("dc:description", Form::Languages),
    ("dc:rights", Form::Languages),
    ("dc:subject", Form::Bag),
    ("dc:creator", Form::Seq),
    ("dc:contributor", Form::Bag),
    ("dc:publisher", Form::Bag),
    ("dc:language", Form::Bag),
    ("dc:identifier", Form::Text),
    ("dc:source", Form::Text),
    ("dc:coverage", Form::Text),
    ("xmp:Label", Form::Text),
    ("xmp:Rating", Form::Text),
    ("xmp:CreateDate", Form::Text),
    ("xmpRights:UsageTerms", Form::Languages),
    ("xmpRights:WebStatement", Form::Text),
    ("xmpRights:Certificate", Form::Text),
    ("xmpRights:Owner", Form::Bag),
    ("xmpRights:Marked", Form::Boolean),
    ("photoshop:Instructions", Form::Text),
    ("photoshop:Headline", Form::Text),
    ("photoshop:Credit", Form::Text),
    ("photoshop:Source", Form::Text),
    ("photoshop:City", Form::Text),
    ("photoshop:State", Form::Text),
    ("photoshop:Country", Form::Text),
    ("photoshop:DateCreated", Form::Text),
    ("photoshop:TransmissionReference", Form::Text),
    ("photoshop:AuthorsPosition", Form::Text),
    ("photoshop:CaptionWriter", Form::Text),
    ("Iptc4xmpCore:Location", Form::Text),
    ("Iptc4xmpCore:CountryCode", Form::Text),
    ("Iptc4xmpCore:SubjectCode", Form::Bag),
    ("Iptc4xmpExt:Event", Form::Languages),
    ("Iptc4xmpExt:PersonInImage", Form::Bag),
];

/// What fields of these names stand for unless the operator says something else. Case, blanks and punctuation of field
/// names count nothing.
const DEFAULTS: &[(&str, &str)] = &[
    ("description", "dc:description"),
    ("caption", "dc:description"),
    ("keywords", "dc:subject"),
    ("keyword", "dc:subject"),
    ("tags", "dc:subject"),
    ("rights", "dc:rights"),
    ("copyright", "dc:rights"),
    ("copyrightnotice", "dc:rights"),
    ("usageterms", "xmpRights:UsageTerms"),
    ("usagerights", "xmpRights:UsageTerms"),
    ("licence", "xmpRights:UsageTerms"),
    ("license", "xmpRights:UsageTerms"),
    ("licenceurl", "xmpRights:WebStatement"),
    ("licenseurl", "xmpRights:WebStatement"),
    ("rightsholder", "xmpRights:Owner"),
    ("rightsowner", "xmpRights:Owner"),
    ("creator", "dc:creator"),
    ("author", "dc:creator"),
    ("photographer", "dc:creator"),
    ("publisher", "dc:publisher"),
    ("language", "dc:language"),
    ("languages", "dc:language"),
    ("rating", "xmp:Rating"),
    ("instructions", "photoshop:Instructions"),
    ("usagenotes", "photoshop:Instructions"),
    ("headline", "photoshop:Headline"),
    ("credit", "photoshop:Credit"),
    ("creditline", "photoshop:Credit"),
    ("city", "photoshop:City"),
    ("state", "photoshop:State"),
    ("country", "photoshop:Country"),
    ("datecreated", "photoshop:DateCreated"),
    ("creationdate", "photoshop:DateCreated"),
    ("jobid", "photoshop:TransmissionReference"),
    ("jobnumber", "photoshop:TransmissionReference"),
    ("countrycode", "Iptc4xmpCore:CountryCode"),
    ("location", "Iptc4xmpCore:Location"),
    ("event", "Iptc4xmpExt:Event"),
    ("personsshown", "Iptc4xmpExt:PersonInImage"),
];

/// Which fields stand for which properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmpMap {
    /// What was said by name, in front of the defaults; `None` says that a field stands for nothing.
    named: BTreeMap<String, Option<&'static str>>,
}

impl XmpMap {
    /// The defaults, and what the operator says in front of them: the property of each field, by technical name. An empty
    /// text says that a field stands for no property.
    ///
    /// Errors: `Config` for a property that is not known.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut named = BTreeMap::new();
        for (field, property) in fields {
            let known = PROPERTIES.iter().find(|(name, _)| *name == property);
            let stands_for = match known {
                Some((name, _)) => Some(*name),
                None if property.is_empty() => None,
                None => return Err(unknown(field, property)),
            };
            named.insert(field.to_owned(), stands_for);
        }
        Ok(XmpMap { named })
    }

    /// The property that a field stands for.
    pub fn property(&self, field: &str) -> Option<&'static str> {
        if let Some(said) = self.named.get(field) {
            return *said;
        }
        let folded: String = (field.chars().filter(|c| c.is_alphanumeric()))
            .flat_map(char::to_lowercase)
            .collect();
        let found = DEFAULTS.iter().find(|(name, _)| *name == folded)?;
        Some(found.1)
    }

    /// The values of each property, those of fields that were named first.
    pub(super) fn properties<'a>(
        &self,
        fields: &'a BTreeMap<String, Value>,
    ) -> BTreeMap<&'static str, Vec<&'a Value>> {
        let mut properties: BTreeMap<&'static str, Vec<&Value>> = BTreeMap::new();
        let is_named = |field: &String| self.named.contains_key(field);
        let named = fields.iter().filter(|(field, _)| is_named(field));
        let others = fields.iter().filter(|(field, _)| !is_named(field));
        for (field, value) in named.chain(others) {
            if let Some(property) = self.property(field) {
                properties.entry(property).or_default().push(value);
            }
        }
        properties
    }
}

/// How a property that is known is written.
pub(super) fn form_of(property: &str) -> Form {
    let found = PROPERTIES.iter().find(|(name, _)| *name == property);
    found.map_or(Form::Text, |(_, form)| *form)
}

/// A value as texts.
pub(super) fn property_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.clone()],
        Value::LocalizedText(texts) => texts.values().cloned().collect(),
        Value::Number(number) => vec![number.to_string()],
        Value::Decimal(number) => vec![number.to_string()],
        Value::Date(date) => vec![date.to_string()],
        Value::Boolean(yes) => vec![yes.to_string()],
        Value::Keywords(entries) | Value::References(entries) => entries.clone(),
    }
}

fn unknown(field: &str, property: &str) -> Error {
    let known: Vec<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
    Error::new(
        Kind::Config,
        format!("the field {field:?} cannot stand for {property:?} in XMP"),
    )
    .with_hint(format!("take one of {}", known.join(", ")))
}
