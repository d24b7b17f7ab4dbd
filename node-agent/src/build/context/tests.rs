use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const LIMITS: ContextLimits = ContextLimits { bytes: 1024 * 1024, files: 1_000 };

/// A checkout with these files.
fn checkout(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

fn pack(directory: &TempDir, limits: ContextLimits) -> Result<Vec<u8>, ContextError> {
    let context = Context::locate(directory.path(), "", "Dockerfile")?;
    let mut bytes = Vec::new();
    context.write(b"FROM sent\n", 1_700_000_000, limits, &mut bytes, &|| false)?;
    Ok(bytes)
}

/// Entries by path: kind, mode and content or link.
fn entries(bytes: &[u8]) -> BTreeMap<String, (EntryType, u32, String)> {
    let mut archive = tar::Archive::new(bytes);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 1_700_000_000));
        let (kind, mode) = (header.entry_type(), header.mode().unwrap());
        let path = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let earlier = found.insert(path, (kind, mode, link.unwrap_or(content)));
        assert_eq!(earlier, None, "an entry comes twice");
    }
    found
}

#[test]
fn files_links_and_modes_are_sent_and_git_is_not() {
    let directory = checkout(&[
        ("Dockerfile", "FROM repository\n"),
        (".git/config", "secret"),
        ("src/.git/config", "secret"),
        ("src/run.sh", "#!"),
        ("src/main.js", "1"),
    ]);
    let run = directory.path().join("src/run.sh");
    fs::set_permissions(run, PermissionsExt::from_mode(0o700)).unwrap();
    symlink("/etc/passwd", directory.path().join("link")).unwrap();
    let long = "d".repeat(200);
    fs::create_dir(directory.path().join(&long)).unwrap();
    let found = entries(&pack(&directory, LIMITS).unwrap());
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    let long = format!("{long}/");
    assert_eq!(
        paths,
        ["Dockerfile", &long[..200], "link", "src", "src/main.js", "src/run.sh"]
            .map(|path| path.trim_end_matches('/'))
    );
    assert_eq!(found["Dockerfile"].2, "FROM sent\n");
    assert_eq!(found["link"], (EntryType::Symlink, 0o777, "/etc/passwd".to_owned()));
    assert_eq!(found["src/run.sh"].1, 0o755);
    assert_eq!(found["src/main.js"].1, 0o644);
}

#[test]
fn equal_files_make_equal_bytes() {
    let files = [("Dockerfile", "FROM a\n"), ("b/c", "1"), ("a", "2")];
    let reversed: Vec<_> = files.iter().rev().copied().collect();
    let (one, two) = (checkout(&files), checkout(&reversed));
    assert_eq!(pack(&one, LIMITS).unwrap(), pack(&two, LIMITS).unwrap());
}

#[test]
fn what_is_ignored_is_not_sent_but_the_dockerfile_is() {
    let directory = checkout(&[
        ("Dockerfile", "FROM a\n"),
        (".dockerignore", "*\n!src\nsrc/secret\n"),
        ("src/a", ""),
        ("src/secret/b", ""),
        ("node_modules/x", ""),
    ]);
    let found = entries(&pack(&directory, LIMITS).unwrap());
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(paths, ["Dockerfile", "src", "src/a"]);
}

#[test]
fn the_dockerfiles_own_ignore_file_comes_first() {
    let directory = checkout(&[
        ("Dockerfile", "FROM a\n"),
        ("Dockerfile.dockerignore", "a\n*ignore"),
        (".dockerignore", "b"),
        ("a", ""),
        ("b", ""),
    ]);
    let found = entries(&pack(&directory, LIMITS).unwrap());
    assert!(found.contains_key("b") && !found.contains_key("a"));
}

#[test]
fn special_files_are_refused_and_ignored_ones_are_not_even_opened() {
    let directory = checkout(&[("Dockerfile", "FROM a\n")]);
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(pack(&directory, LIMITS), Err(ContextError::Special(path)) if path == "pipe"));
    fs::write(directory.path().join(".dockerignore"), "pipe").unwrap();
    assert!(pack(&directory, LIMITS).is_ok());
    fs::remove_file(directory.path().join("Dockerfile")).unwrap();
    fs::rename(&pipe, directory.path().join("Dockerfile")).unwrap();
    assert!(matches!(pack(&directory, LIMITS), Err(ContextError::DockerfileMissing { .. })));
}

#[test]
fn limits_hold() {
    let directory = checkout(&[("Dockerfile", "FROM a\n"), ("a", &"x".repeat(1000)), ("b", "")]);
    let bytes = ContextLimits { bytes: 900, ..LIMITS };
    assert!(matches!(pack(&directory, bytes), Err(ContextError::TooLarge(900))));
    let files = ContextLimits { files: 2, ..LIMITS };
    assert!(matches!(pack(&directory, files), Err(ContextError::TooManyFiles(2))));
    let large = checkout(&[("Dockerfile", &"#".repeat(2 * 1024 * 1024))]);
    assert!(matches!(pack(&large, LIMITS), Err(ContextError::TextTooLarge(..))));
}

#[test]
fn it_stops_when_nobody_reads_any_more() {
    let directory = checkout(&[("Dockerfile", "FROM a\n"), ("a", "")]);
    let context = Context::locate(directory.path(), "", "Dockerfile").unwrap();
    let stopped = context.write(b"", 0, LIMITS, io::sink(), &|| true);
    assert!(matches!(stopped, Err(ContextError::Io(_))));
}

#[test]
fn a_missing_dockerfile_says_what_there_is() {
    let directory = checkout(&[("app/web.Dockerfile", ""), ("app/Dockerfile.dockerignore", "")]);
    let error = Context::locate(directory.path(), "app", "Dockerfile").unwrap_err().to_string();
    assert!(error.contains("app/Dockerfile"), "{error}");
    assert!(error.contains("there is web.Dockerfile"), "{error}");
}

#[test]
fn links_inside_the_repository_are_followed_and_out_of_it_are_not() {
    let directory = checkout(&[("common/Dockerfile", "FROM common\n"), ("app/a", "")]);
    let app = directory.path().join("app");
    symlink("../common/Dockerfile", app.join("Dockerfile")).unwrap();
    let context = Context::locate(directory.path(), "app", "Dockerfile").unwrap();
    assert_eq!(context.content(), b"FROM common\n");
    symlink("/etc/hosts", app.join(".dockerignore")).unwrap();
    let refused = Context::locate(directory.path(), "app", "Dockerfile");
    assert!(matches!(refused, Err(ContextError::Outside { .. })));
    symlink("loop", directory.path().join("loop")).unwrap();
    let refused = Context::locate(directory.path(), "loop", "Dockerfile");
    assert!(matches!(refused, Err(ContextError::RootMissing(_))));
}

#[test]
fn paths_that_are_not_plain_are_refused() {
    for path in ["..", "../x", "a/../b", "/etc", "/", ".git", "a/.git", "a\nb", "a\0b", "a\\b"] {
        let refused = relative("root directory", path);
        assert!(matches!(refused, Err(ContextError::Path { .. })), "{path:?}");
    }
    for path in ["", ".", "./a", "a//b", "a/.gitignore", "ä", "-rf", "a b", "$(x)"] {
        assert!(relative("root directory", path).is_ok(), "{path:?}");
    }
}
