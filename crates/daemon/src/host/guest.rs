//! Guests, through their channels. The calls are asynchronous; steps wait for them here.

use std::convert::Infallible;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode, VmId};
use banger_control::vm::WORK;
use banger_engine::{Engine, VmmIdentity};
use banger_guest::wire::handshake::Greeting;
use banger_guest::{Client, ClientError, Configure, Configured, GrowDisk, GuestPath, ShutdownMode};
use banger_ops::{BootStage, Cancel, Events, GuestSetup, HostResult};
use tokio::runtime::Handle;

use crate::channels::Channels;
use crate::console;
use crate::failure;
use crate::guest_files::{Context, configure, now_ns};

use super::linux::GuestMaterial;
use super::siblings::Siblings;
use super::{own_kernel, vmm};

/// Mount point of the work disk.
const WORK_MOUNT: &str = "/root";
/// Time for a guest to grow a file system: a terabyte is a second's work, in emulation on a busy host many.
const GROWN_WITHIN: Duration = Duration::from_secs(20);
/// Time for a guest to notice that its host has hung up. It is saved more cleanly then; otherwise it wakes a little later.
const HANGING_UP: Duration = Duration::from_millis(300);
/// Time for a guest to write its disks before it is suspended or kept.
const PARTING: Duration = Duration::from_secs(20);
/// Largest root that is taken from a guest, in bytes.
const MAX_ROOT: u64 = 64 << 30;
/// Bytes of a root between two reports.
const ROOT_PROGRESS: u64 = 4 << 20;
/// Lines of the console that an error shows.
const CONSOLE_LINES: usize = 8;

pub(super) struct Guests<'a> {
    pub(super) runtime: &'a Handle,
    pub(super) channels: &'a Channels,
    pub(super) engine: &'a dyn Engine,
    pub(super) material: &'a GuestMaterial,
    pub(super) siblings: &'a Siblings,
}

