//! All calls but commands, as a host makes them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod served;

use std::sync::Arc;

use banger_agent::guest_state::{Defaults, Guest};
use banger_guest::files::{PackOptions, Target, TransferError, UnpackLimits, download, upload};
use banger_guest::{
    ClientError, Configure, Content, GetFiles, GuestPath, Phase, PutFiles, RootPlan, ShutdownMode,
    TransportProtocol,
};
use served::{Double, host, host_of, run, shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn configure(hostname: &str) -> Configure {
    Configure {
        hostname: hostname.into(),
        machine_id: "0".repeat(32),
        machine_uuid: String::new(),
        generation: "1".into(),
        clock_unix_ns: 0,
        entropy: Content(vec![0; 32]),
        tmp: banger_guest::TmpMode::Disk,
        root: RootPlan {
            base: "b".into(),
            system: "s".into(),
            work: None,
            grow_system: false,
            grow_work: false,
            modules: None,
        },
        init: Default::default(),
        files: vec![],
        authorities: None,
        mounts: vec![],
        net: None,
        relays: vec![],
        door: None,
        kernel_line: None,
        own_kernel: None,
        env: [("FROM".to_owned(), "configure".to_owned())].into(),
        cwd: Some(GuestPath::new("/usr").unwrap()),
        user: None,
        entrypoint: vec![],
        cmd: vec![],
    }
}

fn path(path: &std::path::Path) -> GuestPath {
    GuestPath::new(path.to_str().unwrap()).unwrap()
}

fn put(dest: GuestPath) -> PutFiles {
    PutFiles {
        unchanged: false,
        dest,
        must_be_dir: false,
        contents: false,
        parents: false,
        owner: None,
    }
}

fn into(dest: std::path::PathBuf) -> Target {
    Target {
        dest,
        must_be_dir: false,
        contents: false,
        parents: false,
        name: None,
        owner: None,
    }
}

#[tokio::test]
async fn a_guest_waits_for_its_configuration_and_then_runs_commands_with_its_defaults() {
    let double = Arc::new(Double::default());
    let client = host_of(Guest::new(
        double.clone(),
        Phase::Waiting,
        Defaults::default(),
    ))
    .await;
    assert_eq!(client.ping().await.unwrap().phase, Phase::Waiting);
    let early = run(&client, &shell("true")).await;
    assert!(early.failed.unwrap().message.contains("no root"));
    let refused = client.configure(configure("broken")).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Failed { failure, .. } if failure.part == "disk base"),
        "{refused}"
    );
    assert_eq!(client.ping().await.unwrap().phase, Phase::Waiting);
    client.configure(configure("vm")).await.unwrap();
    assert_eq!(client.ping().await.unwrap().phase, Phase::Running);
    assert_eq!(
        run(&client, &shell("echo $FROM; pwd")).await.text(),
        "configure\n/usr\n"
    );
}

#[tokio::test]
async fn a_shutdown_is_passed_on_and_ends_the_acceptance_of_commands() {
    let double = Arc::new(Double::default());
    let client = host_of(Guest::new(
        double.clone(),
        Phase::Running,
        Defaults::default(),
    ))
    .await;
    client.sync().await.unwrap();
    client.shutdown(ShutdownMode::Poweroff).await.unwrap();
    assert_eq!(*double.told.lock().unwrap(), ["Poweroff"]);
    assert!(run(&client, &shell("true")).await.failed.is_some());
}

#[tokio::test]
async fn a_tree_goes_in_and_comes_back() {
    let client = host().await;
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("sub/big"), vec![3; 3_000_000]).unwrap();
    std::os::unix::fs::symlink("sub/big", source.join("link")).unwrap();
    let inside = home.path().join("inside");
    let call = client.put_files(&put(path(&inside))).await.unwrap();
    let sent = upload(call, source.clone(), PackOptions::default())
        .await
        .unwrap();
    assert_eq!((sent.entries, sent.bytes), (4, 3_000_000));
    let call = client
        .get_files(&GetFiles {
            path: path(&inside),
            follow: false,
        })
        .await
        .unwrap();
    let back = home.path().join("back");
    assert_eq!(
        download(call, into(back.clone()), UnpackLimits::default())
            .await
            .unwrap(),
        sent
    );
    assert_eq!(
        std::fs::read(back.join("link")).unwrap(),
        std::fs::read(source.join("sub/big")).unwrap()
    );
}

