use super::*;
use crate::logs::Line;

async fn said(work: impl FnOnce(&BuildLog<'_>), secrets: &[&str]) -> Vec<Line> {
    let (sink, mut ends) = LogSink::channel(100_000);
    work(&BuildLog::new(&sink, secrets.iter().copied()));
    drop(sink);
    let mut lines = Vec::new();
    while let Some(line) = ends.next().await {
        lines.push(line);
    }
    lines
}

#[tokio::test]
async fn secrets_are_hidden_and_ordinary_words_are_not() {
    let lines = said(
        |log| log.say(Stream::Stdout, "production uses s3cr3t-value"),
        &["production", "s3cr3t-value"],
    )
    .await;
    assert_eq!(lines[0].text, "production uses ***");
}

#[tokio::test]
async fn a_full_log_says_so_and_still_takes_the_platforms_lines() {
    let line = "x".repeat(1023);
    let lines = said(
        |log| {
            for _ in 0..5_000 {
                log.say(Stream::Stdout, &line);
            }
            log.say(Stream::System, "the end");
        },
        &[],
    )
    .await;
    let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
    assert!(bytes <= MAXIMUM_OUTPUT + 2_048, "{bytes}");
    let ends: Vec<&str> = lines.iter().rev().take(2).map(|line| line.text.as_str()).collect();
    assert_eq!(ends, ["the end", "log limit of 4 MiB reached; further output is left out"]);
}
