use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::{get, post};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::world_clock;

type Imports = Arc<Mutex<Vec<(String, Bytes)>>>;

/// An engine that knows two calls.
fn engine(has_image: bool) -> (TempDir, PathBuf, Imports) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let imports = Imports::default();
    let seen = Arc::clone(&imports);
    let import = async move |RawQuery(query): RawQuery, body: Bytes| {
        seen.lock().unwrap().push((query.unwrap_or_default(), body));
        StatusCode::OK
    };
    let status = if has_image { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let router = Router::new()
        .route("/images/busybox:latest/json", get(async move || status))
        .route("/images/create", post(import).layer(axum::extract::DefaultBodyLimit::disable()));
    world_clock::spawn(async move { axum::serve(listener, router).await });
    (directory, socket, imports)
}

#[tokio::test]
async fn an_image_that_is_there_is_left_alone() {
    let (_directory, socket, imports) = engine(true);
    assert_eq!(ensure(&socket).await.unwrap(), Source::Present);
    assert!(imports.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_an_engine_the_error_says_where_it_was_looked_for() {
    let error = ensure(Path::new("/nowhere/engine.sock")).await.unwrap_err();
    assert_eq!(error.to_string(), "the Docker Engine does not answer at /nowhere/engine.sock");
}

#[tokio::test]
async fn the_import_configures_the_image_as_the_official_one() {
    let (_directory, socket, imports) = engine(false);
    import(&socket, &pack(b"program", &["sh".to_owned()]).unwrap()).await.unwrap();
    let (query, body) = imports.lock().unwrap().remove(0);
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&query).unwrap();
    let of = |name: &str| -> Vec<&str> {
        pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(
        (of("fromSrc"), of("repo"), of("tag")),
        (vec!["-"], vec!["busybox"], vec!["latest"])
    );
    assert!(of("changes").contains(&"CMD [\"sh\"]"));
    assert!(!body.is_empty());
}

#[test]
fn each_applet_is_a_link_to_the_program() {
    let applets = ["sh", "httpd", "busybox", "../evil"].map(str::to_owned);
    let archive = pack(b"program", &applets).unwrap();
    let mut archive = tar::Archive::new(archive.as_slice());
    let entries: HashMap<String, (u32, Option<String>)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let mode = entry.header().mode().unwrap();
            (entry.path().unwrap().display().to_string(), (mode, link))
        })
        .collect();
    assert_eq!(entries["bin/busybox"], (0o755, None));
    assert_eq!(entries["bin/httpd"], (0o777, Some("busybox".to_owned())));
    assert_eq!(entries["tmp/"].0, 0o1777);
    assert!(!entries.keys().any(|path| path.contains("evil")));
}

#[test]
fn a_program_that_needs_a_loader_is_no_base() {
    let own = std::env::current_exe().unwrap();
    assert!(!is_static(&own));
    assert!(!is_static(Path::new("/nowhere")));
}
