//! Tagged unions as Dropbox writes them, decoded so that nothing unknown is an error.
//!
//! A union is a bare string or an object with `.tag`. What a member carries is either nested under the
//! member's own name (another union, a string) or flattened beside the tag (a struct). Members are
//! added over time, so every union here keeps an unknown tag as `Other`.

use std::fmt;

use serde_json::Value;

/// One union on the wire.
#[derive(Clone, Copy)]
pub(crate) struct Tagged<'a> {
    pub(crate) tag: &'a str,
    value: &'a Value,
}

impl<'a> Tagged<'a> {
    /// Reads a union; anything else has the empty tag.
    pub(crate) fn of(value: &'a Value) -> Self {
        let tag = match value {
            Value::String(tag) => tag,
            other => other.get(".tag").and_then(Value::as_str).unwrap_or(""),
        };
        Tagged { tag, value }
    }

    /// What is nested under the member's own name; absent and null are the same.
    pub(crate) fn nested(self) -> Option<&'a Value> {
        self.value.get(self.tag).filter(|inner| !inner.is_null())
    }

    /// A field flattened beside the tag.
    pub(crate) fn field(self, name: &str) -> Option<&'a Value> {
        self.value.get(name).filter(|inner| !inner.is_null())
    }

    /// A struct flattened beside the tag; `None` where it is not one of these.
    pub(crate) fn flattened<T: serde::de::DeserializeOwned>(self) -> Option<T> {
        serde_json::from_value(self.value.clone()).ok()
    }
}

/// A union that decodes whatever arrives.
pub(crate) trait Union: Sized + Send + fmt::Display + fmt::Debug {
    /// Decodes it. Never fails: an unknown tag is kept.
    fn decode(value: &Value) -> Self;
}

/// What a member carries.
pub(crate) trait Carried: Sized {
    /// Reads it from the union it is carried in.
    fn read(tagged: Tagged<'_>) -> Self;
    /// How it continues the tag in a summary: `/conflict/file`, or nothing.
    fn suffix(&self) -> String;
}

impl<U: Union> Carried for U {
    fn read(tagged: Tagged<'_>) -> Self {
        U::decode(tagged.nested().unwrap_or(&Value::Null))
    }

    fn suffix(&self) -> String {
        format!("/{self}")
    }
}

impl Carried for Option<String> {
    fn read(tagged: Tagged<'_>) -> Self {
        Some(tagged.nested()?.as_str()?.to_owned())
    }

    fn suffix(&self) -> String {
        match self {
            Some(text) => format!(" ({text})"),
            None => String::new(),
        }
    }
}

/// Declares a union: its members, their tags, what they carry. `Other` is added.
macro_rules! union {
    ($(#[$doc:meta])* $name:ident { $($tag:literal => $member:ident $(($carried:ty))?),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($member $(($carried))?,)*
            /// A member that did not exist when this was written.
            Other(String),
        }

        impl $crate::union::Union for $name {
            fn decode(value: &serde_json::Value) -> Self {
                let tagged = $crate::union::Tagged::of(value);
                match tagged.tag {
                    $($tag => $name::$member $((<$carried as $crate::union::Carried>::read(tagged)))?,)*
                    other => $name::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($crate::union::union!(@pattern $name $member carried $($carried)?) =>
                        $crate::union::union!(@write f $tag carried $($carried)?),)*
                    $name::Other(tag) => f.write_str(tag),
                }
            }
        }
    };
    (@pattern $name:ident $member:ident $carried:ident) => { $name::$member };
    (@pattern $name:ident $member:ident $carried:ident $type:ty) => { $name::$member($carried) };
    (@write $f:ident $tag:literal $carried:ident) => { $f.write_str($tag) };
    (@write $f:ident $tag:literal $carried:ident $type:ty) => {
        write!($f, "{}{}", $tag, $crate::union::Carried::suffix($carried))
    };
}

pub(crate) use union;
