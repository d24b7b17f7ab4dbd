use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::routes::table::Table;
use crate::testing::{endpoint, leave_on_disk, route, table_of};

fn at(generation: i64) -> Position {
    Position { epoch: 1, generation }
}

fn line(generation: i64, changes: &[(&str, Option<u16>)]) -> Vec<u8> {
    let entry = |&(host, port): &(&str, Option<u16>)| Entry {
        host: host.to_owned(),
        route: port.map(|port| route(vec![endpoint(port)])),
    };
    let batch = Batch { position: at(generation), changes: changes.iter().map(entry).collect() };
    let mut line = Vec::new();
    record::write(&mut line, &batch).unwrap();
    line
}

/// A file of a table and some steps, and the table after each step.
fn written(directory: &Path) -> Vec<RouteTable> {
    let table = table_of(7, &[("a.test", vec![endpoint(1)]), ("b.test", vec![])]);
    leave_on_disk(directory, table);
    let mut disk = Disk::new(directory);
    let mut tables = vec![disk.read().unwrap()];
    for (generation, changes) in [
        (8, &[("a.test", None), ("c.test", Some(2))][..]),
        (9, &[("b.test", Some(3)), ("c.test", Some(4)), ("d.test", Some(5))]),
        (12, &[("c.test", None)]),
    ] {
        disk.append(&line(generation, changes)).unwrap();
        tables.push(Disk::new(directory).read().unwrap());
    }
    tables
}

#[test]
fn what_is_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Disk::new(directory.path()).read(), Err(DiskError::Missing)));
    let table = table_of(7, &[("a.test", vec![endpoint(1), endpoint(2)]), ("b.test", vec![])]);
    for _ in 0..2 {
        leave_on_disk(directory.path(), table.clone());
        let mut disk = Disk::new(directory.path());
        assert_eq!(disk.read().unwrap(), table);
        let mode = fs::metadata(&disk.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let memory = Table::new(&[]);
        memory.replace(table.clone());
        assert_eq!(memory.freeze().unwrap().to_table(), table, "memory keeps all that is written");
    }
}

#[test]
fn changes_are_read_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let tables = written(directory.path());
    let generations: Vec<i64> = tables.iter().map(|table| table.position.generation).collect();
    assert_eq!(generations, [7, 8, 9, 12]);
    let hosts: Vec<&String> = tables[2].routes.keys().collect();
    assert_eq!(hosts, ["b.test", "c.test", "d.test"]);
    assert_eq!(tables[2].routes["c.test"].endpoints[0].address.port(), 4);
    assert!(!tables[3].routes.contains_key("c.test"));
}

#[test]
fn a_write_that_breaks_off_at_any_byte_leaves_a_table_that_once_was() {
    let directory = tempfile::tempdir().unwrap();
    let tables = written(directory.path());
    let mut disk = Disk::new(directory.path());
    let whole = fs::read(&disk.path).unwrap();
    let mut seen = 0;
    for length in (0..=whole.len()).rev() {
        fs::write(&disk.path, &whole[..length]).unwrap();
        match disk.read() {
            Ok(table) => {
                assert!(tables.contains(&table), "{length} bytes: {table:?}");
                // What is appended to the rest is read again.
                disk.append(&line(20, &[("z.test", Some(9))])).unwrap();
                let next = Disk::new(directory.path()).read().unwrap();
                assert_eq!(next.position, at(20), "{length} bytes");
                assert_eq!(next.routes.len(), table.routes.len() + 1, "{length} bytes");
                seen += 1;
            }
            Err(DiskError::Damaged) => {}
            Err(error) => panic!("{length} bytes: {error}"),
        }
    }
    assert!(seen > whole.len() / 2, "{seen}");
}

#[test]
fn a_byte_that_has_changed_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let tables = written(directory.path());
    let mut disk = Disk::new(directory.path());
    let whole = fs::read(&disk.path).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x04;
        fs::write(&disk.path, &damaged).unwrap();
        match disk.read() {
            Ok(table) => assert!(tables.contains(&table), "byte {place}: {table:?}"),
            Err(DiskError::Damaged) => {}
            Err(error) => panic!("byte {place}: {error}"),
        }
    }
}

#[test]
fn a_copy_of_a_newer_edge_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(directory.path());
    let base = Base { version: 9, minimum_reader: READER + 1, position: at(1), routes: 0 };
    let mut line = Vec::new();
    record::write(&mut line, &base).unwrap();
    fs::write(&disk.path, line).unwrap();
    assert!(matches!(disk.read(), Err(DiskError::TooNew { needed }) if needed == READER + 1));
}

#[test]
fn a_crash_while_the_table_is_written_anew_leaves_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let tables = written(directory.path());
    let mut disk = Disk::new(directory.path());
    fs::write(disk.beside(), "half").unwrap();
    assert_eq!(&disk.read().unwrap(), tables.last().unwrap());
    leave_on_disk(directory.path(), table_of(30, &[]));
    assert_eq!(disk.read().unwrap().position, at(30));
}

#[test]
fn what_came_while_the_table_was_written_anew_follows_it_and_nothing_older_does() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Table::new(&[]);
    memory.replace(table_of(9, &[("a.test", vec![endpoint(1)])]));
    let mut disk = Disk::new(directory.path());
    let fresh = Journal::write(&disk.beside(), &memory.freeze().unwrap()).unwrap();
    let older = line(8, &[("a.test", None), ("b.test", Some(2))]);
    let newer = line(10, &[("c.test", Some(3))]);
    disk.adopt(fresh, &[older, newer].concat()).unwrap();
    let table = Disk::new(directory.path()).read().unwrap();
    assert_eq!(table.position, at(10));
    assert_eq!(table.routes.keys().collect::<Vec<_>>(), ["a.test", "c.test"]);
}

#[test]
fn a_forgotten_copy_is_no_copy() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let mut disk = Disk::new(directory.path());
    disk.read().unwrap();
    disk.forget().unwrap();
    assert!(matches!(disk.read(), Err(DiskError::Missing)));
    assert!(disk.append(&line(40, &[])).is_err(), "there is nothing to append to");
    disk.forget().unwrap();
}
