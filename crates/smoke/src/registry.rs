//! A real registry (Debian's docker-registry) on loopback, for as long as a scenario runs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;

/// Longest time until it listens, on a loaded machine.
const STARTING: Duration = Duration::from_secs(60);

/// A registry; dropping it ends it.
#[derive(Debug)]
pub struct Registry {
    address: String,
    process: Child,
}

impl Registry {
    /// Starts a registry that keeps its images in `folder`.
    ///
    /// # Panics
    /// Panics when it does not start.
    pub fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = match port {
            Ok(address) => address.to_string(),
            Err(error) => panic!("there is no free port: {error}"),
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            folder.join("store").display()
        );
        let written =
            fs::create_dir_all(folder).and_then(|()| fs::write(folder.join("config.yml"), config));
        if let Err(error) = written {
            panic!("cannot write into {}: {error}", folder.display());
        }
        let process = run(folder, &address);
        Self { address, process }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops it from answering until [`Registry::go_on`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it answer again.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(Pid::from_child(&self.process), signal) {
            panic!("docker-registry is gone: {error}");
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &Path, address: &str) -> Child {
    let started = Command::new("docker-registry")
        .args(["serve", "config.yml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = match started {
        Ok(process) => process,
        Err(error) => panic!("cannot start docker-registry: {error}; run `make host-packages`"),
    };
    let what = format!("docker-registry listens at {address}");
    eventually(&what, STARTING, || TcpStream::connect(address).ok());
    process
}
