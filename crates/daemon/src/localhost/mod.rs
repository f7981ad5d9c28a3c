//! `NAME.localhost`: servers of guests under their VMs' names, for browsers.
//!
//! ```text
//! http://web.localhost:8383/        ─► the port of VM "web" that a browser can mean, else a page that names them all
//! http://3000.web.localhost:8383/   ─► port 3000
//! ```
//! Browsers and curl take every name below `localhost` for this host, without a resolver. The first head says the name; from then
//! on bytes are passed on as they come, so that everything that begins as HTTP/1.1 works (web sockets among it). A browser keeps the
//! connections of each name apart.
//!
//! Only this user's connections are taken, as at the addresses of VMs, and only for names below `localhost`: a page of the internet
//! whose name leads to 127.0.0.1 gets nothing.

mod page;
mod serve;
mod target;

pub(crate) use serve::{Front, serve};
