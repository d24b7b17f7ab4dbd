//! Settings: flag before environment before file, typed, all errors reported at once.
//!
//! ```no_run
//! # use zeitwork_runtime::config::*;
//! # fn read() -> Result<(), ConfigError> {
//! let settings = Settings::of_process()?;
//! let address = settings.list::<std::net::SocketAddr>("ZEITWORK_API_ADDRESS");
//! let redis = settings.secret("ZEITWORK_REDIS_URL");
//! settings.finish()?; // every mistake of every setting, together
//! let (address, redis) = (address?, redis?);
//! # Ok(())
//! # }
//! ```
//! A name that is set but empty is a mistake, except for a list, where it means "none"
//! ([`Settings::raw`] tells it from unset). Nothing else in the workspace reads the environment.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

mod names;
mod sources;
#[cfg(test)]
mod tests;

pub use names::{KNOWN, Setting, find};
use sources::{Origin, Value};
pub use sources::{Sources, is_check};

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The stable name, or what was written instead of one.
    pub name: String,
    /// What is wrong and what to do; never the value of a secret.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigError(pub Vec<Mistake>);

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
    let count = if lines.len() == 1 {
        "1 setting is".into()
    } else {
        format!("{} settings are", lines.len())
    };
    format!("{count} wrong:{}", lines.concat())
}

/// The mistake has been noted; [`Settings::finish`] reports it with all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted(Mistake);

impl From<Noted> for ConfigError {
    fn from(noted: Noted) -> Self {
        Self(vec![noted.0])
    }
}

/// The settings of one process. Getters note their mistakes; [`Settings::finish`] reports them.
pub struct Settings {
    values: BTreeMap<&'static str, Value>,
    unknown: Vec<Mistake>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Settings {
    /// A daemon's settings: its arguments (`--api-address …`), its environment, its file.
    ///
    /// # Errors
    /// Arguments that cannot be read at all. All else waits for [`Settings::finish`].
    pub fn of_process() -> Result<Self, ConfigError> {
        Ok(Sources::of_process()?.load())
    }

    /// The text of a setting, or of its default. `Some("")` is set but empty.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        let set = self.values.get(name).map(|value| value.text.as_str());
        set.or_else(|| find(name).and_then(|setting| setting.default))
    }

