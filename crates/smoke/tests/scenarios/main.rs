//! The scenarios of SPEC.md, told through the built `banger` alone. One module for each theme; a scenario boots few
//! guests and checks several things in each, as named steps, because under emulation a boot costs seconds.

mod adoption;
mod agent_gone;
mod chaos;
mod copying;
mod detached;
mod devcontainer;
mod disk_full;
mod disks;
mod distributions;
mod faults;
mod file_sync;
mod guests;
mod hostile;
mod images;
mod interruption;
mod life;
mod newer_images;
mod ordinary_user;
mod published;
mod pulling;
mod refusals;
mod replaced;
mod running;
mod sessions;
mod shell;
mod ssh;
mod ssh_config;
mod stuck;
mod systemd;
mod tiny_root;
mod tools;
mod workspace;
mod workspace_export;
mod workspace_large;
mod workspaces;
