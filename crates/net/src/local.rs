//! Services of this process at the name server's address: DNS over TCP, and `http://banger.internal/denied`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::IpAddr;

use crate::connections::NO_TOKEN;
use crate::ends::Ends;
use crate::flow::{Backend, Flow};
use crate::limits;
use crate::packet::Packet;
use crate::process::Net;
use crate::resolver::Client;

/// Bytes that wait for the guest, beyond which nothing more is taken from it.
const WAITING_MAX_BYTES: usize = 128 * 1024;
/// Longest head of a request.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// Questions of one connection that have no answer yet.
const OPEN_QUESTIONS_MAX: usize = 16;

/// Kind of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// DNS, each message with its length before it (RFC 1035, 4.2.2).
    Dns,
    /// HTTP, one request a connection.
    Http,
}

/// One connection to a service. What it wants is fetched by [`Local::next`], and answered by [`Local::answer`].
#[derive(Debug)]
pub(crate) struct Local {
    service: Service,
    taken: Vec<u8>,
    waiting: VecDeque<u8>,
    open_questions: usize,
    guest_ended: bool,
    over: bool,
}

/// Wish of the guest to a service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An answer to a message of DNS.
    Dns(Vec<u8>),
    /// A page.
    Page(String),
}

impl Local {
    pub(crate) fn new(service: Service) -> Self {
        Self {
            service,
            taken: Vec::new(),
            waiting: VecDeque::new(),
            open_questions: 0,
            guest_ended: false,
            over: false,
        }
    }

