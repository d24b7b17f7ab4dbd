use proptest::prelude::*;

use super::advertisement::Reader;
use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn advertisement(lines: &[String]) -> Vec<u8> {
    let mut text = packet("# service=git-upload-pack\n") + "0000";
    for line in lines {
        text += &packet(line);
    }
    (text + "0000").into_bytes()
}

fn whole(bytes: &[u8]) -> Result<References, Malformed> {
    let mut reader = Reader::default();
    reader.feed(bytes)?;
    reader.finish()
}

fn sample() -> Vec<u8> {
    advertisement(&[
        format!("{A} HEAD\0multi_ack symref=HEAD:refs/heads/trunk agent=git/2.39\n"),
        format!("{B} refs/heads/feature/a\n"),
        format!("{A} refs/heads/trunk\n"),
        format!("{C} refs/pull/1/head\n"),
        format!("{C} refs/tags/v1\n"),
        format!("{B} refs/tags/v1^{{}}\n"),
    ])
}

#[test]
fn what_a_person_types_leads_to_its_commit() {
    let references = whole(&sample()).unwrap();
    let table = [
        (None, Some(A)),
        (Some("HEAD"), Some(A)),
        (Some("trunk"), Some(A)),
        (Some("feature/a"), Some(B)),
        (Some("refs/heads/feature/a"), Some(B)),
        // An annotated tag is its commit.
        (Some("v1"), Some(B)),
        (Some("refs/tags/v1"), Some(B)),
        (Some("refs/pull/1/head"), None),
        (Some("main"), None),
        (Some(""), None),
    ];
    for (reference, wanted) in table {
        assert_eq!(references.resolve(reference), wanted, "{reference:?}");
    }
    assert_eq!(references.default_branch(), Some("trunk"));
    assert_eq!(references.branches().collect::<Vec<_>>(), [("feature/a", B), ("trunk", A)]);
}

#[test]
fn an_empty_repository_has_no_references() {
    let zeros = "0".repeat(40);
    let bytes = advertisement(&[format!("{zeros} capabilities^{{}}\0agent=git/2.39\n")]);
    assert_eq!(whole(&bytes).unwrap(), References::default());
    assert_eq!(whole(&advertisement(&[])).unwrap(), References::default());
}

#[test]
fn what_is_no_advertisement_is_told_apart() {
    let table: [(&[u8], Malformed); 7] = [
        (b"<!DOCTYPE html>", Malformed::Length),
        (b"000eversion 2\n", Malformed::Service),
        (b"001f# service=git-receive-pack\n", Malformed::Service),
        (b"0003", Malformed::Length),
        (b"ffff", Malformed::Length),
        (b"001e# service=git-upload-pack\n", Malformed::Cut),
        (b"001e# service=git-upload-pack\n00000009oops\n", Malformed::Service),
    ];
    for (bytes, wanted) in table {
        assert_eq!(whole(bytes), Err(wanted), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn addresses_lead_to_their_references() {
    let of = |text: &str| address(text).map(|url| url.to_string()).ok();
    let wanted = "https://git.example.com/a/b.git/info/refs?service=git-upload-pack";
    assert_eq!(of("https://git.example.com/a/b.git").as_deref(), Some(wanted));
    assert_eq!(of("https://git.example.com/a/b.git/?x#y").as_deref(), Some(wanted));
    assert_eq!(of("no url"), None);
    assert_eq!(of("mailto:a@b"), None);
}

#[tokio::test]
async fn what_users_type_never_reaches_private_addresses() {
    let refs = GitRefs::new(Guard::default()).unwrap();
    for url in ["https://127.0.0.1/a.git", "http://example.com/a.git", "https://u:p@example.com/a"]
    {
        let question = Question { url, authorization: None, is_ours: false };
        let error = refs.list(question).await.unwrap_err();
        assert_eq!(error.reason().code, "source_refused", "{error}");
        assert!(!error.is_transient());
    }
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(cuts in prop::collection::vec(0usize..400, 0..12)) {
        let bytes = sample();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut reader = Reader::default();
        let mut at = 0;
        for cut in cuts {
            reader.feed(&bytes[at..cut]).unwrap();
            at = cut;
        }
        reader.feed(&bytes[at..]).unwrap();
        prop_assert_eq!(reader.finish(), whole(&bytes));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = whole(&bytes);
        let mut behind = b"001e# service=git-upload-pack\n0000".to_vec();
        behind.extend(bytes);
        let _ = whole(&behind);
    }

    #[test]
    fn no_change_of_a_byte_breaks_the_reader(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = whole(&bytes);
    }
}
