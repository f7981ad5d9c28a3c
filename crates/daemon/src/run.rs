//! The daemon's life.
//!
//! ```text
//! directories ─► lock ─► store ─► recovery ─► socket ─► announcement ─► "ready" ─► serve
//!    … gate closed: no socket, no announcement ─► running operations end ─► exit
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode};
use banger_control::template::TemplateRules;
use banger_control::{Control, Pool, Queues, VmDefaults};
use banger_disk::Templates;
use banger_engine::{Delegation, Engine, JailMode, QemuEngine};
use banger_ops::{Cancel, Recovered, Runner, store_error};
use banger_store::Store;
use rustix::fs::FlockOperation;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::announcement::Announcement;
use crate::channels::Channels;
use crate::conditions::Conditions;
use crate::config::Config;
use crate::context::{Daemon, Parts};
use crate::environment::{LinuxEnvironment, Replacements, TEMPLATES_QUOTA, WantedTemplates};
use crate::failure::chain;
use crate::file_sync;
use crate::gate::{Gate, Names};
use crate::guest_files::Identity;
use crate::holder::Holder;
use crate::host::{GuestMaterial, LinuxHost, Networks, Roots, Siblings, file_error};
use crate::localhost::{self, Front};
use crate::paths::Paths;
use crate::ports::OpenPorts;
use crate::secrets::Shelf;
use crate::upstream::Upstream;
use crate::{following, http, keys, private, ssh_hosts, state_gone, upkeep};

/// Time that operations get to end by themselves when the daemon is to stop, and again after they were cancelled.
const DRAIN: Duration = Duration::from_secs(20);
/// Time that connections get for the last bytes of their answers.
const FLUSH: Duration = Duration::from_secs(1);
/// Pause between two looks at the process that holds the lock.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A wait for the lock that is longer than this is told.
const TOLD_AFTER: Duration = Duration::from_millis(500);

/// Operations that run at once: most of that time they wait for guests.
const OPERATIONS: usize = 256;

/// Runs the daemon until it is told to stop. `ready` gets one line, `ready` or `error: …`, when its socket answers or
/// cannot, and before that `waiting: …` when another daemon still holds the lock.
///
/// # Errors
/// A configuration that cannot be read, a state directory that another daemon holds, a store of a newer version.
pub async fn run(paths: Paths, ready: Option<File>) -> Result<(), ApiError> {
    let began = tokio::task::spawn_blocking({
        let (paths, runtime) = (paths.clone(), Handle::current());
        let ready = ready.as_ref().map(File::try_clone).transpose();
        move || {
            let ready = ready.unwrap_or_default();
            begin(paths, runtime, &|why| {
                tracing::info!("waiting: {why}");
                tell(ready.as_ref(), &format!("waiting: {why}"));
            })
        }
    })
    .await
    .unwrap_or_else(|_panic| {
        Err(ApiError::new(
            ErrorCode::Internal,
            "the daemon failed at its start",
        ))
    });
    let (daemon, lock) = match began {
        Ok(began) => began,
        Err(error) => {
            tell(
                ready.as_ref(),
                &format!("error: {}", error.message.replace('\n', " ")),
            );
            return Err(error);
        }
    };
    let opened = open_doors(&daemon, &paths);
    let listener = match opened {
        Ok(listener) => listener,
        Err(error) => {
            tell(
                ready.as_ref(),
                &format!("error: {}", error.message.replace('\n', " ")),
            );
            return Err(error);
        }
    };
    tell(ready.as_ref(), "ready");
    drop(ready);
    tracing::info!(socket = %paths.socket().display(), "ready");
    tokio::spawn(upkeep::upkeep(daemon.clone()));
    tokio::spawn(localhost::serve(daemon.clone()));
    tokio::spawn(stop_on_signal(daemon.gate.clone()));
    if let Ok(lock) = lock.try_clone() {
        tokio::spawn(state_gone::end_without_state(daemon.clone(), lock));
    }
    let connections = http::serve(listener, http::router(daemon.clone()), &daemon.stop).await;
    drain(&daemon).await;
    connections.ended(FLUSH).await;
    tracing::info!("stopped");
    // Until here: the next daemon waits for it.
    drop(lock);
    Ok(())
}

