use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::github::key::AppKey;

const NOW: i64 = 1_800_000_000;
const APP: u64 = 4711;

fn token(directory: &std::path::Path, claims: &Value, algorithm: Algorithm) -> (String, AppKey) {
    let key = AppKey::open(directory).unwrap();
    let pem = std::fs::read(&key.private_path).unwrap();
    let signer = EncodingKey::from_rsa_pem(&pem).unwrap();
    (jsonwebtoken::encode(&Header::new(algorithm), claims, &signer).unwrap(), key)
}

#[test]
fn only_a_token_by_githubs_rules_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let table = [
        ("octocrab's", json!({"iss": APP, "iat": NOW - 60, "exp": NOW + 540}), Ok(())),
        ("issuer as text", json!({"iss": "4711", "iat": NOW, "exp": NOW + 600}), Ok(())),
        ("another app", json!({"iss": 1, "iat": NOW, "exp": NOW + 60}), Err(Refused::Undecodable)),
        ("no issuer", json!({"iat": NOW, "exp": NOW + 60}), Err(Refused::Undecodable)),
        (
            "from the future",
            json!({"iss": APP, "iat": NOW + 1, "exp": NOW + 60}),
            Err(Refused::IssuedAt),
        ),
        ("no issue time", json!({"iss": APP, "exp": NOW + 60}), Err(Refused::IssuedAt)),
        ("text as time", json!({"iss": APP, "iat": "1", "exp": NOW + 60}), Err(Refused::IssuedAt)),
        ("over", json!({"iss": APP, "iat": NOW - 60, "exp": NOW}), Err(Refused::Expired)),
        ("endless", json!({"iss": APP, "iat": NOW}), Err(Refused::Expired)),
        ("too long", json!({"iss": APP, "iat": NOW, "exp": NOW + 601}), Err(Refused::TooLong)),
        (
            "too long, predated",
            json!({"iss": APP, "iat": NOW - 61, "exp": NOW + 540}),
            Err(Refused::TooLong),
        ),
    ];
    for (name, claims, expected) in table {
        let (token, key) = token(directory.path(), &claims, Algorithm::RS256);
        assert_eq!(check(&token, &key.public, APP, NOW), expected, "{name}");
    }
}

#[test]
fn another_key_algorithm_or_a_changed_token_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let claims = json!({"iss": APP, "iat": NOW, "exp": NOW + 60});
    let (good, key) = token(ours.path(), &claims, Algorithm::RS256);
    let (foreign, _) = token(theirs.path(), &claims, Algorithm::RS256);
    let (stronger, _) = token(ours.path(), &claims, Algorithm::RS512);
    let secret = EncodingKey::from_secret(&key.public);
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
    let body = good.split('.').nth(1).unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{body}.");

    assert_eq!(check(&good, &key.public, APP, NOW), Ok(()));
    for token in
        [foreign.as_str(), &stronger, &confused, &unsigned, &good[..good.len() - 4], "", "a.b.c"]
    {
        assert_eq!(check(token, &key.public, APP, NOW), Err(Refused::Undecodable), "{token}");
    }
}

#[test]
fn the_key_is_kept_over_starts() {
    let directory = tempfile::tempdir().unwrap();
    let first = AppKey::open(directory.path()).unwrap().public;
    assert_eq!(AppKey::open(directory.path()).unwrap().public, first);
}