impl Guests<'_> {
    pub(super) fn configure(
        &self,
        identity: &VmmIdentity,
        setup: &GuestSetup,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>> {
        let mut configure = self.material_of(setup)?;
        let socket = &identity.channel_socket;
        let began = Instant::now();
        // An agent that waits may have been in the middle of a conversation when it was saved.
        let greeting = match setup.woken {
            true => Greeting::Running,
            false => Greeting::Booting,
        };
        let work = async {
            let client = self
                .channels
                .client_within(setup.vm, socket, greeting, deadline)
                .await?;
            let reachable = began.elapsed();
            let left = deadline.saturating_sub(reachable);
            // The guest took its time to boot: what was true before is seconds late now.
            configure.clock_unix_ns = now_ns();
            let wanted = configure.clone();
            let configured = configure_with_clock(&client.with_deadline(left), configure).await?;
            Ok::<_, ClientError>((reachable, wanted, configured))
        };
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                outcome = work => outcome.map_err(Failure::Guest),
                () = cancel.cancelled() => Err(Failure::Cancelled),
            }
        });
        match outcome {
            Ok((reachable, wanted, configured)) => {
                self.check_identity(setup, &wanted, &configured)?;
                let mut stages = vec![BootStage {
                    name: match setup.woken {
                        true => "agent".to_owned(),
                        false => "kernel_and_agent".to_owned(),
                    },
                    us: micros(reachable),
                }];
                stages.extend(configured.stages.into_iter().map(|s| BootStage {
                    name: s.name,
                    us: s.us,
                }));
                Ok(stages)
            }
            Err(Failure::Cancelled) => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            Err(Failure::Guest(error)) => Err(self.explain(identity, setup, &error)),
        }
    }

    /// Has a guest that is about to be suspended write its disks, and ends the conversation with it. One that does not answer is
    /// suspended all the same.
    pub(super) fn part(&self, vm: VmId, identity: &VmmIdentity) {
        self.write_disks(vm, identity);
        self.channels.close(vm);
        std::thread::sleep(HANGING_UP);
    }

    /// Has a guest write its disks. One that does not answer has done what it did.
    pub(super) fn write_disks(&self, vm: VmId, identity: &VmmIdentity) {
        let synced = self.runtime.block_on(async {
            let client = self.channels.client(vm, &identity.channel_socket).await?;
            let synced = client.with_deadline(PARTING).sync().await;
            synced.map_err(|error| failure::of_guest(&error))
        });
        if let Err(error) = synced {
            tracing::info!(%vm, %error, "a guest did not write its disks when it was asked to");
        }
    }

    /// Meets a guest that goes on where it stood, and sets its clock.
    pub(super) fn greet(
        &self,
        vm: VmId,
        identity: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()> {
        let work = async {
            let socket = &identity.channel_socket;
            let client = self
                .channels
                .client_within(vm, socket, Greeting::Running, deadline)
                .await?;
            client.with_deadline(deadline).keep_time().await
        };
        self.runtime.block_on(async {
            tokio::select! {
                met = work => met.map(drop).map_err(|error| failure::of_guest(&error)),
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        })
    }

    /// Has a guest that waits let go of its disks and its network. Its conversation has ended then, for it too.
    pub(super) fn hold(
        &self,
        identity: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()> {
        // It is no VM's: no other conversation with it can be open.
        let nobody = VmId::new();
        let began = Instant::now();
        let work = async {
            let socket = &identity.channel_socket;
            let client = self
                .channels
                .client_within(nobody, socket, Greeting::Booting, deadline)
                .await?;
            let left = deadline.saturating_sub(began.elapsed());
            client.with_deadline(left).hold().await
        };
        let held = self.runtime.block_on(async {
            tokio::select! {
                held = work => held.map_err(|error| failure::of_guest(&error)),
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        });
        self.channels.close(nobody);
        held?;
        // The client ends with its last call: the guest hears of it through its port, and waits for the next host.
        std::thread::sleep(HANGING_UP);
        Ok(())
    }

    /// A guest that is not itself is not to be reached: its conversation ends.
    fn check_identity(
        &self,
        setup: &GuestSetup,
        wanted: &Configure,
        configured: &Configured,
    ) -> HostResult<()> {
        let checked = self.siblings.check(setup.vm, wanted, &configured.rows);
        checked.map_err(|error| {
            self.channels.close(setup.vm);
            ApiError::new(ErrorCode::GuestFailed, error.to_string())
        })
    }

    fn material_of(&self, setup: &GuestSetup) -> HostResult<Configure> {
        let (host_key, host_key_public) = crate::keys::read(&setup.ssh_host_key)?;
        configure(&Context {
            setup,
            authorized_key: &self.material.authorized_key,
            host_key: &host_key,
            host_key_public: &host_key_public,
            dns: self.material.dns,
            git: &self.material.git,
            tmp: self.material.tmp,
            // A guest whose root is only read trusts nothing beside its image.
            authorities: match setup.bare {
                true => None,
                false => self.material.ca_certificates.read()?,
            },
        })
    }

    /// Cause that the guest did not become reachable: the end of its VMM, its own words, and its last console lines.
    fn explain(&self, identity: &VmmIdentity, setup: &GuestSetup, error: &ClientError) -> ApiError {
        // A VMM that is ending closes its sockets first: give it a moment to be gone.
        let _ = self.engine.wait_gone(identity, Duration::from_millis(500));
        let exit = vmm::exit(self.engine, identity).ok().flatten();
        let cause = exit.map_or_else(|| failure::chain(error), |cause| cause.to_string());
        let tail = console::tail(&identity.console_log, CONSOLE_LINES);
        let lines = if tail.is_empty() {
            String::new()
        } else {
            format!("\nlast console lines:\n{tail}")
        };
        let code = failure::of_guest(error).code;
        ApiError::new(
            code,
            format!("the guest did not become reachable: {cause}{lines}"),
        )
        .hint(format!("see the whole log with banger logs {}", setup.name))
    }

    pub(super) fn shutdown(
        &self,
        vm: VmId,
        identity: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<bool> {
        let began = Instant::now();
        let asked = self.runtime.block_on(async {
            tokio::select! {
                asked = self.ask_to_shut_down(vm, &identity.channel_socket, deadline) => asked,
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        });
        self.channels.close(vm);
        asked?;
        let left = deadline.saturating_sub(began.elapsed());
        self.engine
            .wait_gone(identity, left)
            .map_err(|error| failure::of_engine(&error))
    }

    /// Has the guest grow the file system of its work disk.
    pub(super) fn grow_work_disk(
        &self,
        vm: VmId,
        identity: &VmmIdentity,
        bytes: u64,
        cancel: &Cancel,
    ) -> HostResult<()> {
        let mounted = GuestPath::new(WORK_MOUNT)
            .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
        let grow = GrowDisk {
            disk: WORK.to_owned(),
            mounted,
            bytes,
        };
        let work = async {
            let client = self.channels.client(vm, &identity.channel_socket).await?;
            let client = client.with_deadline(GROWN_WITHIN);
            client
                .grow_disk(grow)
                .await
                .map_err(|error| failure::of_guest(&error))
        };
        self.runtime.block_on(async {
            tokio::select! {
                grown = work => grown,
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        })
    }

    pub(super) fn read_root(
        &self,
        vm: VmId,
        identity: &VmmIdentity,
        to: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        let failed = |error: std::io::Error| crate::failure::of_disk(&error);
        let _ = std::fs::remove_file(to);
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(failed)?;
        let mut told = 0;
        let mut progress = |bytes: u64| {
            if bytes >= told + ROOT_PROGRESS {
                told = bytes;
                events.progress("read_root", "", bytes, None);
            }
        };
        let work = async {
            let socket = &identity.channel_socket;
            let client = self.channels.client(vm, socket).await?;
            let call = client
                .get_root()
                .await
                .map_err(|error| failure::of_guest(&error))?;
            let to = std::io::BufWriter::with_capacity(1 << 20, file);
            banger_guest::files::download_stream(call, to, MAX_ROOT, &mut progress)
                .await
                .map_err(|error| ApiError::new(ErrorCode::GuestFailed, failure::chain(&error)))
        };
        let received = self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        });
        self.channels.close(vm);
        let done = received?;
        if done.skipped > 0 {
            events.warn(&format!("{} sockets were left out", done.skipped));
        }
        Ok(())
    }

    /// Has a bare guest send the kernel of its root: the image to `boot/vmlinuz-<release>`, its modules to
    /// `lib/modules/<release>`.
    pub(super) fn read_kernel(
        &self,
        vm: VmId,
        identity: &VmmIdentity,
        into: &Path,
        cancel: &Cancel,
    ) -> HostResult<()> {
        let work = async {
            let socket = &identity.channel_socket;
            let client = self.channels.client(vm, socket).await?;
            let asked = client.installed_kernel().await;
            let kernel = asked
                .map_err(|error| failure::of_guest(&error))?
                .ok_or_else(|| {
                    let message = "the VM's root has no kernel: /boot has no vmlinuz-… with modules in /lib/modules";
                    ApiError::new(ErrorCode::GuestFailed, message)
                })?;
            own_kernel::receive(&client, kernel, into).await
        };
        let received = self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        });
        self.channels.close(vm);
        received
    }

    async fn ask_to_shut_down(
        &self,
        vm: VmId,
        socket: &Path,
        deadline: Duration,
    ) -> HostResult<()> {
        let ask = async {
            let client: Client = self
                .channels
                .client_within(vm, socket, Greeting::Running, deadline)
                .await?;
            client
                .with_deadline(deadline)
                .shutdown(ShutdownMode::Poweroff)
                .await
        };
        match tokio::time::timeout(deadline, ask).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failure::of_guest(&error)),
            Err(_elapsed) => Err(ApiError::new(
                ErrorCode::Timeout,
                "its agent did not answer",
            )),
        }
    }
}

/// Configures a guest, and sets its clock by round trips while it mounts its disks: a configuration has a long way. Where
/// that fails the configuration's own time holds, and the heartbeat looks again.
async fn configure_with_clock(
    client: &Client,
    configure: Configure,
) -> Result<Configured, ClientError> {
    let clock = async {
        if let Err(error) = client.keep_time().await {
            tracing::debug!(%error, "a guest's clock was not set while it was configured");
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        configured = client.configure(configure) => configured,
        never = clock => match never {},
    }
}

enum Failure {
    Guest(ClientError),
    Cancelled,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
