//! The name by which this host's node is known: that of its first start, whatever the host is called
//! since. Its images, instances and target are found by it.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::home::write_whole;

const FILE: &str = "node.name";

/// The name of an earlier start.
pub fn remembered(directory: &Path) -> Result<Option<String>> {
    let path = directory.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// The name that is known, else the one that is asked for, else the host's.
///
/// # Errors
/// Another is asked for than the known one.
pub fn choose(known: Option<String>, asked: Option<&str>) -> Result<String> {
    match (known, asked) {
        (Some(known), Some(asked)) if known != asked => bail!(
            "ZEITWORK_NODE_NAME is {asked}, but this node joined as {known}, and what it has and \
             runs is known by that name: leave the setting out, or set it to {known}"
        ),
        (Some(known), _) => Ok(known),
        (None, Some(asked)) => Ok(asked.to_owned()),
        (None, None) => Ok(host_name()),
    }
}

/// Keeps the name for later starts.
pub fn remember(directory: &Path, name: &str) -> Result<()> {
    if remembered(directory)?.is_some() {
        return Ok(());
    }
    write_whole(directory, FILE, name)
}

/// The host's name as a node's name may be: lower case letters, digits and hyphens.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let slug = zeitwork_model::name::slug_of(name.trim());
    if slug.is_empty() { "node".to_owned() } else { slug }
}
