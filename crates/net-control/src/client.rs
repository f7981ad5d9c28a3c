//! The daemon's side of the conversation.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use banger_egress::{Name, Policy};
use banger_secret::SecretUse;

use crate::line::{LineReader, write_line};
use crate::{
    Check, Checked, ControlError, Handover, Hello, NetIdentity, PROTOCOL_MIN, PROTOCOL_VERSION,
    Publish, Record, Reply, Request, Status,
};

/// Version of the protocol that knows the users of connections.
const USERS_SINCE: u32 = 2;
/// Version of the protocol that knows other VMs.
const PEERS_SINCE: u32 = 3;
/// Version of the protocol that knows secrets.
const SECRETS_SINCE: u32 = 4;

/// A conversation with one network process. Its calls block, none beyond the time that was given when it began.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    reader: LineReader,
    hello: Hello,
}

impl Client {
    /// Begins a conversation. The caller compares [`Client::hello`] and [`Client::peer_pid`] with what it has recorded.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`], [`ControlError::Protocol`], or as for every call.
    pub fn connect(path: &Path, within: Duration) -> Result<Self, ControlError> {
        let unreachable = |source| ControlError::Unreachable {
            path: path.to_owned(),
            source,
        };
        let stream = banger_socket::connect(path, within).map_err(unreachable)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        let protocol = PROTOCOL_VERSION;
        write_line(&stream, &Request::Hello { protocol }, None)?;
        let mut reader = LineReader::default();
        let hello = match answer(&stream, &mut reader)? {
            Reply::Hello(hello) => hello,
            other => return Err(unexpected(other)),
        };
        if !(PROTOCOL_MIN..=PROTOCOL_VERSION).contains(&hello.protocol) {
            return Err(ControlError::Protocol {
                found: hello.protocol,
                min: PROTOCOL_MIN,
                max: PROTOCOL_VERSION,
            });
        }
        Ok(Self {
            stream,
            reader,
            hello,
        })
    }

