//! Questions to the host's name servers.
//!
//! Each has a socket, and so a source port, of its own, for as long as it waits: a stranger's answer would have to guess
//! port and number. A server that does not answer in time is followed by the next one; an answer that was cut is asked for
//! again over TCP, when whoever asked wants it whole.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use banger_egress::Name;
use mio::Token;
use mio::net::{TcpStream, UdpSocket};

use crate::dns::{Answer, Query, parse_answer, with_id};
use crate::ends::Ends;
use crate::guest_tcp::random;
use crate::host::{self, Servers};
use crate::io::{Io, Owner};
use crate::limits::QUERIES_MAX;

/// Time for one server.
const SERVER_WITHIN: Duration = Duration::from_secs(3);
/// Tries, over all servers.
const TRIES: usize = 4;
/// Datagrams that are looked at in one go.
const DATAGRAMS_MAX: usize = 8;

/// Origin of a question.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// The guest, by a datagram from this port to this address of ours.
    Datagram { query: Query, port: u16, at: IpAddr },
    /// The guest, by a connection.
    Connection { query: Query, key: Ends },
    /// The process, for the addresses of a name.
    Find { name: Name, v6: bool },
}

/// A question that waits.
struct Waiting {
    client: Client,
    bytes: Vec<u8>,
    transport: Transport,
    tries: usize,
    until: Instant,
}

enum Transport {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        to_send: Vec<u8>,
        received: Vec<u8>,
    },
}

/// A question that does not wait any more.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) client: Client,
    /// The message and what is in it; `None` when no server has answered.
    pub(crate) answer: Option<(Vec<u8>, Answer)>,
}

/// All questions that wait.
pub(crate) struct Resolver {
    pub(crate) servers: Servers,
    waiting: HashMap<Token, Waiting>,
    /// Place of the server that has answered last.
    good: usize,
}

impl Resolver {
    pub(crate) fn new(servers: Servers) -> Self {
        Self {
            servers,
            waiting: HashMap::new(),
            good: 0,
        }
    }

    /// Asks. An answer that is there at once, a failure, is given back.
    pub(crate) fn ask(
        &mut self,
        io: &mut Io,
        client: Client,
        bytes: &[u8],
        now: Instant,
    ) -> Option<Finished> {
        if self.waiting.len() >= QUERIES_MAX {
            return Some(Finished {
                client,
                answer: None,
            });
        }
        let [high, low, ..] = random().to_ne_bytes();
        let bytes = with_id(bytes, u16::from_be_bytes([high, low]));
        self.send(io, client, bytes, 0, now)
    }

    fn server(&mut self, tries: usize, now: Instant) -> SocketAddr {
        let good = self.good;
        let servers = self.servers.now(now);
        // There is always one.
        servers[(good + tries) % servers.len()]
    }

    fn send(
        &mut self,
        io: &mut Io,
        client: Client,
        bytes: Vec<u8>,
        from_try: usize,
        now: Instant,
    ) -> Option<Finished> {
        for tries in from_try..TRIES {
            let server = self.server(tries, now);
            let Ok(mut socket) = host::udp(server) else {
                continue;
            };
            let token = io.token(Owner::Query);
            if io.watch(&mut socket, token).is_ok() && socket.send(&bytes).is_ok() {
                let waiting = Waiting {
                    client,
                    bytes,
                    transport: Transport::Udp(socket),
                    tries,
                    until: now + SERVER_WITHIN,
                };
                self.waiting.insert(token, waiting);
                return None;
            }
            io.forget(token);
        }
        Some(Finished {
            client,
            answer: None,
        })
    }

