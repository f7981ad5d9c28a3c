//! The tools, by theme.

mod commands;
mod files;
mod machines;
mod workspaces;
