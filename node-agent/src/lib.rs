//! The agent of one host: carries out the target of its node (instances and builds) on Docker
//! Engine, and reports what is really there. It decides nothing that concerns other nodes.

pub mod agent;
pub mod build;
pub mod builds;
pub mod clean;
pub mod config;
pub mod container;
pub mod disk;
pub mod health;
pub mod images;
pub mod instances;
pub mod life;
pub mod logs;
pub mod metrics;
pub mod network;
pub mod observe;
pub mod plan;
pub mod report;
pub mod space;
pub mod target;

pub use agent::{Parts, remove, run};
pub use config::Config;