    /// Was it set by a flag, the environment or the file (also if empty)?
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.values.contains_key(file_name(name).as_str())
    }

    /// The value, else the table's default, else none.
    ///
    /// # Errors
    /// Empty or not readable as a `T`.
    pub fn optional<T>(&self, name: &'static str) -> Result<Option<T>, Noted>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.raw(name) {
            None => Ok(None),
            Some("") => Err(self.note(name, "is set but empty; unset it or give it a value")),
            Some(text) => self.parse(name, text).map(Some),
        }
    }

    /// The value or the table's default.
    ///
    /// # Errors
    /// Neither exists, or the value is empty or not readable as a `T`.
    pub fn required<T>(&self, name: &'static str) -> Result<T, Noted>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.optional(name)?.ok_or_else(|| self.missing(name))
    }

    /// The value, else the table's default, else `default`.
    ///
    /// # Errors
    /// Empty or not readable as a `T`.
    pub fn default<T>(&self, name: &'static str, default: T) -> Result<T, Noted>
    where
        T: FromStr<Err: fmt::Display>,
    {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// A comma-separated list; set but empty, or unset without a default, is no element.
    ///
    /// # Errors
    /// An element that is empty or not readable as a `T`.
    pub fn list<T>(&self, name: &'static str) -> Result<Vec<T>, Noted>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.raw(name) {
            None | Some("") => Ok(Vec::new()),
            Some(text) => text.split(',').map(|item| self.parse(name, item.trim())).collect(),
        }
    }

    /// A secret from the setting itself or from the file that `<name>_FILE` names, without the
    /// line end.
    ///
    /// # Errors
    /// Both are set, the file cannot be read, or the secret is empty.
    pub fn secret(&self, name: &'static str) -> Result<Option<SecretString>, Noted> {
        let direct = self.values.get(name);
        let file = self.values.get(file_name(name).as_str());
        match (direct, file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(self.note(name, &format!("set it or {name}_FILE, not both"))),
            (Some(value), None) => self.not_empty(name, &value.text).map(Some),
            (None, Some(file)) => self.read_secret(name, &file.text).map(Some),
        }
    }

    /// A secret that must be there.
    ///
    /// # Errors
    /// As [`Settings::secret`], or it is not set.
    pub fn required_secret(&self, name: &'static str) -> Result<SecretString, Noted> {
        self.secret(name)?.ok_or_else(|| self.missing(name))
    }

    /// A secret's comma-separated values (two while one replaces the other).
    ///
    /// # Errors
    /// As [`Settings::secret`], or one of the values is empty.
    pub fn secret_list(&self, name: &'static str) -> Result<Vec<SecretString>, Noted> {
        use secrecy::ExposeSecret as _;
        let Some(all) = self.secret(name)? else { return Ok(Vec::new()) };
        all.expose_secret().split(',').map(|item| self.not_empty(name, item.trim())).collect()
    }

    /// The content of the file that the setting names (`ZEITWORK_…_KEY_FILE`).
    ///
    /// # Errors
    /// The file cannot be read or is empty.
    pub fn secret_file(&self, name: &'static str) -> Result<Option<SecretString>, Noted> {
        self.raw(name).map(|path| self.read_secret(name, path)).transpose()
    }

    fn read_secret(&self, name: &'static str, path: &str) -> Result<SecretString, Noted> {
        if path.is_empty() {
            return Err(self.note(name, "its file is set but empty; unset it or give a path"));
        }
        match std::fs::read_to_string(path) {
            Ok(text) => self.not_empty(name, text.trim_end_matches(['\r', '\n'])),
            Err(error) => Err(self.note(name, &format!("file {path}: {error}"))),
        }
    }

    fn not_empty(&self, name: &'static str, text: &str) -> Result<SecretString, Noted> {
        if text.is_empty() {
            return Err(self.note(name, "is set but empty; unset it or give it a value"));
        }
        Ok(SecretString::from(text))
    }

    fn parse<T>(&self, name: &'static str, text: &str) -> Result<T, Noted>
    where
        T: FromStr<Err: fmt::Display>,
    {
        text.parse().map_err(|error| {
            let secret = find(name).is_some_and(|setting| setting.secret);
            let shown = if secret { String::new() } else { format!("{text:?} ") };
            let origin = self.values.get(name).map_or(Origin::Default, |value| value.origin);
            self.note(name, &format!("{shown}({origin}): {error}"))
        })
    }

    fn missing(&self, name: &'static str) -> Noted {
        let help = find(name).map_or("", |setting| setting.help);
        self.note(name, &format!("is not set ({help})"))
    }

    /// Notes a mistake that the caller found (a range, two settings that contradict).
    pub fn note(&self, name: &str, text: &str) -> Noted {
        let mistake = Mistake { name: name.to_owned(), text: text.to_owned() };
        let mut mistakes = self.mistakes.borrow_mut();
        // A setting that is read twice is wrong once.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake.clone());
        }
        Noted(mistake)
    }

    /// Names that look like ours and are not: a warning in the CLI.
    #[must_use]
    pub fn unknown(&self) -> &[Mistake] {
        &self.unknown
    }

    /// Settings that are set and have no effect in this version.
    pub fn unused(&self) -> impl Iterator<Item = &'static str> + '_ {
        names::UNUSED.iter().copied().filter(|name| self.is_set(name))
    }

    /// For daemons, after the last getter and before anything is bound.
    ///
    /// # Errors
    /// All mistakes that were noted, and all unknown names.
    pub fn finish(&self) -> Result<(), ConfigError> {
        let mut all = self.mistakes.borrow().clone();
        all.extend(self.unknown.iter().cloned());
        if all.is_empty() { Ok(()) } else { Err(ConfigError(all)) }
    }

    /// For the CLI: as [`Settings::finish`], but unknown names are left to
    /// [`Settings::unknown`].
    ///
    /// # Errors
    /// All mistakes that were noted.
    pub fn finish_leniently(&self) -> Result<(), ConfigError> {
        let all = self.mistakes.borrow().clone();
        if all.is_empty() { Ok(()) } else { Err(ConfigError(all)) }
    }
}

fn file_name(name: &str) -> String {
    format!("{name}_FILE")
}

/// What every daemon needs.
#[derive(Debug, Clone)]
pub struct Common {
    /// Where state lives.
    pub state_dir: PathBuf,
    /// The database; none means the private PostgreSQL of `zeitwork up`.
    pub database_url: Option<SecretString>,
}

impl Common {
    /// Reads them.
    ///
    /// # Errors
    /// The mistakes noted for them.
    pub fn read(settings: &Settings) -> Result<Self, Noted> {
        let state_dir = settings.required("ZEITWORK_STATE_DIR");
        let database_url = settings.secret("ZEITWORK_DATABASE_URL");
        Ok(Self { state_dir: state_dir?, database_url: database_url? })
    }
}
