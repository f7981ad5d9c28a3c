//! Messages, frames and the hello between host and agent of any two builds, byte by byte.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod examples;

use banger_formats::{Golden, every_variant};
use banger_guest::limits::PROTOCOL_VERSION;
use banger_guest::wire::frame::{Frame, decode};
use banger_guest::wire::handshake::{Kind, Record};
use banger_guest::{
    Answer, Caller, ClockChange, Configured, Detached, ExecFailureKind, Failure, FailureKind,
    Found, GuestFile, GuestStats, IdentityName, InstalledKernel, Listener, Listening, Phase, Pong,
    Request, RunningInit, TransportProtocol,
};
use bytes::BytesMut;

use crate::examples::{
    NEW_IN_VERSION_2, clock_reading, clock_sets, configured, detached, failures, files, found,
    frames, hellos, hex, listeners, path, pongs, requests, requests_of_version_1, rows, stats,
    text, unhex,
};

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_message_is_that_of_its_newest_golden_file() {
    every_variant!(
        &requests(),
        Request {
            Ping,
            Configure,
            Exec,
            Detach,
            Detached,
            Attach,
            PutFiles,
            GetFiles,
            GetChanges,
            GetRoot,
            Connect,
            DigestFiles,
            RemoveFiles,
            Ports,
            WatchPorts,
            Stats,
            ReadClock,
            SetClock,
            GrowDisk,
            Hold,
            InstalledKernel,
            Sync,
            Shutdown
        }
    );
    every_variant!(
        &files(),
        GuestFile {
            Write,
            WriteUnlessEdited,
            Guard,
            WriteIfAbsent,
            AddLineOnce,
            Fstab,
            Symlink,
            Dir,
            Remove
        }
    );
    let kinds = failures();
    every_variant!(
        kinds.iter().map(|failure| &failure.kind),
        ExecFailureKind {
            NotFound,
            Permission,
            Cwd,
            User,
            Other
        }
    );
    every_variant!(
        &found(),
        Found {
            Absent,
            File,
            Link,
            Directory,
            Other
        }
    );
    every_variant!(
        configured().iter().map(|it| &it.init),
        RunningInit {
            Agent,
            Systemd,
            Other
        }
    );
    every_variant!(
        listeners().iter().map(|it| &it.protocol),
        TransportProtocol { Tcp, Udp }
    );
    let golden = golden();
    assert_eq!(golden.holds("requests.json", &requests()), Ok(()));
    assert_eq!(golden.holds("pong.json", &pongs()), Ok(()));
    assert_eq!(golden.holds("configured.json", &configured()), Ok(()));
    every_variant!(
        rows().iter().map(|row| &row.name),
        IdentityName {
            Randomness,
            Clock,
            BootId,
            Hostname,
            MachineId,
            MacAddress,
            MachineUuid,
            Generation
        }
    );
    assert_eq!(golden.holds("detached.json", &detached()), Ok(()));
    let installed = Answer::Ok(Some(InstalledKernel {
        release: text("6.1.0-57-cloud-amd64"),
        image: path("/boot/vmlinuz-6.1.0-57-cloud-amd64"),
        config: Some(path("/boot/config-6.1.0-57-cloud-amd64")),
        modules: path("/lib/modules/6.1.0-57-cloud-amd64"),
    }));
    assert_eq!(golden.holds("installed-kernel.json", &installed), Ok(()));
    let failed: Answer<Configured> = Answer::Failed(Failure {
        part: text("kernel 6.1.0-57-cloud-amd64"),
        check: text("be the one that booted"),
        message: text("it is not"),
        kind: FailureKind::OtherKernel,
    });
    assert_eq!(golden.holds("failed.json", &failed), Ok(()));
    assert_eq!(golden.holds("stats.json", &stats()), Ok(()));
    assert_eq!(golden.holds("clock.json", &clock_reading()), Ok(()));
    every_variant!(
        clock_sets().iter().map(|set| &set.change),
        ClockChange {
            Stepped,
            Slewed,
            Left
        }
    );
    assert_eq!(golden.holds("clock-set.json", &clock_sets()), Ok(()));
    assert_eq!(golden.holds("listeners.json", &listeners()), Ok(()));
    assert_eq!(golden.holds("found.json", &found()), Ok(()));
    let listening = [Listening::Port(80), Listening::Socket(text("/run/a"))];
    every_variant!(&listening, Listening { Port, Socket });
    assert_eq!(golden.holds("listening.json", &listening), Ok(()));
    let caller = Caller {
        address: Some("127.0.0.1:80".parse().unwrap()),
    };
    assert_eq!(golden.holds("caller.json", &caller), Ok(()));
}

