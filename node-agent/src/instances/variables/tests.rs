use zeitwork_protocol::target::InstanceTarget;
use zeitwork_secrets::PrivateKey;

use super::{environment, open};
use crate::plan::tests::target;

fn sealed(key: &PrivateKey, text: &str, context: Option<&str>) -> InstanceTarget {
    let target = target(1);
    let id = target.id.to_string();
    let variables = key.public().seal(text.as_bytes(), context.unwrap_or(&id)).unwrap();
    InstanceTarget { variables, ..target }
}

#[test]
fn variables_are_opened_and_ours_win() {
    let key = PrivateKey::generate().unwrap();
    let text = r#"{"A": "secret a", "B": {"value": "open b", "secret": false}, "PORT": "1"}"#;
    let instance = sealed(&key, text, None);
    let variables = open(&key, &instance).unwrap();
    let secrets: Vec<&str> = variables.secrets.iter().map(|secret| secret.as_str()).collect();
    assert_eq!(secrets, ["secret a", "1"]);
    let environment = environment(&instance, variables);
    let value = |name: &str| environment.get(name).map(|value| value.as_str());
    assert_eq!((value("A"), value("B")), (Some("secret a"), Some("open b")));
    assert_eq!(value("PORT"), Some("8080"));
    assert_eq!(value("ZEITWORK_INSTANCE"), Some(instance.id.to_string().as_str()));
}

#[test]
fn an_error_says_nothing_of_their_content() {
    let key = PrivateKey::generate().unwrap();
    let canary = "canary-value";
    for instance in [
        sealed(&key, &format!("[\"{canary}\"]"), None),
        sealed(&key, &format!("{{\"A\": \"{canary}\"}}"), Some("another place")),
        sealed(&PrivateKey::generate().unwrap(), &format!("{{\"A\": \"{canary}\"}}"), None),
    ] {
        assert!(!open(&key, &instance).unwrap_err().contains(canary));
    }
}
