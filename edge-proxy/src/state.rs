//! An edge's own directory: its id and its copy of the routes.
//!
//! The id outlives the process, so an edge that is killed and started again takes over its own
//! lease instead of leaving one behind that everybody waits for. Two edges with one state
//! directory get a directory each: the first free one is held by a lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use zeitwork_model::id::EdgeId;

/// Edges with one state directory.
const PLACES: u32 = 64;

/// The directory, held until dropped.
#[derive(Debug)]
pub struct Place {
    /// Where.
    pub directory: PathBuf,
    /// Whose.
    pub id: EdgeId,
    _lock: File,
}

/// Takes the first free place below the state directory.
///
/// # Errors
/// When it cannot be made or read, or all are taken.
pub fn claim(state: &Path) -> io::Result<Place> {
    for number in 1..=PLACES {
        let name = if number == 1 { "edge".to_owned() } else { format!("edge-{number}") };
        let directory = state.join(name);
        fs::create_dir_all(&directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                let id = read_or_make_id(&directory.join("id"))?;
                return Ok(Place { directory, id, _lock: lock });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{PLACES} edges already use {}", state.display())))
}

fn read_or_make_id(path: &Path) -> io::Result<EdgeId> {
    let known = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(id) = known {
        return Ok(id);
    }
    // Missing or damaged: another id is harmless, the old lease ends by itself.
    let id = EdgeId::new();
    fs::write(path, id.to_string())?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_keeps_its_id_and_two_edges_have_two() {
        let state = tempfile::tempdir().unwrap();
        let first = claim(state.path()).unwrap();
        let second = claim(state.path()).unwrap();
        assert_ne!(first.id, second.id);
        assert_ne!(first.directory, second.directory);
        let id = first.id;
        drop(first);
        assert_eq!(claim(state.path()).unwrap().id, id);
    }
}
