//! What survives when processes are killed.

mod agent_steps;
mod disk;
mod engine;
mod hangs;
mod kills;
mod lines;
mod pruned;
mod pushes;
mod renamed;
mod space;
mod steps;
mod zombies;
