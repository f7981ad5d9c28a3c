//! Things of the API as text. As JSON they are as the API gives them.

pub mod checkpoint;
pub mod copy;
pub mod detached;
pub mod doctor;
pub mod events;
pub mod executed;
pub mod image;
pub mod image_cache;
pub mod kernel;
pub mod network;
pub mod port;
pub mod prove;
pub mod secret;
pub mod shown;
pub mod ssh;
pub mod system;
pub mod template;
pub mod vm;
pub mod watching;
pub mod workspace;
