//! What a Dockerfile has the engine itself fetch, from the host's network and past every rule that
//! holds for builds: images of registries, and addresses in `ADD`. Found before a build begins, so
//! that nothing is fetched from where the guard does not lead. Not concerned with what steps do.

mod add;
mod documents;
mod lines;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use self::lines::{Reading, has_odd_document, readings};
use self::words::{Values, after_word, expand, flags};

/// Images that a build needs from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Of `FROM`: these bring triggers along.
    pub bases: BTreeSet<String>,
    /// Of `COPY --from` and `RUN --mount`.
    pub others: BTreeSet<String>,
}

/// What is not followed, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// `ADD` of an address.
    RemoteAdd(String),
    /// An image whose name cannot be told before the build.
    Unclear(String),
    /// A stage for another kind of machine than the node.
    Platform(String),
    /// A here-document whose end cannot be told.
    Document(String),
    /// It is no Dockerfile, but may name a frontend in another way.
    NoDockerfile,
}

/// Finds all references, in every reading of the content.
///
/// # Errors
/// The first line that is [`Refused`].
pub fn find(content: &[u8], arguments: &BTreeMap<String, String>) -> Result<References, Refused> {
    let text = String::from_utf8_lossy(content);
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with(['{', '[']) || start.starts_with("#!") {
        return Err(Refused::NoDockerfile);
    }
    let mut found = References::default();
    for reading in readings(content) {
        let mut reader = Reader::new(reading, arguments);
        for line in reading.lines(&text) {
            if has_odd_document(&line) {
                return Err(Refused::Document(line));
            }
            reader.take(&line)?;
        }
        found.bases.append(&mut reader.found.bases);
        found.others.append(&mut reader.found.others);
    }
    Ok(found)
}

/// The references of a base image's triggers (`ONBUILD`), as its configuration lists them.
///
/// # Errors
/// The first trigger that is [`Refused`].
pub fn of_triggers(triggers: &[String]) -> Result<BTreeSet<String>, Refused> {
    let mut others = BTreeSet::new();
    for trigger in triggers {
        let mut found = find(trigger.as_bytes(), &BTreeMap::new())?;
        others.append(&mut found.others);
    }
    Ok(others)
}

/// The address of the registry that an image comes from; none for Docker Hub's.
///
/// # Errors
/// A name that is no image's.
pub fn registry(image: &str) -> Result<Option<Url>, Refused> {
    let Some((first, _)) = image.split_once('/') else { return Ok(None) };
    let is_host = first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|c| c.is_ascii_uppercase());
    if !is_host {
        return Ok(None);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
    let url = Some(first).filter(|host| host.chars().all(is_plain));
    let url = url.and_then(|host| Url::parse(&format!("https://{host}/")).ok());
    url.map(Some).ok_or_else(|| Refused::Unclear(image.to_owned()))
}

/// The platform of this node, as Docker names it.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// Reads one Dockerfile in one way, line by line.
struct Reader<'a> {
    reading: Reading,
    arguments: &'a BTreeMap<String, String>,
    values: Values,
    stages: BTreeSet<String>,
    /// A stage has begun: what `ARG` says no longer concerns any `FROM`.
    begun: bool,
    found: References,
}

impl<'a> Reader<'a> {
    fn new(reading: Reading, arguments: &'a BTreeMap<String, String>) -> Self {
        let mut values = Values::new();
        let platform = platform();
        for role in ["BUILD", "TARGET"] {
            let architecture = platform.rsplit('/').next().unwrap_or_default();
            let known = [("PLATFORM", platform.as_str()), ("OS", "linux"), ("ARCH", architecture)];
            for (part, value) in known {
                let name = format!("{role}{part}");
                let value = arguments.get(&name).map_or(value, String::as_str).to_owned();
                values.insert(name, Some(value));
            }
            let name = format!("{role}VARIANT");
            let value = arguments.get(&name).cloned().unwrap_or_default();
            values.insert(name, Some(value));
        }
        let (stages, found) = (BTreeSet::new(), References::default());
        Self { reading, arguments, values, stages, begun: false, found }
    }