    /// Takes bytes of the guest's; answers with their number.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        if self.over {
            return bytes.len();
        }
        let limit = match self.service {
            Service::Dns => 2 + usize::from(u16::MAX),
            Service::Http => HEAD_MAX_BYTES,
        };
        let full =
            self.open_questions >= OPEN_QUESTIONS_MAX || self.waiting.len() >= WAITING_MAX_BYTES;
        let room = match full {
            true => 0,
            false => limit.saturating_sub(self.taken.len()),
        };
        let count = bytes.len().min(room);
        self.taken.extend_from_slice(&bytes[..count]);
        count
    }

    /// The next thing that is wanted.
    pub(crate) fn next(&mut self) -> Option<Wanted> {
        match self.service {
            Service::Dns => {
                let length = self.taken.first_chunk::<2>().copied()?;
                let end = 2 + usize::from(u16::from_be_bytes(length));
                let message = self.taken.get(2..end)?.to_vec();
                self.taken.drain(..end);
                self.open_questions += 1;
                Some(Wanted::Dns(message))
            }
            Service::Http => {
                if self.over {
                    return None;
                }
                let end = self.taken.windows(4).position(|four| four == b"\r\n\r\n");
                if end.is_none() && self.taken.len() < HEAD_MAX_BYTES {
                    return None;
                }
                let head = String::from_utf8_lossy(&self.taken);
                let mut words = head.split(' ');
                let page = match (words.next(), words.next()) {
                    (Some("GET"), Some(path)) if end.is_some() => path.to_owned(),
                    _ => String::new(),
                };
                self.taken.clear();
                self.over = true;
                Some(Wanted::Page(page))
            }
        }
    }

    /// Answers what was wanted.
    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        match self.service {
            Service::Dns => {
                self.open_questions = self.open_questions.saturating_sub(1);
                if let Ok(length) = u16::try_from(bytes.len()) {
                    self.waiting.extend(length.to_be_bytes());
                    self.waiting.extend(bytes);
                }
            }
            Service::Http => self.waiting.extend(bytes),
        }
    }

    /// Gives bytes to the guest; 0 at the end.
    pub(crate) fn give(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.waiting.len().min(room.len());
        for (to, from) in room.iter_mut().zip(self.waiting.drain(..count)) {
            *to = from;
        }
        let is_done = match self.service {
            Service::Dns => self.guest_ended && self.open_questions == 0 && !self.has_whole(),
            Service::Http => self.over || self.guest_ended && !self.has_whole(),
        };
        match count {
            0 if !is_done => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Tells whether something whole was taken that has not been looked at.
    fn has_whole(&self) -> bool {
        match self.service {
            Service::Dns => self.taken.first_chunk::<2>().is_some_and(|length| {
                self.taken.len() >= 2 + usize::from(u16::from_be_bytes(*length))
            }),
            Service::Http => self.taken.windows(4).any(|four| four == b"\r\n\r\n"),
        }
    }

    /// Notes that the guest sends no more.
    pub(crate) fn end(&mut self) {
        self.guest_ended = true;
    }
}

impl Net {
    /// The service at an address of ours; `Some(None)`: there is none at this port.
    pub(crate) fn service(&self, (address, port): (IpAddr, u16)) -> Option<Option<Service>> {
        self.is_name_server(address).then_some(match port {
            53 => Some(Service::Dns),
            80 => Some(Service::Http),
            _ => None,
        })
    }

    /// Tells whether an address is that of our name server.
    pub(crate) fn is_name_server(&self, address: IpAddr) -> bool {
        let guest = &self.config.guest;
        let v6 = guest.v6.map(|v6| IpAddr::V6(v6.name_server));
        address == IpAddr::V4(guest.v4.name_server) || Some(address) == v6
    }

    pub(crate) fn begin_local(&mut self, key: Ends, packet: &Packet<'_>, service: Service) {
        let mut flow = Flow::new(NO_TOKEN, None, limits::buffers(usize::MAX));
        flow.syn = packet.whole.to_vec();
        flow.backend = Backend::Local(Local::new(service));
        self.insert(key, flow);
        self.open(key);
    }

    pub(crate) fn serve_local(&mut self, key: Ends) {
        loop {
            let wanted = match self.flows.get_mut(&key).map(|flow| &mut flow.backend) {
                Some(Backend::Local(local)) => local.next(),
                _ => None,
            };
            match wanted {
                None => return,
                Some(Wanted::Dns(message)) => {
                    self.lookup(&message, |query| Client::Connection { query, key })
                }
                Some(Wanted::Page(path)) => {
                    let page = self.page(&path);
                    self.answer_local(key, &page);
                }
            }
        }
    }

    /// Gives a connection to a service its answer.
    pub(crate) fn answer_local(&mut self, key: Ends, bytes: &[u8]) {
        if let Some(flow) = self.flows.get_mut(&key)
            && let Backend::Local(local) = &mut flow.backend
        {
            local.answer(bytes);
            flow.readable = true;
            self.dirty.insert(key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_dns_are_cut_by_their_length_and_no_guest_fills_the_memory() {
        let mut local = Local::new(Service::Dns);
        assert_eq!(local.take(&[0, 3, 1, 2]), 4);
        assert_eq!(local.next(), None);
        local.take(&[3, 0, 0]);
        assert_eq!(local.next(), Some(Wanted::Dns(vec![1, 2, 3])));
        assert_eq!(local.next(), Some(Wanted::Dns(Vec::new())));
        local.answer(&[9]);
        let mut room = [0; 8];
        assert_eq!(local.give(&mut room).unwrap(), 3);
        assert_eq!(&room[..3], &[0, 1, 9]);
        assert!(local.give(&mut room).is_err());
        local.end();
        assert!(local.give(&mut room).is_err());
        local.answer(&[]);
        assert_eq!(local.give(&mut room).unwrap(), 2);
        assert_eq!(local.give(&mut room).unwrap(), 0);
        let mut full = Local::new(Service::Dns);
        let taken: usize = (0..100).map(|_| full.take(&[0xff; 4096])).sum();
        assert!(taken <= 2 + usize::from(u16::MAX));
    }

    #[test]
    fn one_page_is_asked_for_and_then_the_connection_ends() {
        let mut local = Local::new(Service::Http);
        local.take(b"GET /denied HTTP/1.1\r\nHost: ");
        assert_eq!(local.next(), None);
        local.take(b"x\r\n\r\n");
        assert_eq!(local.next(), Some(Wanted::Page("/denied".to_owned())));
        assert_eq!(local.next(), None);
        local.answer(b"page");
        let mut room = [0; 8];
        assert_eq!(local.give(&mut room).unwrap(), 4);
        assert_eq!(local.give(&mut room).unwrap(), 0);
        let mut endless = Local::new(Service::Http);
        while endless.take(&[b'a'; 1000]) > 0 {}
        assert_eq!(endless.next(), Some(Wanted::Page(String::new())));
    }
}