/// Listens, and says so beside the lock.
fn open_doors(daemon: &Daemon, paths: &Paths) -> Result<UnixListener, ApiError> {
    let (socket, announcement) = (paths.socket(), paths.announcement());
    let listener = http::bind(&socket).map_err(|error| file_error("listen at", &socket, &error))?;
    daemon
        .gate
        .known_as(Names::new(socket.clone(), announcement.clone()));
    Announcement::own(&socket)
        .write(&announcement)
        .map_err(|error| file_error("write", &announcement, &error))?;
    Ok(listener)
}

fn tell(ready: Option<&File>, line: &str) {
    if let Some(mut ready) = ready {
        // Whoever waited may have gone.
        let _ = writeln!(ready, "{line}");
    }
}

async fn stop_on_signal(gate: Gate) {
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
    gate.close();
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

fn begin(
    paths: Paths,
    runtime: Handle,
    waiting: &dyn Fn(&str),
) -> Result<(Daemon, File), ApiError> {
    paths.refuse_strangers()?;
    let config = Config::load(paths.config())?;
    for dir in paths.directories() {
        private::directory(&dir)?;
    }
    let lock = lock(&paths, waiting)?;
    // Of a daemon that was killed.
    forget(&paths.announcement())?;
    private_store(&paths.store())?;
    let (tell, written) = watch::channel(());
    let store = Store::open(&paths.store()).map_err(store_error)?;
    let store = Arc::new(store.telling(Box::new(move || {
        tell.send_replace(());
    })));
    let engine: Arc<dyn Engine> = Arc::new(
        QemuEngine::new()
            .jailed(config.vmm.jail)
            .grouped(delegation(config.vmm.jail)),
    );
    let probe = engine.probe();
    let channels = Channels::default();
    let conditions = Conditions::default();
    let ports = OpenPorts::default();
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let upstream = Upstream::wanted(config.network.upstream_proxy.as_deref(), &|name| {
        std::env::var(name).ok()
    })
    .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, error.to_string()))?;
    let host = LinuxHost {
        engine: engine.clone(),
        networks: Networks::new(config.vmm.jail, upstream),
        runtime: runtime.clone(),
        channels: channels.clone(),
        material: GuestMaterial {
            authorized_key: keys::own(&paths.ssh(), config.ssh_key_path.as_deref())?,
            dns: config.network.dns,
            git: Identity::of_user(home.as_deref()),
            tmp: config.guest.tmp,
            ca_certificates: (config.guest.ca_certificates.clone()).in_home(home.as_deref())?,
            file_sync: file_sync::entries(&config.file_sync, home.as_deref())?,
        },
        templates: Templates::new(),
        cache: paths.cache().to_owned(),
        images: paths.places().parents().images.clone(),
        began: Instant::now(),
        roots: Roots::of(&paths),
        siblings: Siblings::default(),
    };
    let secrets = Shelf::new(paths.secrets());
    secrets.clean()?;
    let hosts = Arc::new(banger_ssh::Hosts::new(paths.ssh_hosts()));
    let control = Control::new(banger_control::Parts {
        places: paths.places().clone(),
        defaults: defaults(&config),
        runner: Runner::new(store, Arc::new(host)),
        environment: Arc::new(LinuxEnvironment {
            engine: engine.clone(),
            probe,
            channels: channels.clone(),
            conditions: conditions.clone(),
            paths: paths.clone(),
            ssh_hosts: Arc::clone(&hosts),
            secrets: secrets.clone(),
            runtime,
            replacements: Replacements::default(),
            ports: ports.clone(),
            peers: Arc::default(),
            opens_ports: config.network.publish_auto,
            templates: templates(&config),
            wanted_templates: WantedTemplates::default(),
            vmms_have_users: rustix::process::geteuid().is_root()
                && config.vmm.jail != JailMode::Off
                && banger_engine::gives_users(&banger_control::vm::VMM_USERS),
        }),
        locks: Arc::new(Queues::default()),
        spawn: Arc::new(Pool::new(OPERATIONS)),
    });
    log_recovery(&banger_control::recover(&control)?);
    ssh_hosts::keep(&hosts, &control);
    let stop = Cancel::new();
    let daemon = Daemon::new(Parts {
        gate: Gate::new(stop.clone()),
        control,
        paths,
        config,
        engine,
        channels,
        conditions,
        ports,
        written,
        front: Front::default(),
        ssh_hosts: hosts,
        secrets,
        started: Instant::now(),
        stop,
    });
    Ok((daemon, lock))
}