    fn take(&mut self, line: &str) -> Result<(), Refused> {
        if let Some(rest) = after_word(line, "ONBUILD") {
            return self.take(rest);
        }
        if let Some(rest) = after_word(line, "ARG") {
            self.argument(rest);
        } else if let Some(rest) = after_word(line, "FROM") {
            return self.from(rest, line);
        } else if let Some(rest) = after_word(line, "ADD") {
            let (_, rest) = flags(rest);
            if add::is_remote(rest, self.reading.escape) {
                return Err(Refused::RemoteAdd(line.to_owned()));
            }
        } else if let Some(rest) = after_word(line, "COPY") {
            for flag in flags(rest).0 {
                if let Some(image) = named(&flag, "--from") {
                    self.other(image, line)?;
                }
            }
        } else if let Some(rest) = after_word(line, "RUN") {
            for flag in flags(rest).0 {
                let mount = named(&flag, "--mount").unwrap_or_default().replace('"', "");
                for part in mount.split(',') {
                    if let Some(image) = named(part.trim(), "from") {
                        self.other(image.trim(), line)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `ARG NAME`, `ARG NAME=value`, several of them: what stands before the first stage.
    fn argument(&mut self, rest: &str) {
        if self.begun {
            return;
        }
        for word in rest.split_whitespace() {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word, None),
            };
            let given = self.arguments.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => expand(default, &self.values),
                (None, None) => continue,
            };
            // Frontends differ in which of two counts.
            let before = self.values.insert(name.to_owned(), value.clone());
            if before.is_some_and(|before| before != value) {
                self.values.insert(name.to_owned(), None);
            }
        }
    }

    fn from(&mut self, rest: &str, line: &str) -> Result<(), Refused> {
        self.begun = true;
        let unclear = || Refused::Unclear(line.to_owned());
        let (flags, rest) = flags(rest);
        for flag in flags {
            let Some(wanted) = named(&flag, "--platform") else { continue };
            let wanted = expand(wanted, &self.values).ok_or_else(unclear)?;
            if wanted != platform() {
                return Err(Refused::Platform(line.to_owned()));
            }
        }
        let words: Vec<&str> = rest.split_whitespace().collect();
        // With any other number of words every frontend refuses it.
        let (image, stage) = match words[..] {
            [image] => (image, None),
            [image, word, stage] if word.eq_ignore_ascii_case("AS") => (image, Some(stage)),
            _ => return Ok(()),
        };
        let image = expand(image, &self.values).filter(|image| !image.is_empty());
        let image = image.ok_or_else(unclear)?;
        if image != "scratch" && !self.stages.contains(&image.to_ascii_lowercase()) {
            registry(&image).map_err(|_| unclear())?;
            self.found.bases.insert(image);
        }
        let is_name = |stage: &str| {
            stage.starts_with(|c: char| c.is_ascii_lowercase())
                && stage.chars().all(|c| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
                })
        };
        self.stages.extend(stage.map(str::to_ascii_lowercase).filter(|stage| is_name(stage)));
        Ok(())
    }

    fn other(&mut self, image: &str, line: &str) -> Result<(), Refused> {
        let is_stage = image.parse::<u32>().is_ok()
            || self.stages.contains(&image.to_ascii_lowercase())
            || image.is_empty();
        if is_stage {
            return Ok(());
        }
        let unclear = || Refused::Unclear(line.to_owned());
        if image.contains('$') {
            return Err(unclear());
        }
        registry(image).map_err(|_| unclear())?;
        self.found.others.insert(image.to_owned());
        Ok(())
    }
}

/// The value of `name=value`.
fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = text.split_once('=')?;
    key.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests;
