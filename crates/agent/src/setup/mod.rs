//! `Configure`: from a bare initramfs to the guest's own root, identity, files and network.

pub mod agent_unit;
pub mod authorities;
pub mod copy_up;
pub mod disks;
pub mod farewell;
pub mod files;
pub mod fstab;
pub mod grow;
pub mod identity;
pub mod kernel_limits;
pub mod kernel_modules;
pub mod machine;
pub mod mounts;
pub mod net;
pub mod netlink;
pub mod power;
pub mod root;
pub mod stages;
pub mod state;
pub mod systemd;
pub mod temporary;
pub mod units;
pub mod written;
