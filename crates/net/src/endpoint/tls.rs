//! The way to the host: a socket that stands, and TLS over it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{Exchange, Told};

/// Bytes of TLS that wait for the socket.
const UNSENT_MAX_BYTES: usize = 64 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Rounds of one call, before others have their turn.
const ROUNDS: usize = 64;

/// Settings of TLS with these authorities (certificates in DER). Those that are none are left out, as other programs do.
pub(crate) fn settings(authorities: Vec<Vec<u8>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.into_iter().map(CertificateDer::from));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection of the guest's to an endpoint, and the host's behind it.
pub(crate) struct Endpoint {
    stream: TcpStream,
    tls: ClientConnection,
    exchange: Exchange,
    /// The socket has ended, or TLS cannot go on.
    ended: bool,
}

impl Endpoint {
    /// Over a socket that is connected to the host of this name.
    pub(crate) fn new(
        stream: TcpStream,
        host: &str,
        settings: Arc<ClientConfig>,
        exchange: Exchange,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(settings, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(UNSENT_MAX_BYTES));
        Ok(Self {
            stream,
            tls,
            exchange,
            ended: false,
        })
    }

    /// Takes bytes of the guest's.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut count = self.exchange.take(bytes);
        self.pump()?;
        if count == 0 {
            // There may be room now, and nothing else would tell.
            count = self.exchange.take(bytes);
        }
        match count {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Gives bytes to the guest; 0 at the end.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.pump()?;
        match self.exchange.give(room) {
            0 if self.exchange.is_cut() => Err(ErrorKind::ConnectionReset.into()),
            0 if self.exchange.is_over() => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Notes that the guest sends no more. What it has begun is cut off.
    pub(crate) fn guest_ended(&mut self) -> io::Result<()> {
        self.exchange.guest_ended().map_err(|_cut| cut())
    }

    /// The requests that went out since this was asked last.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        self.exchange.told()
    }

    /// Moves what can be moved between the exchange and the socket.
    fn pump(&mut self) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let moved = self.put()? | self.send()? | self.take()?;
            if !moved {
                break;
            }
        }
        Ok(())
    }

    /// From the exchange into TLS. Not before the host's certificate has been checked.
    fn put(&mut self) -> io::Result<bool> {
        let bytes = self.exchange.to_host();
        if self.ended || bytes.is_empty() || self.tls.is_handshaking() {
            return Ok(false);
        }
        let count = self.tls.writer().write(bytes)?;
        self.exchange.sent(count);
        Ok(count > 0)
    }

    /// From TLS into the socket.
    fn send(&mut self) -> io::Result<bool> {
        let mut moved = false;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(0) => break,
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The host has gone; what it said before is read first.
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// From the socket through TLS into the exchange.
    fn take(&mut self) -> io::Result<bool> {
        let room = self.exchange.room_for_answer();
        if room == 0 && !self.tls.is_handshaking() && !self.exchange.is_idle() {
            return Ok(false);
        }
        let mut bytes = [0; READ_BYTES];
        let within = room.min(READ_BYTES);
        match self.tls.reader().read(&mut bytes[..within]) {
            Ok(0) if within > 0 => return self.end(true),
            Ok(count) if count > 0 => {
                let taken = self.exchange.answered(&bytes[..count]);
                return taken.map(|()| true).map_err(|_cut| cut());
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_unfinished) => return self.end(false),
        }
        if self.ended {
            return Ok(false);
        }
        match self.tls.read_tls(&mut self.stream) {
            // Told by the reader, when all that came has been read.
            Ok(0) => {
                self.ended = true;
                let _ = self.tls.process_new_packets();
                if self.tls.is_handshaking() {
                    self.exchange
                        .fail("the host ended the connection before TLS stood");
                }
                Ok(true)
            }
            Ok(_) => {
                if let Err(error) = self.tls.process_new_packets() {
                    self.ended = true;
                    // The host is told why.
                    let _ = self.tls.write_tls(&mut self.stream);
                    self.exchange.fail(&format!("TLS with the host: {error}"));
                }
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(_gone) => {
                self.ended = true;
                self.end(false)
            }
        }
    }

    fn end(&mut self, whole: bool) -> io::Result<bool> {
        self.ended = true;
        match self.exchange.is_over() {
            true => Ok(false),
            false => {
                let ended = self.exchange.host_ended(whole);
                ended.map(|()| true).map_err(|_cut| cut())
            }
        }
    }
}

fn cut() -> io::Error {
    ErrorKind::ConnectionReset.into()
}
