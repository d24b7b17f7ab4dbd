use proptest::prelude::*;

use super::*;

fn found(dockerfile: &str) -> Result<References, Refused> {
    find(dockerfile.as_bytes(), &BTreeMap::from([("GIVEN".to_owned(), "given:1".to_owned())]))
}

#[test]
fn an_added_address_is_found_however_it_is_written() {
    for dockerfile in [
        "ADD http://127.0.0.1/ /x",
        "FROM a\nadd https://a.test/x /x\n",
        "ADD --chown=1:1 --chmod=644 http://a/ /x",
        "ADD --chown=\"1 1\" http://a/ /x",
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
        "# x=y\n# escape=`\nRUN a `\nADD http://a/ /x",
        "RUN echo \\\\\nADD http://a/ /x",
        "ARG U=http://a/\nADD $U /x",
        "ADD ${U}/x /x",
        "ADD http://$HOST/ /x",
        "ADD ht$REST /x",
        "ADD git@github.com:a/b /x",
        "ADD me@10.0.0.1:a/b /x",
        "ADD HTTP://a/ /x",
        "RUN <<A\nA\nADD http://a/ /x",
    ] {
        let refused = found(dockerfile);
        assert!(matches!(refused, Err(Refused::RemoteAdd(_))), "{dockerfile}: {refused:?}");
    }
    let hidden = "RUN <<'A\\'\nA\\\nADD \\\nhttp://a/ /x";
    assert!(matches!(found(hidden), Err(Refused::Document(_))));
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
        "RUN cat <<< $X && echo $((1<<2)) <<EOF\nEOF",
    ] {
        assert!(found(dockerfile).is_ok(), "{dockerfile}");
    }
}

/// Each case: a Dockerfile, its base images and its other images.
const IMAGES: [(&str, &[&str], &[&str]); 16] = [
    ("FROM busybox", &["busybox"], &[]),
    ("from a AS b\nFROM b\nFROM B as c\nFROM scratch", &["a"], &[]),
    ("FROM 127.0.0.1:5000/x:1 AS b", &["127.0.0.1:5000/x:1"], &[]),
    ("FROM \\\n # so\n a/b", &["a/b"], &[]),
    ("FROM --platform=$BUILDPLATFORM a", &["a"], &[]),
    ("ARG A=x\nFROM $A", &["x"], &[]),
    ("ARG A=x\nARG B=${A}/y:1\nFROM ${B}", &["x/y:1"], &[]),
    ("ARG GIVEN=x\nFROM $GIVEN", &["given:1"], &[]),
    ("ARG GIVEN\nFROM ${GIVEN}-slim", &["given:1-slim"], &[]),
    ("FROM ${NONE:-x}", &["x"], &[]),
    ("ARG A=\nFROM ${A:-x}\nFROM y${A+z}", &["x", "yz"], &[]),
    ("FROM a AS b\nARG A=c\nCOPY --from=b x y\nCOPY --from=0 x y", &["a"], &[]),
    ("FROM a\nCOPY --chown=1 --from=h:1/x y z", &["a"], &["h:1/x"]),
    (
        "FROM a\nCOPY --fr\\om='h:1/x' y z\nCOPY --from=later /x /y\nFROM a AS later",
        &["a"],
        &["h:1/x", "later"],
    ),
    ("FROM a\nRUN --mount=type=bind,target=/x,from=h:1/x true", &["a"], &["h:1/x"]),
    ("FROM a\nONBUILD RUN --mount='type=bind,\"from=h:1/x\"' true", &["a"], &["h:1/x"]),
];

#[test]
fn images_are_found_however_they_are_named() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (dockerfile, bases, others) in IMAGES {
        let wanted = References { bases: set(bases), others: set(others) };
        assert_eq!(found(dockerfile), Ok(wanted), "{dockerfile}");
    }
}

