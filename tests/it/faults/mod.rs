//! What survives when processes are killed.

mod disk;
mod kills;
mod pushes;