fn templates(config: &Config) -> TemplateRules {
    let quota = config
        .templates
        .quota
        .map_or(TEMPLATES_QUOTA, |quota| quota.0.0);
    TemplateRules {
        enabled: config.templates.enabled,
        quota_bytes: quota,
    }
}

/// The control group for those of VMMs. A host that gives none limits them in the other ways alone.
fn delegation(jail: JailMode) -> Option<Delegation> {
    if jail == JailMode::Off {
        return None;
    }
    Delegation::of_this_process()
        .inspect_err(|error| tracing::info!(error = chain(error), "VMMs get no control groups"))
        .ok()
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
        stack: config.network.stack,
        egress: config.network.egress,
        allow: config.network.allow.clone(),
        deny: config.network.deny.clone(),
        name_server: config.network.dns,
    }
}

/// The store and the files that SQLite puts beside it.
fn private_store(store: &Path) -> Result<(), ApiError> {
    private::file(store, true)?;
    for suffix in ["-wal", "-shm"] {
        let mut name = store.as_os_str().to_owned();
        name.push(suffix);
        private::file(&PathBuf::from(name), false)?;
    }
    Ok(())
}

fn forget(path: &Path) -> Result<(), ApiError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_error("remove", path, &error))
        }
        _ => Ok(()),
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

/// Takes the lock that makes this the one daemon of its state directory; held as long as the file is open.
///
/// A holder that answers calls is an error at once. One that does not is starting or ending: `waiting` is told once.
fn lock(paths: &Paths, waiting: &dyn Fn(&str)) -> Result<File, ApiError> {
    let path = &paths.lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| file_error("open", path, &error))?;
    let began = Instant::now();
    let mut next_look = began;
    let mut told = false;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(file_error("lock", path, &error.into())),
        }
        if Instant::now() >= next_look {
            let holder = Holder::find(paths)?;
            let late = began.elapsed() > 3 * DRAIN;
            if late || holder.as_ref().is_some_and(Holder::listens) {
                return Err(held_by(holder.as_ref(), path));
            }
            if !told && began.elapsed() > TOLD_AFTER {
                told = true;
                waiting(&held_by(holder.as_ref(), path).message);
            }
            next_look = Instant::now() + LOOK_EVERY;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn held_by(holder: Option<&Holder>, lock: &Path) -> ApiError {
    let (pid, hint) = match holder {
        Some(holder) => (
            format!("process {}", holder.pid),
            "banger daemon status shows it, banger daemon stop ends it".to_owned(),
        ),
        None => (
            "a process that this one cannot see".to_owned(),
            "it may run in another container or as another user".to_owned(),
        ),
    };
    let (lock, where_to) = (
        lock.display(),
        holder.and_then(|holder| holder.socket.as_ref()),
    );
    let message = match where_to {
        Some(socket) => format!(
            "another daemon ({pid}) serves this state folder, at {}",
            socket.display()
        ),
        None => format!("another daemon ({pid}) holds {lock} and is starting or ending"),
    };
    ApiError::new(ErrorCode::WrongState, message).hint(hint)
}
