//! The built `banger` against a daemon that says what each test wants: what users see, and which exit codes they get.

// What is at hand here either works or the test has failed.
#![allow(clippy::unwrap_used)]

mod doctor;
mod errors;
mod exec;
mod export;
mod fake_daemon;
mod help;
mod labels;
mod lists;
mod one_daemon;
mod operations;
mod replacing;
mod run;
mod run_existing;
mod sample;
mod sessions;
mod ssh;
mod terminal;
