//! Orders of the service to PID 1, over a socket pair that both have had since the start. One line each way.
//!
//! ```text
//!  enter PATH      make PATH the root, for good           ok
//!  become PATH     run the init of that path              (the socket closes) or error …
//!  stay            stay PID 1: reap and supervise         ok
//!  poweroff        end everything                         ok
//!  reboot          end everything, boot again             ok
//! ```

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use banger_guest::ShutdownMode;

/// Longest line, in bytes.
const MAX_LINE: usize = 5000;

/// An order to PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Make this directory the root.
    Enter(PathBuf),
    /// Become this program.
    Become(PathBuf),
    /// Stay.
    Stay,
    /// End everything.
    ShutDown(ShutdownMode),
}

impl Order {
    fn to_line(&self) -> String {
        match self {
            Self::Enter(path) => format!("enter {}", path.display()),
            Self::Become(path) => format!("become {}", path.display()),
            Self::Stay => "stay".to_owned(),
            Self::ShutDown(ShutdownMode::Poweroff) => "poweroff".to_owned(),
            Self::ShutDown(ShutdownMode::Reboot) => "reboot".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("enter", path)) => Some(Self::Enter(path.into())),
            Some(("become", path)) => Some(Self::Become(path.into())),
            None if line == "stay" => Some(Self::Stay),
            None if line == "poweroff" => Some(Self::ShutDown(ShutdownMode::Poweroff)),
            None if line == "reboot" => Some(Self::ShutDown(ShutdownMode::Reboot)),
            _ => None,
        }
    }
}

/// Sends an order and waits for its answer. The end of the socket is the answer of a PID 1 that became another program.
///
/// # Errors
/// PID 1's own words, or that it is not there.
pub fn give(mut socket: &UnixStream, order: &Order) -> io::Result<()> {
    socket.write_all(format!("{}\n", order.to_line()).as_bytes())?;
    match (read_line(socket)?.as_deref(), order) {
        (Some("ok"), _) | (None, Order::Become(_)) => Ok(()),
        (Some(error), _) => Err(io::Error::other(error.to_owned())),
        (None, _) => Err(io::Error::other("PID 1 does not listen any more")),
    }
}

/// The next order; `None` when the service is gone.
///
/// # Errors
/// When the socket fails or the line is no order.
pub fn take(socket: &UnixStream) -> io::Result<Option<Order>> {
    match read_line(socket)? {
        Some(line) => Order::parse(&line)
            .map(Some)
            .ok_or_else(|| io::Error::other(format!("no order: {line}"))),
        None => Ok(None),
    }
}

/// Answers an order.
///
/// # Errors
/// When the service is gone.
pub fn answer(mut socket: &UnixStream, result: &io::Result<()>) -> io::Result<()> {
    let line = match result {
        Ok(()) => "ok\n".to_owned(),
        Err(error) => format!("{}\n", error.to_string().replace('\n', " ")),
    };
    socket.write_all(line.as_bytes())
}

fn read_line(mut socket: &UnixStream) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while socket.read(&mut byte)? == 1 {
        if byte[0] == b'\n' {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        line.push(byte[0]);
        if line.len() > MAX_LINE {
            return Err(io::Error::other("line is too long"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_arrives_and_is_answered() {
        let orders = [
            Order::Enter("/newroot".into()),
            Order::Become("/lib/system d/init".into()),
            Order::Stay,
            Order::ShutDown(ShutdownMode::Reboot),
        ];
        let (service, init) = UnixStream::pair().unwrap();
        let sent = orders.clone();
        let giving = std::thread::spawn(move || {
            sent.iter()
                .map(|order| give(&service, order).map_err(|error| error.to_string()))
                .collect::<Vec<_>>()
        });
        for order in &orders {
            assert_eq!(take(&init).unwrap().as_ref(), Some(order));
            let result = if *order == Order::Stay {
                Err(io::Error::other("no\nway"))
            } else {
                Ok(())
            };
            answer(&init, &result).unwrap();
        }
        let results = giving.join().unwrap();
        assert_eq!(results[2], Err("no way".to_owned()));
        assert!(results[0].is_ok() && results[1].is_ok() && results[3].is_ok());
        assert_eq!(take(&init).unwrap(), None);
    }
}
