//! Variables of an instance: opened when it is created, and to know what to hide in its logs.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeitwork_protocol::target::InstanceTarget;
use zeitwork_secrets::seal::PrivateKey;
use zeroize::Zeroizing;

/// One variable. A bare text is a secret, because nothing says otherwise.
#[derive(Deserialize)]
#[serde(untagged)]
enum Variable {
    Marked { value: String, secret: bool },
    Bare(String),
}

/// The variables of an instance, with what has to be hidden.
#[derive(Debug, Default)]
pub struct Variables {
    /// By name.
    pub values: BTreeMap<String, Zeroizing<String>>,
    /// Values of those that are secret.
    pub secrets: Vec<Zeroizing<String>>,
}

/// Opens the variables of an instance, sealed for the place that its id names.
///
/// # Errors
/// Why they cannot be opened, without anything of their content.
pub fn open(key: &PrivateKey, instance: &InstanceTarget) -> Result<Variables, String> {
    let text = key
        .open(&instance.variables, &instance.id.to_string())
        .map_err(|error| format!("its variables cannot be opened: {error}"))?;
    let opened: BTreeMap<String, Variable> = serde_json::from_slice(&text)
        .map_err(|_| "its variables are no JSON object of strings".to_owned())?;
    let mut variables = Variables::default();
    for (name, variable) in opened {
        let (value, secret) = match variable {
            Variable::Marked { value, secret } => (Zeroizing::new(value), secret),
            Variable::Bare(value) => (Zeroizing::new(value), true),
        };
        if secret {
            variables.secrets.push(value.clone());
        }
        variables.values.insert(name, value);
    }
    Ok(variables)
}

/// The environment of an instance: its variables, and ours, which win.
#[must_use]
pub fn environment(
    instance: &InstanceTarget,
    variables: Variables,
) -> BTreeMap<String, Zeroizing<String>> {
    let mut environment = variables.values;
    let ours = [
        ("PORT", instance.port.to_string()),
        ("ZEITWORK", "1".to_owned()),
        ("ZEITWORK_COMMIT", instance.commit.clone()),
        ("ZEITWORK_DEPLOYMENT", instance.deployment.to_string()),
        ("ZEITWORK_ENVIRONMENT", instance.environment.to_string()),
        ("ZEITWORK_INSTANCE", instance.id.to_string()),
        ("ZEITWORK_PROCESS", instance.process.clone()),
        ("ZEITWORK_PROJECT", instance.project.to_string()),
    ];
    environment.extend(ours.map(|(name, value)| (name.to_owned(), Zeroizing::new(value))));
    environment
}

#[cfg(test)]
mod tests;
