//! Migrations are compiled in: a new file must rebuild the crate.
#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
