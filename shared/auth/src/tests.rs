use proptest::prelude::*;
use secrecy::SecretString;
use zeitwork_model::scope::Scope;

use crate::api_key::{ApiKey, InvalidKey};
use crate::permission::{Action, allows, may_grant};
use crate::signature::{header_value, verify};

#[test]
fn a_key_reads_back_and_matches_its_own_hash_alone() {
    let (key, other) = (ApiKey::generate(), ApiKey::generate());
    let again = ApiKey::parse(key.expose()).unwrap();
    assert_eq!(again.prefix(), key.prefix());
    assert!(again.matches(&key.hash()));
    assert!(!other.matches(&key.hash()));
    assert!(!key.matches(&[]));
    assert!(ApiKey::parse_given(key.expose()).is_ok());
}

#[test]
fn debug_of_a_key_shows_its_prefix_alone() {
    let key = ApiKey::generate();
    assert_eq!(format!("{key:?}"), format!("ApiKey(zwk_{}_…)", key.prefix()));
}

#[test]
fn a_malformed_key_is_refused() {
    let good = ApiKey::generate().expose().to_owned();
    let secret = &good["zwk_12345678_".len()..];
    let cases = [
        String::new(),
        "zwk_".to_owned(),
        good[..good.len() - 1].to_owned(),
        good.to_uppercase(),
        good.replace("zwk_", "ghp_"),
        format!("zwk_1234567_{secret}"),
        format!("zwk_ABCDEFGH_{secret}"),
        format!("zwk_äbcdefg_{secret}"),
        format!("zwk_12345678-{secret}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("zwk_12345678_{}", "A".repeat(87)),
        format!("zwk_12345678_{}+", &secret[..42]),
    ];
    for case in cases {
        assert_eq!(ApiKey::parse(&case).err(), Some(InvalidKey::Form), "{case:?}");
    }
}

#[test]
fn a_key_that_was_made_up_by_hand_is_refused() {
    let repeated = format!("zwk_owner000_{}", "A".repeat(43));
    assert_eq!(ApiKey::parse_given(&repeated).err(), Some(InvalidKey::Weak));
    let pattern = format!("zwk_owner000_{}A", "abcd".repeat(11).get(..42).unwrap());
    assert_eq!(ApiKey::parse_given(&pattern).err(), Some(InvalidKey::Weak));
}

#[test]
fn each_scope_includes_the_ones_before_it() {
    for &action in Action::ALL {
        for &scope in Scope::ALL {
            assert_eq!(allows(&[scope], action), scope >= action.needs(), "{scope} {action:?}");
        }
        assert!(!allows(&[], action));
        assert!(allows(&[Scope::Read, Scope::Platform], action));
    }
    assert!(!allows(&[Scope::Read], Action::WriteProjects));
    assert!(!allows(&[Scope::Admin], Action::ReadNodes));
}

#[test]
fn nobody_hands_out_more_than_he_has() {
    assert!(may_grant(&[Scope::Admin], Scope::Admin));
    assert!(!may_grant(&[Scope::Admin], Scope::Platform));
    assert!(!may_grant(&[], Scope::Read));
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

/// The example of GitHub's own page on validating deliveries.
#[test]
fn githubs_own_example_is_valid() {
    let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secrets = [secret("It's a Secret to Everybody")];
    assert_eq!(verify(&secrets, [header.as_bytes()], b"Hello, World!"), Ok(()));
}

#[test]
fn both_secrets_are_valid_while_one_rotates() {
    let secrets = [secret("new"), secret("old")];
    for used in ["new", "old"] {
        let header = header_value(&secret(used), b"{}");
        assert_eq!(verify(&secrets, [header.as_bytes()], b"{}"), Ok(()));
    }
    let header = header_value(&secret("older"), b"{}");
    assert!(verify(&secrets, [header.as_bytes()], b"{}").is_err());
}

#[test]
fn a_forged_signature_is_refused() {
    let ours = secret("s3cret");
    let good = header_value(&ours, b"body");
    let digits = good.strip_prefix("sha256=").unwrap();
    let forged = [
        String::new(),
        "sha256=".to_owned(),
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={}", digits.to_uppercase()),
        format!("sha256= {digits}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good},{good}"),
        format!("{good}00"),
        good[..good.len() - 2].to_owned(),
        format!("sha256={}", "0".repeat(64)),
        header_value(&ours, b"other"),
        header_value(&ours, b"body "),
        header_value(&secret("other"), b"body"),
        header_value(&secret(""), b"body"),
    ];
    for header in &forged {
        let found = verify(std::slice::from_ref(&ours), [header.as_bytes()], b"body");
        assert!(found.is_err(), "{header:?}");
    }
    let twice = [good.as_bytes(), good.as_bytes()];
    assert!(verify(std::slice::from_ref(&ours), twice, b"body").is_err());
    assert!(verify(std::slice::from_ref(&ours), [], b"body").is_err());
    assert!(verify(&[], [good.as_bytes()], b"body").is_err());
    let empty = header_value(&secret(""), b"body");
    assert!(verify(&[secret("")], [empty.as_bytes()], b"body").is_err(), "empty secret");
    assert_eq!(verify(&[ours], [good.as_bytes()], b"body"), Ok(()));
}

proptest! {
    #[test]
    fn hostile_keys_and_signatures_never_panic(text in ".{0,200}", body: Vec<u8>) {
        prop_assert!(ApiKey::parse(&text).is_err());
        prop_assert!(verify(&[secret("x")], [text.as_bytes()], &body).is_err());
    }
}
