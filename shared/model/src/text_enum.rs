//! One macro for enums that are a fixed word in JSON, SQL and text.

/// The word is none that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown word {0:?}")]
pub struct UnknownWord(pub String);

/// Declares an enum whose variants are fixed words: serde, `Display`, `FromStr`, `ALL`, and with
/// the feature `sql` a `text` column, with the feature `schema` a string schema.
macro_rules! text_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "sql", derive(sqlx::Type), sqlx(type_name = "text"))]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        $vis enum $name {
            $($(#[$doc])* #[serde(rename = $word)] #[cfg_attr(feature = "sql", sqlx(rename = $word))] $variant,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in JSON and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text_enum::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err($crate::text_enum::UnknownWord(other.to_owned())),
                }
            }
        }
    };
}
pub(crate) use text_enum;
