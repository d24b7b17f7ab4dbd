//! Tables of cases, the properties, and the scenarios.

use super::*;

mod cases;
mod properties;
mod scenarios;
mod simulation;

use simulation::World;