#[test]
fn every_frame_and_hello_has_the_bytes_of_its_newest_golden_file() {
    every_variant!(
        &frames(),
        Frame {
            Stdin,
            StdinEof,
            Resize,
            Signal,
            Started,
            Stdout,
            Stderr,
            Exit,
            Failed,
            Data,
            End,
            Done,
            TransferFailed,
            StdinTaken,
            SignalTaken,
            TimedOut
        }
    );
    let bytes: Vec<_> = frames()
        .iter()
        .map(|frame| hex(&frame.to_bytes().unwrap()))
        .collect();
    assert_eq!(golden().holds("frames.json", &bytes), Ok(()));
    let bytes: Vec<_> = hellos()
        .iter()
        .map(|hello| hex(&hello.to_bytes()))
        .collect();
    assert_eq!(golden().holds("hello.json", &bytes), Ok(()));
    assert_eq!(
        golden().holds("protocol-version.json", &PROTOCOL_VERSION),
        Ok(())
    );
}

#[test]
fn what_version_1_said_is_understood() {
    let golden = golden();
    assert_eq!(
        golden.read::<Vec<Request>>(1, "requests.json"),
        requests_of_version_1()
    );
    let known =
        |pong: &Answer<Pong>| !matches!(pong, Answer::Ok(pong) if pong.phase == Phase::Held);
    let pongs: Vec<_> = pongs().into_iter().filter(known).collect();
    assert_eq!(golden.read::<Vec<Answer<Pong>>>(1, "pong.json"), pongs);
    let without_rows = |configured: Configured| Configured {
        rows: Vec::new(),
        ..configured
    };
    assert_eq!(
        golden.read::<Vec<Configured>>(1, "configured.json"),
        configured()
            .into_iter()
            .map(without_rows)
            .collect::<Vec<_>>()
    );
    assert_eq!(golden.read::<Vec<Detached>>(1, "detached.json"), detached());
    let older = GuestStats {
        commands: Vec::new(),
        ..stats()
    };
    assert_eq!(golden.read::<GuestStats>(1, "stats.json"), older);
    assert_eq!(
        golden.read::<Vec<Listener>>(1, "listeners.json"),
        listeners()
    );
    assert_eq!(golden.read::<Vec<Found>>(1, "found.json"), found());
    let mut bytes = BytesMut::new();
    for frame in golden.read::<Vec<String>>(1, "frames.json") {
        bytes.extend_from_slice(&unhex(&frame));
    }
    let mut seen = Vec::new();
    while let Some(frame) = decode(&mut bytes).unwrap() {
        seen.push(frame);
    }
    assert_eq!(seen, frames()[..frames().len() - NEW_IN_VERSION_2]);
}

#[test]
fn a_hello_of_version_1_is_recognised() {
    let read = |text: &String| Record::from_bytes(&unhex(text).try_into().unwrap()).unwrap();
    let hellos: Vec<String> = golden().read(1, "hello.json");
    let seen: Vec<_> = hellos.iter().map(read).collect();
    let kinds = [Kind::Hello, Kind::Ack, Kind::Start, Kind::Go];
    let expected = kinds.map(|kind| Record {
        version: 1,
        kind,
        nonce: [7; 32],
    });
    assert_eq!(seen, expected);
}
