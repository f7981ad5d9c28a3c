//! The daemon's life.
//!
//! ```text
//! directories ─► lock ─► store ─► recovery ─► socket ─► "ready" ─► serve … stop ─► running operations end ─► exit
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode};
use banger_control::{Control, Places, Pool, Queues, VmDefaults};
use banger_disk::Templates;
use banger_engine::{Engine, QemuEngine};
use banger_ops::{Cancel, Recovered, Runner, store_error};
use banger_store::Store;
use rustix::fs::FlockOperation;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::channels::Channels;
use crate::config::Config;
use crate::context::{Daemon, Parts};
use crate::environment::LinuxEnvironment;
use crate::file_sync;
use crate::guest_files::Identity;
use crate::host::{GuestMaterial, LinuxHost, Roots, file_error};
use crate::paths::Paths;
use crate::{following, http, keys, upkeep};

/// Time that operations get to end by themselves when the daemon is to stop, and again after they were cancelled.
const DRAIN: Duration = Duration::from_secs(20);

/// Operations that run at once: most of that time they wait for guests.
const OPERATIONS: usize = 256;

/// Runs the daemon until it is told to stop. `ready` gets one line, `ready` or `error: …`, when its socket answers or
/// cannot.
///
/// # Errors
/// A configuration that cannot be read, a state directory that another daemon holds, a store of a newer version.
pub async fn run(paths: Paths, ready: Option<File>) -> Result<(), ApiError> {
    let began = tokio::task::spawn_blocking({
        let (paths, runtime) = (paths.clone(), Handle::current());
        move || begin(paths, runtime)
    })
    .await
    .unwrap_or_else(|_panic| {
        Err(ApiError::new(
            ErrorCode::Internal,
            "the daemon failed at its start",
        ))
    });
    let (daemon, _lock) = match began {
        Ok(began) => began,
        Err(error) => {
            tell(
                ready,
                &format!("error: {}", error.message.replace('\n', " ")),
            );
            return Err(error);
        }
    };
    let listener = http::bind(&paths.socket())
        .map_err(|error| file_error("listen at", &paths.socket(), &error))?;
    tell(ready, "ready");
    tracing::info!(socket = %paths.socket().display(), "ready");
    tokio::spawn(upkeep::upkeep(daemon.clone()));
    tokio::spawn(stop_on_signal(daemon.stop.clone()));
    http::serve(listener, http::router(daemon.clone()), &daemon.stop).await;
    // First the name goes: a client that comes now starts a new daemon, which waits for our lock.
    let _ = std::fs::remove_file(paths.socket());
    drain(&daemon).await;
    tracing::info!("stopped");
    Ok(())
}

fn tell(ready: Option<File>, line: &str) {
    if let Some(mut ready) = ready {
        // Whoever waited may have gone.
        let _ = writeln!(ready, "{line}");
    }
}

async fn stop_on_signal(stop: Cancel) {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stop.cancel();
}

async fn drain(daemon: &Daemon) {
    for cancel in [false, true] {
        let running = daemon.control.operations().all_running();
        for operation in &running {
            if cancel {
                operation.cancel();
            }
        }
        let all = async {
            for operation in &running {
                let _ = following::finished(operation).await;
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_ok() {
            return;
        }
    }
    tracing::warn!("operations still run; the next daemon puts them in order");
}

fn begin(paths: Paths, runtime: Handle) -> Result<(Daemon, File), ApiError> {
    let config = Config::load(paths.config())?;
    for dir in paths.directories() {
        private_dir(&dir)?;
    }
    let lock = lock(&paths.lock(), &paths.socket())?;
    let store = Arc::new(Store::open(&paths.store()).map_err(store_error)?);
    let engine: Arc<dyn Engine> = Arc::new(QemuEngine::new());
    let probe = engine.probe();
    let channels = Channels::default();
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let host = LinuxHost {
        engine: engine.clone(),
        runtime: runtime.clone(),
        channels: channels.clone(),
        material: GuestMaterial {
            authorized_key: keys::own(&paths.ssh(), config.ssh_key_path.as_deref())?,
            dns: config.network.dns,
            git: Identity::of_user(home.as_deref()),
            file_sync: file_sync::entries(&config.file_sync, home.as_deref())?,
        },
        templates: Templates::new(),
        cache: paths.cache().to_owned(),
        images: paths.images(),
        began: Instant::now(),
        roots: Roots::of(&paths),
    };
    let control = Control::new(banger_control::Parts {
        places: places(&paths),
        defaults: defaults(&config),
        runner: Runner::new(store, Arc::new(host)),
        environment: Arc::new(LinuxEnvironment {
            engine: engine.clone(),
            probe: probe.clone(),
            channels: channels.clone(),
            paths: paths.clone(),
            runtime,
        }),
        locks: Arc::new(Queues::default()),
        spawn: Arc::new(Pool::new(OPERATIONS)),
    });
    log_recovery(&banger_control::recover(&control)?);
    let daemon = Daemon::new(Parts {
        control,
        paths,
        config,
        engine,
        probe,
        channels,
        started: Instant::now(),
        stop: Cancel::new(),
    });
    Ok((daemon, lock))
}

fn places(paths: &Paths) -> Places {
    Places {
        vms: paths.vms(),
        run_vms: paths.run_vms(),
        images: paths.images(),
        kernels: paths.kernels(),
        staging: paths.staging(),
    }
}

fn defaults(config: &Config) -> VmDefaults {
    let vm = &config.vm_defaults;
    VmDefaults {
        image: config.default_image.clone(),
        vcpu: vm.vcpu,
        memory_mib: vm.memory_mib,
        disk: vm.disk_size.map(|size| size.0),
        overlay: vm.overlay_size.map(|size| size.0),
        net: config.network.mode,
    }
}

fn log_recovery(recovered: &Recovered) {
    tracing::info!(
        undone = recovered.undone,
        carried_on = recovered.carried_on,
        adopted = recovered.adopted.len(),
        demoted = recovered.demoted.len(),
        "recovered"
    );
    for failure in &recovered.failed {
        tracing::error!(failure, "recovery left this as it is");
    }
}

/// Makes a directory with its parents, 0700. One that is there must be this user's.
fn private_dir(dir: &Path) -> Result<(), ApiError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| file_error("make directory", dir, &error))?;
    let meta = std::fs::metadata(dir).map_err(|error| file_error("look at", dir, &error))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        let message = format!("{} belongs to another user", dir.display());
        return Err(ApiError::new(ErrorCode::HostNotReady, message)
            .hint("set BANGER_HOME to a directory of your own"));
    }
    Ok(())
}

/// Takes the lock that makes this the one daemon of its state directory; held as long as the file is open.
fn lock(path: &Path, socket: &Path) -> Result<File, ApiError> {
    let open = || -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    let file = open().map_err(|error| file_error("open", path, &error))?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // One that is going down has taken its socket away and ends its operations: its lock comes free.
            Err(rustix::io::Errno::WOULDBLOCK)
                if !socket.exists() && began.elapsed() < 3 * DRAIN =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let error = ApiError::new(ErrorCode::WrongState, "another daemon is running");
                return Err(error.hint("banger daemon status"));
            }
            Err(error) => return Err(file_error("lock", path, &error.into())),
        }
    }
}
