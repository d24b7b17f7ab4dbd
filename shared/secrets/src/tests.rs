use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use crate::{DataKey, Error, MasterKey, Place, PrivateKey, Redactor, hpke};

const PLACE: Place<'static> = Place { table: "variables", row: "var_1", name: "value" };

/// RFC 9180, appendix A.2.1 and A.2.1.1, sequence number 0.
#[test]
fn the_published_vector_of_hpke_opens() {
    let secret = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(secret, &mut bytes).unwrap();
    let key =
        aws_lc_rs::agreement::PrivateKey::from_private_key(&aws_lc_rs::agreement::X25519, &bytes)
            .unwrap();
    let whole = hex::decode(concat!(
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db",
        "21993c62ce81883d2dd1b51a28"
    ))
    .unwrap();
    let text = hpke::open(&key, b"Ode on a Grecian Urn", b"Count-0", &whole).unwrap();
    assert_eq!(text.as_slice(), b"Beauty is truth, truth beauty");
}

#[test]
fn a_sealed_value_opens_only_for_its_receiver_and_place() {
    let (ours, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let sealed = ours.public().seal(b"hunter2", "ins_1").unwrap();
    assert_eq!(ours.open(&sealed, "ins_1").unwrap().as_slice(), b"hunter2");
    assert!(matches!(ours.open(&sealed, "ins_2"), Err(Error::Unopenable)));
    assert!(matches!(other.open(&sealed, "ins_1"), Err(Error::OtherKey { .. })));
    let mut claimed = sealed.clone();
    claimed.key = other.public().fingerprint();
    assert!(matches!(other.open(&claimed, "ins_1"), Err(Error::Unopenable)));
    assert_ne!(sealed, ours.public().seal(b"hunter2", "ins_1").unwrap(), "fresh each time");
}

#[test]
fn an_altered_sealed_value_is_refused_whichever_bit_it_is() {
    let key = PrivateKey::generate().unwrap();
    let sealed = key.public().seal(b"x", "c").unwrap();
    let whole = STANDARD.decode(&sealed.data).unwrap();
    for at in 0..whole.len() {
        let mut altered = sealed.clone();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        altered.data = STANDARD.encode(bytes);
        assert!(key.open(&altered, "c").is_err(), "byte {at}");
    }
    for length in 0..whole.len() {
        let mut cut = sealed.clone();
        cut.data = STANDARD.encode(&whole[..length]);
        assert!(key.open(&cut, "c").is_err(), "cut to {length}");
    }
}

#[test]
fn a_low_order_public_key_is_refused() {
    assert!(crate::PublicKey::from_bytes([0; 32]).seal(b"x", "c").is_err());
}

#[test]
fn a_public_key_reads_back_from_its_text() {
    let public = PrivateKey::generate().unwrap().public();
    assert_eq!(public.to_string().parse::<crate::PublicKey>().unwrap(), public);
    assert!("zz".parse::<crate::PublicKey>().is_err());
}

#[test]
fn a_ciphertext_cannot_be_moved() {
    let key = DataKey::generate();
    let stored = key.encrypt(b"postgres://x", PLACE).unwrap();
    assert_eq!(key.decrypt(&stored, PLACE).unwrap().as_slice(), b"postgres://x");
    for elsewhere in [
        Place { table: "variable", row: "svar_1", name: "value" },
        Place { row: "var_2", ..PLACE },
        Place { name: "other", ..PLACE },
    ] {
        assert!(key.decrypt(&stored, elsewhere).is_err(), "{elsewhere:?}");
    }
    assert!(DataKey::generate().decrypt(&stored, PLACE).is_err());
    assert!(key.decrypt(&stored[..20], PLACE).is_err());
}

#[test]
fn a_wrapped_key_opens_with_its_master_key_alone() {
    let (master, other) = (MasterKey::generate(), MasterKey::generate());
    let key = DataKey::generate();
    let stored = key.encrypt(b"value", PLACE).unwrap();
    let wrapped = master.wrap(&key, PLACE).unwrap();
    let again = master.unwrap(&wrapped, PLACE).unwrap();
    assert_eq!(again.decrypt(&stored, PLACE).unwrap().as_slice(), b"value");
    assert!(other.unwrap(&wrapped, PLACE).is_err());
    assert_ne!(master.id(), other.id());
}

#[test]
fn a_key_file_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| MasterKey::load_or_create(&path).unwrap().id().to_owned()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| id == &ids[0]), "{ids:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing left over");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(MasterKey::load_or_create(&path), Err(Error::UnfitKeyFile { .. })));
}

#[test]
fn half_a_key_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.key");
    std::fs::write(&path, "00ff").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(PrivateKey::load_or_create(&path), Err(Error::UnfitKeyFile { .. })));
}

#[test]
fn debug_shows_no_key() {
    let master = MasterKey::generate();
    let shown = format!("{master:?} {:?}", DataKey::generate());
    assert!(shown.len() < 64, "{shown}");
}

#[test]
fn short_values_are_left_alone() {
    let redactor = Redactor::new(["true", "8080", ""]);
    assert!(redactor.is_empty());
    assert_eq!(redactor.redact("listening on 8080: true"), "listening on 8080: true");
}

#[test]
fn every_line_of_a_private_key_is_hidden() {
    let redactor = Redactor::new(["-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n"]);
    assert_eq!(redactor.redact("got kqhkiG9w0BAQEF here"), "got *** here");
}

#[test]
fn the_longer_of_two_secrets_leaves_no_rest() {
    let redactor = Redactor::new(["secret", "secret-and-more"]);
    assert_eq!(redactor.redact("secret-and-more secret"), "*** ***");
}

proptest! {
    #[test]
    fn a_secret_is_hidden_in_each_of_its_forms(
        secret in "[ -~]{9,40}", before in "[ -~]{0,9}", after in "[ -~]{0,9}",
    ) {
        let redactor = Redactor::new([&secret]);
        let inside = format!("{before}{secret}{after}");
        let plain = redactor.redact(&inside).into_owned();
        prop_assert!(!plain.contains(&secret));
        for encoded in [STANDARD.encode(&inside), URL_SAFE.encode(&inside)] {
            let shown = redactor.redact(&encoded).into_owned();
            prop_assert!(shown.contains("***"), "{shown}");
        }
    }
}