    /// Begins a conversation with this very process; `None` when it has ended: nobody listens, or another one does.
    ///
    /// # Errors
    /// As [`Client::connect`], but for [`ControlError::Unreachable`].
    pub fn with(process: &NetIdentity, within: Duration) -> Result<Option<Self>, ControlError> {
        match Self::connect(&process.control(), within) {
            Ok(client) => Ok((client.hello.token == process.token).then_some(client)),
            Err(ControlError::Unreachable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Words of the process about itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The pid of the process that listens, by the kernel's word.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn peer_pid(&self) -> Result<u32, ControlError> {
        Ok(banger_socket::peer_pid(&self.stream)?)
    }

    /// Sets a policy; answers with the number of flows that were reset.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when its generation is lower than the present one, or it cannot be enforced.
    pub fn set_policy(&mut self, policy: Policy) -> Result<u32, ControlError> {
        match self.ask(&Request::SetPolicy { policy }, None)? {
            Reply::PolicySet { reset, .. } => Ok(reset),
            other => Err(unexpected(other)),
        }
    }

    /// Sets the name servers to ask; none: those of the file.
    ///
    /// # Errors
    /// As every call.
    pub fn set_name_servers(
        &mut self,
        servers: Vec<std::net::SocketAddr>,
    ) -> Result<(), ControlError> {
        self.done(&Request::SetNameServers { servers }, None)
    }

    /// Lets the process end with its VMM, whose pidfd this is.
    ///
    /// # Errors
    /// As every call.
    pub fn watch(&mut self, vmm: BorrowedFd<'_>) -> Result<(), ControlError> {
        self.done(&Request::Watch, Some(vmm))
    }

    /// Lets the process see which user a connection is of, by a netlink socket of `NETLINK_SOCK_DIAG`.
    ///
    /// # Errors
    /// [`ControlError::Protocol`] for a process of an older build, or as every call.
    pub fn see_users(&mut self, netlink: BorrowedFd<'_>) -> Result<(), ControlError> {
        self.at_least(USERS_SINCE)?;
        self.done(&Request::SeeUsers, Some(netlink))
    }

    /// Lets connections to `listener`, a listening TCP socket, lead to the guest.
    ///
    /// # Errors
    /// [`ControlError::Protocol`] when an older build would take no account of its door or user, or as every call.
    pub fn publish(&mut self, port: Publish, listener: BorrowedFd<'_>) -> Result<(), ControlError> {
        if port.door.is_some() || port.only_uid.is_some() {
            self.at_least(USERS_SINCE)?;
        }
        self.done(&Request::Publish { port }, Some(listener))
    }

    /// Joins the VM with another one by a socket that leads to the other's process.
    ///
    /// # Errors
    /// [`ControlError::Protocol`] for a process of an older build, or as every call.
    pub fn join(&mut self, peer: Name, socket: BorrowedFd<'_>) -> Result<(), ControlError> {
        self.at_least(PEERS_SINCE)?;
        self.done(&Request::Join { peer }, Some(socket))
    }

    /// Ends being joined with another VM.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn leave(&mut self, peer: Name) -> Result<(), ControlError> {
        self.at_least(PEERS_SINCE)?;
        self.done(&Request::Leave { peer }, None)
    }

    /// Tells whether the process knows secrets: one of an older build does not.
    #[must_use]
    pub fn knows_secrets(&self) -> bool {
        self.hello.protocol >= SECRETS_SINCE
    }

    /// Gives the process the secrets that its guest uses from now on, with their values.
    ///
    /// # Errors
    /// [`ControlError::Protocol`] for a process of an older build, or as every call.
    pub fn set_secrets(
        &mut self,
        uses: Vec<SecretUse>,
        values: &Handover,
    ) -> Result<(), ControlError> {
        self.at_least(SECRETS_SINCE)?;
        let memory = values.to_memory()?;
        self.done(&Request::SetSecrets { uses }, Some(memory.as_fd()))
    }

    fn at_least(&self, min: u32) -> Result<(), ControlError> {
        let (found, max) = (self.hello.protocol, PROTOCOL_VERSION);
        match found < min {
            true => Err(ControlError::Protocol { found, min, max }),
            false => Ok(()),
        }
    }

    /// Ends listening at a port.
    ///
    /// # Errors
    /// As every call.
    pub fn unpublish(&mut self, port: Publish) -> Result<(), ControlError> {
        self.done(&Request::Unpublish { port }, None)
    }

    /// State and counters.
    ///
    /// # Errors
    /// As every call.
    pub fn status(&mut self) -> Result<Status, ControlError> {
        match self.ask(&Request::Status, None)? {
            Reply::Status(status) => Ok(*status),
            other => Err(unexpected(other)),
        }
    }

    /// Answer of the present policy, without a trace.
    ///
    /// # Errors
    /// As every call.
    pub fn check(&mut self, check: Check) -> Result<Checked, ControlError> {
        match self.ask(&Request::Check(check), None)? {
            Reply::Checked(checked) => Ok(checked),
            other => Err(unexpected(other)),
        }
    }

    /// The last refusals with a number above `after`.
    ///
    /// # Errors
    /// As every call.
    pub fn denials(&mut self, after: u64) -> Result<Vec<Record>, ControlError> {
        let follow = false;
        write_line(&self.stream, &Request::Denials { after, follow }, None)?;
        let mut found = Vec::new();
        loop {
            match answer(&self.stream, &mut self.reader)? {
                Reply::Denial(record) => found.push(*record),
                Reply::Done => return Ok(found),
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Turns the conversation into one of refusals as they happen, those after number `after` first.
    ///
    /// # Errors
    /// As every call.
    pub fn follow(self, after: u64) -> Result<Following, ControlError> {
        let follow = true;
        write_line(&self.stream, &Request::Denials { after, follow }, None)?;
        self.stream.set_read_timeout(None)?;
        Ok(Following(self))
    }

    /// Ends the process.
    ///
    /// # Errors
    /// As every call.
    pub fn stop(&mut self) -> Result<(), ControlError> {
        self.done(&Request::Stop, None)
    }

    fn done(
        &mut self,
        request: &Request,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), ControlError> {
        match self.ask(request, descriptor)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn ask(
        &mut self,
        request: &Request,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Reply, ControlError> {
        write_line(&self.stream, request, descriptor)?;
        answer(&self.stream, &mut self.reader)
    }
}

/// Refusals as they happen. Dropped, or its stream shut down, it ends.
#[derive(Debug)]
pub struct Following(Client);

impl Following {
    /// A second handle of the stream: shutting it down ends a wait.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.0.stream.try_clone()
    }
}

impl Iterator for Following {
    type Item = Result<Record, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        match answer(&self.0.stream, &mut self.0.reader) {
            Ok(Reply::Denial(record)) => Some(Ok(*record)),
            Ok(Reply::Done) | Err(ControlError::Ended) => None,
            Ok(other) => Some(Err(unexpected(other))),
            Err(error) => Some(Err(error)),
        }
    }
}

fn answer(stream: &UnixStream, reader: &mut LineReader) -> Result<Reply, ControlError> {
    loop {
        if let Some(reply) = reader.message()? {
            return Ok(reply);
        }
        if !reader.fill(stream)? {
            return Err(ControlError::Ended);
        }
    }
}

fn unexpected(reply: Reply) -> ControlError {
    match reply {
        Reply::Failed { code, message } => ControlError::Refused { code, message },
        _ => ControlError::Unexpected,
    }
}
