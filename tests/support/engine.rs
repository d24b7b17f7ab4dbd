//! What the container engine has of one installation, as it says itself.

use std::collections::BTreeSet;
use std::path::Path;

use hyper::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zeitwork_stand_ins::engine::SOCKET;

use crate::http::Ask;

/// The labels of its containers, whatever state they are in.
pub async fn containers(installation: &str) -> Vec<Value> {
    let all = listed("/containers/json?all=1", installation).await;
    all.iter().map(|it| it["Labels"].clone()).collect()
}

/// The ids of what a list of the engine's API holds of it.
pub async fn ids(path: &str, installation: &str) -> BTreeSet<String> {
    let all = listed(path, installation).await;
    all.iter().filter_map(|it| it["Id"].as_str()).map(str::to_owned).collect()
}

/// Makes an image that carries its label and that nothing wants, on the engine behind a socket.
///
/// # Panics
/// Where the engine does not make it.
pub async fn image(socket: &Path, installation: &str) {
    let label = format!("LABEL%20dev.zeitwork.installation%3D{installation}");
    let path = format!("/images/create?fromSrc=-&changes={label}");
    // A tar archive of nothing: two empty blocks.
    let archive = [0; 1024];
    let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", archive.len());
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(&[head.as_bytes(), &archive].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("sha256:"), "{answer}");
}

/// The names of its bridges.
pub async fn bridges(installation: &str) -> Vec<String> {
    let all = listed("/networks", installation).await;
    let name =
        |it: &Value| it["Options"]["com.docker.network.bridge.name"].as_str().map(str::to_owned);
    all.iter().filter_map(name).collect()
}

/// Removes every image of it, as `docker system prune -a` would.
///
/// # Panics
/// Where the engine refuses.
pub async fn remove_images(installation: &str) {
    for image in ids("/images/json", installation).await {
        let path = format!("/images/{image}?force=1");
        let ask = Ask { method: Method::DELETE, ..Ask::get("engine", &path) };
        let stream = UnixStream::connect(SOCKET).await.unwrap();
        let answer = ask.send_over(stream).await.unwrap();
        assert!(answer.status.is_success(), "{image}: {}", answer.text());
    }
    assert_eq!(ids("/images/json", installation).await, BTreeSet::new());
}

/// The items of a list of the engine's API that carry its label.
///
/// # Panics
/// Where the engine does not answer.
async fn listed(path: &str, installation: &str) -> Vec<Value> {
    let label = format!("dev.zeitwork.installation%3D{installation}");
    let mark = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{mark}filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
    let stream = UnixStream::connect(SOCKET).await.unwrap();
    let answer = Ask::get("engine", &path).send_over(stream).await.unwrap();
    answer.json().as_array().cloned().unwrap_or_default()
}
