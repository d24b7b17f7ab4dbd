use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_line_is_one_json_object_with_dotted_names() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = Registry::default().with(log_layer(move || writer.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("request", request.id = "req_1").entered();
        tracing::info!(project.id = "prj_1", duration_ms = 3, "deployed\nfine");
    });
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [r#""project.id":"prj_1""#, r#""duration_ms":3"#, r#""request.id":"req_1""#] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Accepts one request and answers 200; returns what came.
fn collector() -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 65536];
        let mut length = stream.read(&mut bytes).unwrap();
        // The body may come in a packet of its own.
        while !bytes[..length].windows(8).any(|part| part == b"a-marker") {
            length += stream.read(&mut bytes[length..]).unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        bytes.truncate(length);
        bytes
    });
    (endpoint, thread)
}

#[tokio::test]
async fn a_span_arrives_at_the_collector() {
    let (endpoint, received) = collector();
    let provider = tokio::task::spawn_blocking(move || provider_for("zeitwork-test", &endpoint));
    let provider = provider.await.unwrap().unwrap();
    let layers = Registry::default().with(trace_layer(provider.tracer("test")));
    tracing::subscriber::with_default(layers, || {
        let span = tracing::info_span!("a-marker");
        continue_trace(&span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        span.in_scope(|| {
            let out = traceparent().unwrap();
            assert!(out.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{out}");
        });
    });
    Telemetry { provider: Some(provider) }.shutdown().await;
    let bytes = received.join().unwrap();
    assert!(bytes.starts_with(b"POST /v1/traces "));
}

#[test]
fn a_traceparent_that_breaks_the_rules_is_ignored() {
    for bad in [
        "",
        "00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-xaf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(parse_traceparent(bad), None, "{bad}");
    }
}
