//! How the things of the API look as text. As JSON they are what the API says.

pub mod copy;
pub mod detached;
pub mod doctor;
pub mod executed;
pub mod image;
pub mod image_cache;
pub mod kernel;
pub mod prove;
pub mod shown;
pub mod ssh;
pub mod system;
pub mod vm;
pub mod workspace;
