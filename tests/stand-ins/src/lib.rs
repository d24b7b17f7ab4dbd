//! Stand-ins for the outside world, speaking its real wire formats over real sockets.
//!
//! Used by tests and by `make up`; linked into no daemon. What a stand-in does not know it
//! refuses as the original would: a call that passes here by luck would fail in production.

// One JSON object of a GitHub repository has more fields than the default allows.
#![recursion_limit = "256"]

pub mod busybox;
pub mod engine;
pub mod github;
mod http;
pub mod private_file;
mod random;
pub mod sample;
mod world_clock;
