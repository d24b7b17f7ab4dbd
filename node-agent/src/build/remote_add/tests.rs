use proptest::prelude::*;

use super::*;

#[test]
fn an_address_is_found_however_it_is_written() {
    for dockerfile in [
        "ADD http://127.0.0.1/ /x",
        "FROM a\nadd https://a.test/x /x\n",
        "ADD --chown=1:1 --chmod=644 http://a/ /x",
        "ADD local http://a/ /x",
        "ADD [\"http://a/\", \"/x\"]",
        "ADD [\"\\u0068ttp://a/\", \"/x\"]",
        "ONBUILD ADD http://a/ /x",
        "onbuild add http://a/ /x",
        "ADD \\\n  http://a/ \\\n # comment\n\n /x",
        "ADD ht\\\ntp://a/ /x",
        "ADD h\\ttp://a/ /x",
        "ADD \"http\"://a/ /x",
        "# escape=`\nADD ht`\ntp://a/ /x",
        "ARG U=http://a/\nADD $U /x",
        "ADD ${U}/x /x",
        "ADD http://$HOST/ /x",
        "ADD ht$REST /x",
        "ADD git@github.com:a/b /x",
        "ADD HTTP://a/ /x",
        "RUN <<'A\\'\nA\\\nADD http://a/ /x",
    ] {
        assert!(find(dockerfile.as_bytes()).is_some(), "{dockerfile}");
    }
}

#[test]
fn files_are_no_addresses() {
    for dockerfile in [
        "FROM a\nADD . /app\n",
        "ADD a.tar.gz $HOME/\n",
        "ADD app/$FILE /x",
        "ADD --chown=$USER a /x",
        "COPY $SOURCE /x",
        "RUN wget http://a/",
        "RUN apk \\\n add $PACKAGES curl",
        "# ADD http://a/ /x",
        "ENV U=http://a/",
        "ADD",
        "ADD http://only-a-destination/",
    ] {
        assert_eq!(find(dockerfile.as_bytes()), None, "{dockerfile}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        let _ = find(text.as_bytes());
    }
}
