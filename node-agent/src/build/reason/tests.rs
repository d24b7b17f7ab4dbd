use super::*;

const CIRCUMSTANCES: Circumstances = Circumstances {
    limits: Limits { cpu_millis: 1_000, memory_mb: 256 },
    out_of_memory: false,
    newer: false,
};

fn code(outcome: &BuildOutcome) -> (&str, bool) {
    match outcome {
        BuildOutcome::Failed { reason } => (&reason.code, true),
        BuildOutcome::Lost { reason } => (&reason.code, false),
        other => panic!("{other:?}"),
    }
}

fn text(outcome: &BuildOutcome) -> &str {
    match outcome {
        BuildOutcome::Failed { reason } | BuildOutcome::Lost { reason } => &reason.text,
        other => panic!("{other:?}"),
    }
}

fn failure(step: &str, message: &str, circumstances: Circumstances) -> BuildOutcome {
    let step = FailedStep { name: step.to_owned(), error: message.to_owned() };
    let error = ImageError::Step { step: Some(step), message: message.to_owned() };
    of_image(&error, circumstances)
}

/// The words of Docker Engine 20.10 and of newer ones.
#[test]
fn what_the_engine_says_becomes_a_reason() {
    let load = "[internal] load metadata for docker.io/library/nodee:22";
    let cases = [
        (
            "[2/3] RUN x",
            "executor failed running [/bin/sh -c x]: exit code: 3",
            "step_failed",
            true,
        ),
        (
            "[2/3] RUN x",
            "process \"/bin/sh -c x\" did not complete successfully: exit code: 137",
            "out_of_memory",
            true,
        ),
        (
            load,
            "failed to do request: Head \"https://registry-1.docker.io/v2\": dial tcp: lookup registry-1.docker.io: no such host",
            "registry_unreachable",
            false,
        ),
        (
            load,
            "pull access denied, repository does not exist or may require authorization",
            "base_image_not_found",
            true,
        ),
        (load, "docker.io/library/nodee:22: not found", "base_image_not_found", true),
        (
            "[2/2] COPY a /",
            "failed to compute cache key: \"/a\" not found: not found",
            "file_not_found",
            true,
        ),
        (
            "[2/2] COPY a /",
            "failed to calculate checksum of ref x: \"/a\": not found",
            "file_not_found",
            true,
        ),
        (
            "",
            "dockerfile parse error line 1: unknown instruction: FORM",
            "dockerfile_invalid",
            true,
        ),
        (
            "",
            "dockerfile parse error line 2: Unknown flag: link",
            "dockerfile_frontend_needed",
            true,
        ),
        ("[2/3] RUN x", "write /x: no space left on device", "disk_full", false),
        ("[2/3] RUN x", "something new", "build_failed", true),
    ];
    for (step, message, expected, is_final) in cases {
        let outcome = failure(step, message, CIRCUMSTANCES);
        assert_eq!(code(&outcome), (expected, is_final), "{message}");
    }
}

#[test]
fn a_step_is_named_with_what_killed_it() {
    let outcome = failure("[2/3] RUN npm ci", "exit code: 137", CIRCUMSTANCES);
    assert!(text(&outcome).contains("[2/3] RUN npm ci"));
    assert!(text(&outcome).contains("exit code 137"));
    assert!(text(&outcome).contains("memory limit of 256 MB"));
    let killed = Circumstances { out_of_memory: true, ..CIRCUMSTANCES };
    assert_eq!(code(&failure("RUN x", "exit code: 1", killed)).0, "out_of_memory");
}

#[test]
fn an_unknown_instruction_needs_a_newer_frontend_only_where_one_was_named() {
    let message = "dockerfile parse error line 3: unknown instruction: ECHO";
    assert_eq!(code(&failure("", message, CIRCUMSTANCES)).0, "dockerfile_invalid");
    let newer = Circumstances { newer: true, ..CIRCUMSTANCES };
    assert_eq!(code(&failure("", message, newer)).0, "dockerfile_frontend_needed");
}

#[test]
fn what_git_says_becomes_a_reason() {
    let cases = [
        (
            "fatal: unable to access 'https://a/': The requested URL returned error: 403",
            "repository_forbidden",
            true,
        ),
        (
            "fatal: could not read Username for 'https://a': terminal prompts disabled",
            "repository_forbidden",
            true,
        ),
        (
            "remote: Repository not found.\nfatal: repository 'https://a/' not found",
            "repository_not_found",
            true,
        ),
        (
            "fatal: unable to access 'https://a/': Could not resolve host: a",
            "repository_unreachable",
            false,
        ),
        (
            "fatal: unable to access 'https://a/': The requested URL returned error: 502",
            "repository_unreachable",
            false,
        ),
        ("error: unable to write file x: No space left on device", "disk_full", false),
    ];
    for (said, expected, is_final) in cases {
        let error = GitError::Said { verb: "fetch".to_owned(), said: said.to_owned() };
        let outcome = of_checkout(&CheckoutError::Git(error));
        assert_eq!(code(&outcome), (expected, is_final), "{said}");
    }
}

#[test]
fn long_words_keep_their_end() {
    let outcome = failure("RUN x", &format!("{}the cause", "é".repeat(5_000)), CIRCUMSTANCES);
    assert!(text(&outcome).ends_with("the cause"));
    assert!(text(&outcome).len() < 1_000);
}
