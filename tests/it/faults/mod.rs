//! What survives when processes are killed.

mod disk;
mod engine;
mod kills;
mod pushes;
