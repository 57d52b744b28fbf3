//! Secrets by reference: the configuration says where a credential is, never what it is.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use windlass_core::{Error, Kind, Result, Secret};

/// Where a credential is kept: `{ env = "NAME" }` or `{ file = "PATH" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file of its own; white space around it is dropped. Relative to the configuration file.
    File(PathBuf),
}

// By hand, because a derived refusal repeats what it was given, and that may be the secret itself.
impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reference;
        impl<'de> Visitor<'de> for Reference {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference such as { env = \"NAME\" } or { file = \"PATH\" }")
            }

            fn visit_str<E: de::Error>(self, _secret: &str) -> Result<SecretRef, E> {
                Err(E::custom(
                    "a secret is never written here: give a reference such as { env = \"NAME\" } or { file = \"PATH\" }",
                ))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
                let one = |_| de::Error::custom("a reference has one key, env or file");
                let reference = match map.next_key::<String>()?.as_deref() {
                    Some("env") => SecretRef::Env(map.next_value()?),
                    Some("file") => SecretRef::File(map.next_value()?),
                    _ => return Err(one(())),
                };
                match map.next_key::<String>()? {
                    None => Ok(reference),
                    Some(_) => Err(one(())),
                }
            }
        }
        deserializer.deserialize_any(Reference)
    }
}

impl SecretRef {
    /// Reads the credential. `key` names it in messages; `base` is the configuration's folder.
    pub(crate) fn read(&self, key: &str, base: &Path) -> Result<Secret> {
        let text = match self {
            SecretRef::Env(name) => std::env::var(name).map_err(|_| {
                Error::new(
                    Kind::Unauthenticated,
                    format!("{key}: the variable {name} is not set"),
                )
                .with_hint(format!("export {name}=… and try again"))
            })?,
            SecretRef::File(path) => {
                let path = base.join(path);
                std::fs::read_to_string(&path).map_err(|error| {
                    Error::new(
                        Kind::Unauthenticated,
                        format!("{key}: the file cannot be read"),
                    )
                    .with_context("file", path.display())
                    .with_source(error)
                    .with_hint("the file holds nothing but the credential")
                })?
            }
        };
        match text.trim() {
            "" => Err(Error::new(
                Kind::Unauthenticated,
                format!("{key}: the credential is empty"),
            )),
            trimmed => Ok(Secret::new(trimmed)),
        }
    }
}
