use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::routes::table::Table;
use crate::testing::{endpoint, table_of};

#[test]
fn what_is_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    assert!(matches!(disk.read(), Err(DiskError::Missing)));
    let table =
        table_of(7, &[("a.localhost", vec![endpoint(1), endpoint(2)]), ("b.localhost", vec![])]);
    disk.write(&table).unwrap();
    disk.write(&table).unwrap();
    assert_eq!(disk.read().unwrap(), table);
    let mode = fs::metadata(&disk.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let memory = Table::new(&[]);
    memory.replace(table.clone());
    assert_eq!(memory.snapshot().unwrap(), table, "memory keeps all that is written");
}

#[test]
fn a_damaged_copy_says_so_at_every_length() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    disk.write(&table_of(7, &[("a.localhost", vec![endpoint(1)])])).unwrap();
    let whole = fs::read(&disk.path).unwrap();
    for length in 0..whole.len() {
        fs::write(&disk.path, &whole[..length]).unwrap();
        assert!(matches!(disk.read(), Err(DiskError::Damaged(_))), "{length} bytes");
    }
    fs::write(&disk.path, [0xff; 64]).unwrap();
    assert!(matches!(disk.read(), Err(DiskError::Damaged(_))));
}

#[test]
fn a_copy_of_a_newer_edge_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let mut table = table_of(7, &[]);
    table.minimum_reader = READER + 1;
    disk.write(&table).unwrap();
    assert!(matches!(disk.read(), Err(DiskError::TooNew { needed }) if needed == READER + 1));
}

#[test]
fn a_crash_while_writing_leaves_the_old_copy() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let table = table_of(7, &[]);
    disk.write(&table).unwrap();
    fs::write(disk.path.with_extension("new"), "half").unwrap();
    assert_eq!(disk.read().unwrap(), table);
    disk.write(&table).unwrap();
}