    /// A socket has something.
    pub(crate) fn ready(&mut self, io: &mut Io, token: Token, now: Instant) -> Option<Finished> {
        let mut waiting = self.waiting.remove(&token)?;
        match waiting.read() {
            Ok(None) => {
                self.waiting.insert(token, waiting);
                None
            }
            Ok(Some((bytes, answer))) => {
                io.forget(token);
                let servers = self.servers.now(now).len();
                self.good = (self.good + waiting.tries) % servers;
                let by_udp = matches!(waiting.transport, Transport::Udp(_));
                let wants_whole = !matches!(waiting.client, Client::Datagram { .. });
                if answer.is_cut && by_udp && wants_whole {
                    return self.send_by_tcp(io, waiting, now);
                }
                Some(Finished {
                    client: waiting.client,
                    answer: Some((bytes, answer)),
                })
            }
            Err(_) => {
                io.forget(token);
                self.send(io, waiting.client, waiting.bytes, waiting.tries + 1, now)
            }
        }
    }

    fn send_by_tcp(&mut self, io: &mut Io, waiting: Waiting, now: Instant) -> Option<Finished> {
        let server = self.server(0, now);
        let Waiting { client, bytes, .. } = waiting;
        let failed = |client| {
            Some(Finished {
                client,
                answer: None,
            })
        };
        let (Ok(mut stream), Ok(length)) = (host::tcp(server), u16::try_from(bytes.len())) else {
            return failed(client);
        };
        let token = io.token(Owner::Query);
        if io.watch(&mut stream, token).is_err() {
            io.forget(token);
            return failed(client);
        }
        let to_send = [&length.to_be_bytes()[..], &bytes].concat();
        let transport = Transport::Tcp {
            stream,
            to_send,
            received: Vec::new(),
        };
        let waiting = Waiting {
            client,
            bytes,
            transport,
            // Whoever cuts its answers answers over TCP: there is no other try.
            tries: TRIES,
            until: now + SERVER_WITHIN,
        };
        self.waiting.insert(token, waiting);
        None
    }

    /// Lets questions whose time is over go to the next server, or end.
    pub(crate) fn tick(&mut self, io: &mut Io, now: Instant) -> Vec<Finished> {
        let over: Vec<Token> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.until <= now)
            .map(|(token, _)| *token)
            .collect();
        let mut finished = Vec::new();
        for token in over {
            io.forget(token);
            if let Some(waiting) = self.waiting.remove(&token) {
                let next = waiting.tries + 1;
                finished.extend(self.send(io, waiting.client, waiting.bytes, next, now));
            }
        }
        finished
    }

    /// The next time at which [`Self::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }
}

impl Waiting {
    fn read(&mut self) -> io::Result<Option<(Vec<u8>, Answer)>> {
        match &mut self.transport {
            Transport::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                for _ in 0..DATAGRAMS_MAX {
                    match socket.recv(&mut buffer) {
                        Ok(length) => {
                            // Another message than the answer is no reason to stop waiting.
                            if let Some(answer) = parse_answer(&buffer[..length], &self.bytes) {
                                buffer.truncate(length);
                                return Ok(Some((buffer, answer)));
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
                Ok(None)
            }
            Transport::Tcp {
                stream,
                to_send,
                received,
            } => {
                match host::connected(stream) {
                    None => return Ok(None),
                    Some(result) => result?,
                }
                while !to_send.is_empty() {
                    match stream.write(to_send) {
                        Ok(count) => drop(to_send.drain(..count)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
                loop {
                    let mut chunk = [0; 4096];
                    match stream.read(&mut chunk) {
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        Ok(count) => received.extend_from_slice(&chunk[..count]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                        Err(error) => return Err(error),
                    }
                    let Some(length) = received.first_chunk::<2>() else {
                        continue;
                    };
                    let end = 2 + usize::from(u16::from_be_bytes(*length));
                    if let Some(message) = received.get(2..end) {
                        let answer = parse_answer(message, &self.bytes);
                        let answer = answer.ok_or(ErrorKind::InvalidData)?;
                        return Ok(Some((message.to_vec(), answer)));
                    }
                }
            }
        }
    }
}
