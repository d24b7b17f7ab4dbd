//! Where settings come from: arguments, environment, file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::names::{closest, find_with_file, is_made_by_a_link};
use super::{ConfigError, KNOWN, Mistake, Settings};

/// What a setting was given by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// A setting as it was given. No `Debug`: it may be a secret.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Whether this daemon was started with `check`: it says what is wrong with its settings, and ends.
#[must_use]
pub fn is_check() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == "check")
}

/// The three layers, before they are laid over each other.
#[derive(Default)]
pub struct Sources {
    flags: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    file: Option<String>,
}

impl Sources {
    /// Nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This process's arguments (but `check`), environment and the file of `ZEITWORK_CONFIG`.
    ///
    /// # Errors
    /// Arguments of another form than `--name value` or `--name=value`.
    pub fn of_process() -> Result<Self, ConfigError> {
        let skipped = 1 + usize::from(is_check());
        let arguments = std::env::args_os().skip(skipped);
        let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
        Ok(Self::of_environment().with_flags(parse_arguments(arguments)?))
    }

    /// This process's environment alone (a CLI reads its arguments itself).
    #[must_use]
    pub fn of_environment() -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
        Self::new().with_environment(all)
    }

    /// Adds flags, by stable name.
    #[must_use]
    pub fn with_flags<N: Into<String>, V: Into<String>>(
        mut self,
        flags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.flags.extend(flags.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Adds environment variables.
    #[must_use]
    pub fn with_environment<N: Into<String>, V: Into<String>>(
        mut self,
        all: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.environment.extend(all.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Gives the file's text instead of reading the file of `ZEITWORK_CONFIG`.
    #[must_use]
    pub fn with_file(mut self, text: impl Into<String>) -> Self {
        self.file = Some(text.into());
        self
    }

    /// Lays the layers over each other.
    #[must_use]
    pub fn load(self) -> Settings {
        let mut loading = Loading::default();
        for (name, value) in self.flags {
            loading.put(&name, value, Origin::Flag);
        }
        for (name, value) in self.environment {
            loading.put_variable(&name, value);
        }
        let path = loading.values.get("ZEITWORK_CONFIG").map(|value| value.text.clone());
        let text = match (self.file, path) {
            (Some(text), _) => Some(text),
            (None, Some(path)) => loading.read_file(&path),
            (None, None) => None,
        };
        if let Some(text) = text {
            loading.put_file(&text);
        }
        let Loading { values, unknown, mistakes } = loading;
        Settings { values, unknown, mistakes: RefCell::new(mistakes) }
    }
}

#[derive(Default)]
struct Loading {
    values: BTreeMap<&'static str, Value>,
    unknown: Vec<Mistake>,
    mistakes: Vec<Mistake>,
}

impl Loading {
    /// The layers come highest first, so what is there stays. A secret and its `_FILE` form
    /// are one setting: the higher layer's form hides the lower's other form.
    fn put(&mut self, name: &str, text: String, origin: Origin) {
        let Some((setting, is_file)) = find_with_file(name) else {
            let meant = closest(name).map(|known| format!("; did you mean {known}?"));
            let text = format!("no such setting ({origin}){}", meant.unwrap_or_default());
            return self.unknown.push(Mistake { name: name.to_owned(), text });
        };
        let form: &'static str = if is_file { file_form(setting.name) } else { setting.name };
        let other = if is_file { setting.name } else { file_form(setting.name) };
        if self.values.get(other).is_none_or(|value| value.origin == origin) {
            self.values.entry(form).or_insert(Value { text, origin });
        }
    }

    fn put_variable(&mut self, name: &str, value: String) {
        let known = find_with_file(name).is_some();
        let linked = name.starts_with("ZEITWORK_") && is_made_by_a_link(name, &value);
        if known || (name.starts_with("ZEITWORK_") && !linked) {
            self.put(name, value, Origin::Environment);
        }
    }

    fn read_file(&mut self, path: &str) -> Option<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                let text = format!("file {path}: {error}");
                self.mistakes.push(Mistake { name: "ZEITWORK_CONFIG".to_owned(), text });
                None
            }
        }
    }

    fn put_file(&mut self, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.put_table("", table),
            Err(error) => {
                // Only the message: the text around a mistake may hold a secret.
                let text = format!("is no TOML: {}", error.message());
                self.mistakes.push(Mistake { name: "ZEITWORK_CONFIG".to_owned(), text });
            }
        }
    }

    /// `api_address = …` and `[api] address = …` are the same.
    fn put_table(&mut self, prefix: &str, table: toml::Table) {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value {
                toml::Value::Table(inner) => self.put_table(&format!("{key}_"), inner),
                toml::Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(text_of).collect();
                    self.put(&name_of_key(&key), items.join(","), Origin::File);
                }
                other => self.put(&name_of_key(&key), text_of(&other), Origin::File),
            }
        }
    }
}

fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Datetime(moment) => moment.to_string(),
        // Nested deeper than any setting; no setting reads it.
        toml::Value::Array(_) | toml::Value::Table(_) => "a table or list".to_owned(),
    }
}

/// `api_address` or `api-address` → `ZEITWORK_API_ADDRESS`; `rust_log` → `RUST_LOG`.
fn name_of_key(key: &str) -> String {
    let name = key.replace('-', "_").to_uppercase();
    if find_with_file(&name).is_some() { name } else { format!("ZEITWORK_{name}") }
}

/// `X` → `X_FILE`, as a name that lives as long as the table.
fn file_form(name: &'static str) -> &'static str {
    use std::sync::LazyLock;
    static FORMS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
        KNOWN.iter().map(|setting| (setting.name, super::file_name(setting.name))).collect()
    });
    FORMS.get(name).map_or(name, String::as_str)
}

/// `--api-address X` and `--api-address=X`; secrets only as `…-file`, because everybody on the
/// host can read the arguments of a process.
fn parse_arguments(
    arguments: impl Iterator<Item = String>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let (mut flags, mut mistakes) = (Vec::new(), Vec::new());
    let mut arguments = arguments;
    let mut wrong = |name: &str, text: &str| {
        mistakes.push(Mistake { name: name.to_owned(), text: text.to_owned() });
    };
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix("--") else {
            wrong(&argument, "arguments have the form --name value");
            continue;
        };
        let (key, value) = match flag.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (flag.to_owned(), arguments.next()),
        };
        let name = name_of_key(&key);
        let secret = find_with_file(&name).is_some_and(|(it, is_file)| it.secret && !is_file);
        match value {
            None => wrong(&argument, "needs a value"),
            Some(_) if secret => {
                wrong(&format!("--{key}"), &format!("is a secret: use --{key}-file"));
            }
            Some(value) => flags.push((name, value)),
        }
    }
    if mistakes.is_empty() { Ok(flags) } else { Err(ConfigError(mistakes)) }
}

#[cfg(test)]
pub(super) fn arguments(all: &[&str]) -> Result<Vec<(String, String)>, ConfigError> {
    parse_arguments(all.iter().map(|&argument| argument.to_owned()))
}
