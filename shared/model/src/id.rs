//! Typed ids: a UUID v7 inside, `prefix_` and 26 characters of Crockford's base 32 outside.
//!
//! Ids sort by creation and say when they were made, so they are names, never secrets.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Crockford's base 32 in lower case (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits hold the 128 bits of a UUID.
const ENCODED_LENGTH: usize = 26;

/// The text is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no id of the form {prefix}_…")]
pub struct InvalidId {
    prefix: &'static str,
    text: String,
}

fn encode(value: u128) -> String {
    (0..ENCODED_LENGTH)
        .rev()
        .map(|i| char::from(ALPHABET[((value >> (i * 5)) & 31) as usize]))
        .collect()
}

fn decode(text: &str) -> Option<u128> {
    // The first character holds only the upper 3 of 128 bits.
    if text.len() != ENCODED_LENGTH || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&known| known == byte)?;
        Some((value << 5) | digit as u128)
    })
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "sql", derive(sqlx::Type), sqlx(transparent))]
        pub struct $name(pub Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, unique and later than all made before on this host.
            #[must_use]
            #[allow(clippy::disallowed_methods, reason = "the one place where ids are made")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0.as_u128()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(|value| Self(Uuid::from_u128(value)))
                    .ok_or_else(|| InvalidId { prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{26}$")))
                    .examples([format!("{}_01hx3zj0q7k8m9n2p4r5s6t7vw", $prefix)])
                    .into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    )+};
}

id! {
    /// An organisation: the owner of projects and keys.
    OrganisationId = "org",
    /// An API key (its name, not its secret).
    ApiKeyId = "key",
    /// A project.
    ProjectId = "prj",
    /// An environment of a project.
    EnvironmentId = "env",
    /// A variable of a project or environment.
    VariableId = "var",
    /// A frozen set of variables.
    VariableSetId = "vst",
    /// A wish: what somebody wants an environment to run.
    WishId = "wsh",
    /// A deployment.
    DeploymentId = "dep",
    /// A build.
    BuildId = "bld",
    /// An image.
    ImageId = "img",
    /// An instance.
    InstanceId = "ins",
    /// A node.
    NodeId = "nod",
    /// A domain.
    DomainId = "dom",
    /// A running edge proxy.
    EdgeId = "edg",
    /// A stored webhook delivery.
    DeliveryId = "whd",
    /// A request, made up where the caller sent none.
    RequestId = "req",
}
