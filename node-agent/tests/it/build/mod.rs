//! Builds, from commits on a real git server to images on the real engine.

mod building;
mod ending;
mod hostile;
mod registries;
pub mod world;
