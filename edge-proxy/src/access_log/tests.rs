use std::sync::{Mutex, PoisonError};

use super::*;
use crate::testing::{Edge, HOST, Instance, route};

/// A log that can be read while it is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = self.0.lock().unwrap().clone();
        let text = String::from_utf8(text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn each_request_is_one_line_without_its_query() {
    let paper = Paper::default();
    let log = start(paper.clone(), || OffsetDateTime::UNIX_EPOCH).unwrap();
    let instance = Instance::echo().await;
    let route = route(vec![instance.endpoint]);
    let (project, environment) = (route.project, route.environment);
    let edge = Edge::logging(route, &log);
    let answer = edge.get("/path?token=secret").await;
    edge.ask("GET /\" HTTP/1.1\r\nHost: unknown\r\nX-Request-Id: mine").await;
    crate::testing::until("two lines", || paper.lines().len() == 2).await;
    let mut lines = paper.lines();
    lines.sort_by_key(|line| line["status"].as_u64());
    let line = &lines[0];
    assert_eq!(line["request.id"], answer.header("x-request-id").unwrap());
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/path".into()));
    assert_eq!((&line["host"], &line["status"]), (&HOST.into(), &200.into()));
    assert_eq!(line["project.id"], project.to_string());
    assert_eq!(line["environment.id"], environment.to_string());
    assert_eq!(line["instance.id"], instance.endpoint.instance.to_string());
    assert_eq!(line["bytes"], answer.body.len());
    assert!(lines.iter().all(|line| line["complete"] == true));
    assert!(line["duration_us"].as_u64().unwrap() > 0 && line.get("answer").is_none());
    assert_eq!(
        (&lines[1]["answer"], &lines[1]["request.id"]),
        (&"no_route".into(), &"mine".into())
    );
    assert!(!String::from_utf8(paper.0.lock().unwrap().clone()).unwrap().contains("secret"));
}

#[test]
fn a_writer_that_is_behind_costs_lines_and_no_memory() {
    let (sender, _never_read) = sync_channel(1);
    let batch = Batch::new(Some(sender));
    batch.push(Record::default());
    assert_eq!(batch.flush(), 0);
    for _ in 0..10 {
        batch.push(Record::default());
    }
    assert_eq!(batch.flush(), 10);
    assert_eq!(batch.flush(), 0, "they are gone, not kept");
}