#[test]
fn the_lines_of_a_document_are_no_instructions() {
    for document in [
        "RUN psql <<EOF\nselect *\nFROM users;\nEOF",
        "RUN cat <<-'sql' > /x\n\tselect *\n\tFROM $users\n\tsql\nENV A=b",
        "COPY 3<<\"A\" <<B /x/\nFROM x y\nA\nADD http://a/ /x\nB",
        "run --mount=type=cache,target=/x \\\n # so\n cat <<EOF\nFROM $X\nEOF",
    ] {
        let bases = BTreeSet::from(["busybox".to_owned()]);
        let wanted = References { bases, others: BTreeSet::new() };
        assert_eq!(found(&format!("FROM busybox\n{document}\n")), Ok(wanted), "{document}");
    }
}

#[test]
fn lines_that_any_frontend_could_take_for_instructions_are_looked_at() {
    for document in [
        // No document: no end, another instruction.
        "RUN <<EOF\nFROM h:1/x",
        "ENV A=<<EOF\nFROM h:1/x\nEOF",
        // The end is an instruction, is continued into one, or is that of another document.
        "RUN <<cmd\nFROM h:1/x\ncmd",
        "RUN <<EOF\nFROM h:1/x\nRUN true \\\nEOF",
        "RUN <<EOF\nFROM h:1/x\nRUN true `\nEOF",
        "RUN \"<<EOF\"\nFROM h:1/x\nRUN <<B\nEOF\nB",
        "RUN <<A <<B\nA\nFROM h:1/x",
    ] {
        let references = found(&format!("FROM busybox\n{document}\n"));
        let looked_at = references.as_ref().map(|it| it.bases.contains("h:1/x"));
        assert_ne!(looked_at, Ok(false), "{document}");
    }
}

#[test]
fn an_image_that_cannot_be_told_is_refused() {
    for dockerfile in [
        "FROM $A",
        "FROM ${A#x}",
        "FROM ${A:-$B}",
        "ARG A=x\nARG A=y\nFROM $A",
        "ARG A=x\\y\nFROM $A",
        "FROM a\nARG B=b\nFROM $B",
        "FROM \\x",
        "FROM me@h.example/x",
        "FROM a\nCOPY --from=$X a b",
        "FROM a\nRUN --mount=from=${X},target=/x true",
    ] {
        let refused = found(dockerfile);
        assert!(matches!(refused, Err(Refused::Unclear(_))), "{dockerfile}: {refused:?}");
    }
    for dockerfile in ["FROM --platform=linux/none a", "FROM --platform=$ARCH a"] {
        assert!(found(dockerfile).is_err(), "{dockerfile}");
    }
    assert_eq!(found(" {\"syntax\": \"x\"}"), Err(Refused::NoDockerfile));
    assert_eq!(found("#!/bin/x\n# syntax=x"), Err(Refused::NoDockerfile));
}

#[test]
fn the_registry_is_what_stands_before_the_first_slash() {
    let host = |image: &str| registry(image).unwrap().map(|url| url.host_str().unwrap().to_owned());
    for (image, expected) in [
        ("busybox", None),
        ("busybox:1", None),
        ("a/b", None),
        ("localhost:5000", None),
        ("localhost/x", Some("localhost")),
        ("127.0.0.1:5000/x", Some("127.0.0.1")),
        ("0x7f.1/x", Some("127.0.0.1")),
        ("[::1]:5000/x", Some("[::1]")),
        ("ghcr.io/a/b@sha256:00", Some("ghcr.io")),
        ("HOST/x", Some("host")),
    ] {
        assert_eq!(host(image).as_deref(), expected, "{image}");
    }
}

#[test]
fn triggers_are_held_to_the_same() {
    let triggers = |text: &str| of_triggers(&[text.to_owned()]);
    assert!(matches!(triggers("ADD http://a/ /x"), Err(Refused::RemoteAdd(_))));
    assert_eq!(triggers("COPY --from=h:1/x a b"), Ok(BTreeSet::from(["h:1/x".to_owned()])));
    assert_eq!(triggers("COPY . /app"), Ok(BTreeSet::new()));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>(), line in "(FROM|ARG|COPY|RUN|ADD) [ -~\\n]{0,40}") {
        let _ = found(&text);
        let _ = found(&line);
    }
}
