//! What the gate says about committed data that differs from fresh data.

use super::{QueryData, differences, read, write};

fn data(entries: &[(&str, &str)]) -> QueryData {
    let query = |text: &&str| format!("{{\"query\": \"{text}\"}}").into_bytes();
    entries.iter().map(|(name, text)| ((*name).to_owned(), query(text))).collect()
}

#[test]
fn equal_data_passes_and_each_difference_is_named_with_its_query() {
    let committed = data(&[("a", "select 1"), ("b", "select 2"), ("c", "select  3")]);
    assert!(differences(&committed, &committed).is_empty());
    let fresh = data(&[("a", "select 1"), ("b", "select 2, 2"), ("d", "select 4")]);
    assert_eq!(
        differences(&committed, &fresh),
        ["changed: select 2, 2", "missing: select 4", "no longer used: select 3"]
    );
}

#[test]
fn writing_leaves_exactly_what_is_current() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &data(&[("old.json", "select 1")])).unwrap();
    let current = data(&[("new.json", "select 2")]);
    write(directory.path(), &current).unwrap();
    assert_eq!(read(directory.path()).unwrap(), current);
}
