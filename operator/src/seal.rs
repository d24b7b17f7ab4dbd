//! Opens frozen variables with the project's key and seals them to one node.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeitwork_database::variable_sets::{self, Entry};
use zeitwork_database::{PgConnection, projects};
use zeitwork_model::id::{OrganisationId, ProjectId, VariableSetId};
use zeitwork_protocol::sealed::Sealed;
use zeitwork_secrets::{DataKey, Place, PublicKey};
use zeroize::Zeroizing;

use crate::{Error, World};

/// Whose variables, and which of them.
pub(crate) struct Wanted {
    pub(crate) organisation: OrganisationId,
    pub(crate) project: ProjectId,
    pub(crate) set: Option<VariableSetId>,
    /// Those that builds see, none of them secret; else those that instances see.
    pub(crate) at_build: bool,
}

/// A variable of an instance: the node hides the values of secret ones in its logs.
#[derive(serde::Serialize)]
struct Marked<'a> {
    value: &'a str,
    secret: bool,
}

/// The variables as a JSON object, sealed to the node: of strings for a build, of [`Marked`] for
/// an instance. The context is the text of the instance's or build's id.
pub(crate) async fn variables(
    world: &World,
    connection: &mut PgConnection,
    wanted: &Wanted,
    node: &PublicKey,
    context: &str,
) -> Result<Sealed, Error> {
    let entries = match wanted.set {
        Some(set) => variable_sets::entries(connection, set).await?,
        None => Vec::new(),
    };
    let visible: Vec<&Entry> = entries
        .iter()
        .filter(|e| if wanted.at_build { e.at.at_build(e.secret) } else { e.at.at_run() })
        .collect();
    let keys = if visible.is_empty() {
        BTreeMap::new()
    } else {
        open_keys(world, connection, wanted).await?
    };
    let mut values = BTreeMap::new();
    for entry in visible {
        values.insert(entry.name.as_str(), (open(&keys, entry)?, entry.secret));
    }
    let values = values.iter().map(|(name, (value, secret))| (*name, value.as_str(), *secret));
    let document = Zeroizing::new(if wanted.at_build {
        let plain: BTreeMap<&str, &str> = values.map(|(name, value, _)| (name, value)).collect();
        serde_json::to_vec(&plain)?
    } else {
        let marked: BTreeMap<&str, Marked<'_>> =
            values.map(|(name, value, secret)| (name, Marked { value, secret })).collect();
        serde_json::to_vec(&marked)?
    });
    Ok(node.seal(&document, context)?)
}

async fn open_keys(
    world: &World,
    connection: &mut PgConnection,
    wanted: &Wanted,
) -> Result<BTreeMap<i32, DataKey>, Error> {
    let row = wanted.project.to_string();
    let mut keys = BTreeMap::new();
    for key in projects::keys(connection, wanted.organisation, wanted.project).await? {
        let version = key.version.to_string();
        let place = Place { table: "project_keys", row: &row, name: &version };
        keys.insert(key.version, world.master_key.unwrap(&key.wrapped, place)?);
    }
    Ok(keys)
}

fn open(keys: &BTreeMap<i32, DataKey>, entry: &Entry) -> Result<Zeroizing<String>, Error> {
    let unfit = |what: &str| Error::Unfit(format!("variable {} {what}", entry.id));
    let key = keys.get(&entry.key_version).ok_or_else(|| unfit("is of a lost key"))?;
    let ciphertext = STANDARD.decode(&entry.ciphertext).map_err(|_| unfit("is no base 64"))?;
    let row = entry.id.to_string();
    let place = Place { table: "variables", row: &row, name: "value" };
    let value = key.decrypt(&ciphertext, place)?;
    let text = std::str::from_utf8(&value).map_err(|_| unfit("is no UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
