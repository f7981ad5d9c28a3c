//! The tools, by theme.

mod checkpoints;
mod commands;
mod files;
mod machines;
mod workspaces;
