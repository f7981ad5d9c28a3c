//! A client of QEMU's monitor protocol (QMP, `docs/interop/qmp-spec.txt` of QEMU): one connection, few commands.
//!
//! ```text
//! connect ─► peer is the pid? ─► greeting ─► qmp_capabilities ─► command ─► return | error
//!                                                                 events in between are skipped
//! ```
//! One deadline limits the whole connection, one length every line: a QEMU whose guest has escaped may send anything.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Map, Value, json};

use crate::EngineError;
use crate::text::printable;

/// Longest line taken from a monitor, bytes. The longest honest answer here has a few hundred.
const LINE_MAX_BYTES: usize = 1 << 20;
/// Most lines read in search of one answer: events may come at any time, but not for ever.
const LINES_MAX: usize = 1000;

/// A monitor in command mode.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
    socket: PathBuf,
    buffer: Vec<u8>,
    began: Instant,
    within: Duration,
    next_id: u64,
}

impl Monitor {
    /// Connects to the monitor of process `pid` and negotiates. `within` limits this and all later commands together.
    pub(crate) fn open(socket: &Path, pid: u32, within: Duration) -> Result<Self, EngineError> {
        let began = Instant::now();
        let failed = || EngineError::io(format!("connect to {}", socket.display()));
        let stream = banger_socket::connect(socket, within.max(Duration::from_millis(1)))
            .map_err(failed())?;
        let peer = banger_socket::peer_pid(&stream).map_err(failed())?;
        if peer != pid {
            return Err(EngineError::NotOurs {
                pid,
                difference: format!("its control socket belongs to process {peer}"),
            });
        }
        let mut monitor = Self {
            stream,
            socket: socket.to_owned(),
            buffer: Vec::new(),
            began,
            within,
            next_id: 0,
        };
        if !monitor.read_object()?.contains_key("QMP") {
            return Err(monitor.broken("its first line is no greeting"));
        }
        monitor.execute("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Runs a command without arguments and returns its `return` value.
    pub(crate) fn execute(&mut self, command: &'static str) -> Result<Value, EngineError> {
        self.execute_with(command, &json!({}))
    }

    /// Runs a command with arguments, an object, and returns its `return` value.
    pub(crate) fn execute_with(
        &mut self,
        command: &'static str,
        arguments: &Value,
    ) -> Result<Value, EngineError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({ "execute": command, "id": id });
        if arguments.as_object().is_some_and(|given| !given.is_empty()) {
            request["arguments"] = arguments.clone();
        }
        self.send(&request)?;
        for _ in 0..LINES_MAX {
            let mut answer = self.read_object()?;
            if let Some(event) = answer.get("event") {
                if event == "SHUTDOWN" {
                    // It will not answer any more.
                    return Err(self.broken("it ends"));
                }
                continue;
            }
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                return Err(self.broken("it answered a question that was not asked"));
            }
            if let Some(value) = answer.remove("return") {
                return Ok(value);
            }
            let reason = answer
                .get("error")
                .and_then(|e| e.get("desc"))
                .and_then(Value::as_str);
            return Err(match reason {
                Some(reason) => EngineError::Refused {
                    command,
                    reason: printable(reason),
                },
                None => self.broken("an answer is neither return nor error"),
            });
        }
        Err(self.broken("it sends events without end"))
    }

    /// Gives the process a descriptor under a name, for later commands.
    pub(crate) fn pass_descriptor(
        &mut self,
        name: &str,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), EngineError> {
        self.send_descriptor(descriptor)?;
        self.execute_with("getfd", &json!({ "fdname": name }))
            .map(drop)
    }

    /// Gives the process a descriptor in a set of its own, which it opens as `/dev/fdset/NUMBER`.
    pub(crate) fn add_descriptor(
        &mut self,
        descriptor: BorrowedFd<'_>,
    ) -> Result<u64, EngineError> {
        self.send_descriptor(descriptor)?;
        let added = self.execute("add-fd")?;
        let number = added.get("fdset-id").and_then(Value::as_u64);
        number.ok_or_else(|| self.broken("it does not tell the number of a set of descriptors"))
    }

    fn send_descriptor(&mut self, descriptor: BorrowedFd<'_>) -> Result<(), EngineError> {
        // A monitor reads the descriptor with the first byte of a command and keeps it for that command. So the first byte goes
        // ahead with it, a space, which says nothing.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        with.push(SendAncillaryMessage::ScmRights(&descriptors));
        let left = self.left()?;
        let sent = self.stream.set_write_timeout(Some(left)).and_then(|()| {
            let byte = [IoSlice::new(b" ")];
            Ok(sendmsg(
                &self.stream,
                &byte,
                &mut with,
                SendFlags::NOSIGNAL,
            )?)
        });
        sent.map(drop).map_err(|error| self.failed(error))
    }

    fn send(&mut self, request: &Value) -> Result<(), EngineError> {
        let left = self.left()?;
        let mut line = request.to_string();
        line.push('\n');
        self.stream
            .set_write_timeout(Some(left))
            .and_then(|()| self.stream.write_all(line.as_bytes()))
            .map_err(|e| self.failed(e))
    }

    fn read_object(&mut self) -> Result<Map<String, Value>, EngineError> {
        let line = self.read_line()?;
        match serde_json::from_slice(&line) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(self.broken("a line is no JSON object")),
            Err(e) => Err(self.broken(&format!("a line is no JSON: {e}"))),
        }
    }

    fn read_line(&mut self) -> Result<Vec<u8>, EngineError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let rest = self.buffer.split_off(searched + end + 1);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            searched = self.buffer.len();
            if searched > LINE_MAX_BYTES {
                return Err(self.broken(&format!("a line is longer than {LINE_MAX_BYTES} bytes")));
            }
            let left = self.left()?;
            let mut chunk = [0; 4096];
            let got = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut chunk));
            match got {
                Ok(0) => return Err(self.broken("it closed the connection")),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
    }

    /// Time until the deadline; never zero, which means "no timeout" for sockets.
    fn left(&self) -> Result<Duration, EngineError> {
        match self.within.checked_sub(self.began.elapsed()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.late()),
        }
    }

    fn failed(&self, error: std::io::Error) -> EngineError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.late(),
            _ => EngineError::Io {
                what: format!("talk to the monitor {}", self.socket.display()),
                source: error,
            },
        }
    }

    fn late(&self) -> EngineError {
        EngineError::Timeout {
            what: format!("the monitor {} did not answer", self.socket.display()),
            after: self.within,
        }
    }

    fn broken(&self, reason: &str) -> EngineError {
        EngineError::Protocol {
            socket: self.socket.clone(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