#[tokio::test]
async fn a_transfer_that_cannot_be_says_why_and_leaves_the_conversation_alone() {
    let client = host().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), vec![1; 2_000_000]).unwrap();
    let nowhere = put(path(&home.path().join("no/such/place")));
    let call = client.put_files(&nowhere).await.unwrap();
    let error = upload(call, home.path().join("file"), PackOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransferError::There(failure) if failure.path.contains("no/such")),
        "{error}"
    );
    let missing = GetFiles {
        path: path(&home.path().join("missing")),
        follow: false,
    };
    let call = client.get_files(&missing).await.unwrap();
    let error = download(call, into(home.path().join("x")), UnpackLimits::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransferError::There(failure) if failure.path.contains("missing")),
        "{error}"
    );
    let call = client
        .put_files(&put(path(&home.path().join("y"))))
        .await
        .unwrap();
    let error = upload(call, home.path().join("missing"), PackOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, TransferError::Here(_)), "{error}");
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_carries_bytes_until_both_sides_have_ended() {
    let client = host().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    });
    let mut call = client.connect_tcp(port).await.unwrap();
    call.write_all(b"to and fro").await.unwrap();
    call.shutdown().await.unwrap();
    let mut back = Vec::new();
    call.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"to and fro");
    echo.await.unwrap();
    let refused = client.connect_tcp(port).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failed { .. }), "{refused}");
}

#[tokio::test]
async fn listeners_and_numbers_of_the_machine_are_told() {
    let client = host().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let found = client.ports().await.unwrap();
    assert!(
        found
            .iter()
            .any(|found| found.port == port && found.protocol == TransportProtocol::Tcp)
    );
    assert!(client.stats().await.unwrap().memory.total > 0);
}

#[tokio::test]
async fn one_host_after_another_is_served() {
    let guest = Guest::new(
        Arc::new(Double::default()),
        Phase::Running,
        Defaults::default(),
    );
    for _ in 0..3 {
        host_of(guest.clone()).await.ping().await.unwrap();
    }
}

#[tokio::test]
async fn the_offset_of_a_guests_clock_is_measured_and_mended() {
    let ahead_ns = 3_600_000_000_000;
    let double = Arc::new(Double {
        ahead_ns,
        ..Double::default()
    });
    let guest = Guest::new(double.clone(), Phase::Running, Defaults::default());
    let client = host_of(guest).await;
    let (offset, set) = client.keep_time().await.unwrap();
    let error = offset.offset_ns.abs_diff(ahead_ns);
    assert!(error <= offset.error_ns, "{offset:?}");
    // It found the same with the moment that it was told, although that is older by now.
    let set = set.unwrap();
    assert!(
        set.offset_ns.abs_diff(ahead_ns) <= offset.error_ns + 1_000_000,
        "{set:?}"
    );
    assert_eq!(*double.told.lock().unwrap(), ["set clock"]);
}

#[tokio::test]
async fn a_clock_that_is_right_is_not_touched() {
    let double = Arc::new(Double::default());
    let guest = Guest::new(double.clone(), Phase::Waiting, Defaults::default());
    let (offset, set) = host_of(guest).await.keep_time().await.unwrap();
    assert_eq!(set, None, "{offset:?}");
    assert!(double.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_held_guest_answers_nothing_but_what_makes_it_one() {
    let double = Arc::new(Double::default());
    let guest = Guest::new(double.clone(), Phase::Waiting, Defaults::default());
    let client = host_of(guest.clone()).await;
    client.hold().await.unwrap();
    assert_eq!(client.ping().await.unwrap().phase, Phase::Held);
    let refused = |answer: ClientError| {
        assert!(
            matches!(&answer, ClientError::Failed { failure, .. } if failure.part == "guest"),
            "{answer}"
        );
    };
    refused(client.stats().await.unwrap_err());
    refused(client.ports().await.unwrap_err());
    refused(client.sync().await.unwrap_err());
    refused(client.shutdown(ShutdownMode::Poweroff).await.unwrap_err());
    refused(client.detached().await.unwrap_err());
    assert_eq!(*double.told.lock().unwrap(), ["hold"]);
    // Another host, as after a waking, makes it a guest.
    let client = host_of(guest).await;
    client.configure(configure("web")).await.unwrap();
    assert_eq!(client.ping().await.unwrap().phase, Phase::Running);
    client.stats().await.unwrap();
}

#[tokio::test]
async fn a_guest_that_runs_is_not_held() {
    let client = host().await;
    let error = client.hold().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Failed { failure, .. } if failure.check == "is waiting"),
        "{error}"
    );
    assert_eq!(client.ping().await.unwrap().phase, Phase::Running);
}
