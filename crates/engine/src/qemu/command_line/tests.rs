//! The whole command line, and the refused specs.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::Below;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use uuid::Uuid;

pub(in crate::qemu) fn spec(accel: Accel) -> VmmSpec {
    VmmSpec {
        vm_id: Uuid::from_u128(0x0197_5c3e_0000_7000_8000_0000_0000_0001),
        vm_name: "tidy-otter".into(),
        launch_token: "launch-0001".parse().unwrap(),
        dir: "/run/banger/vms/1".into(),
        kernel: "/k/vmlinux".into(),
        initramfs: "/k/initramfs.cpio".into(),
        cmdline_extra: vec!["banger.test=1".into()],
        vcpu: 1,
        memory_mib: 512,
        memory: Memory::Own,
        disks: vec![
            DiskSpec {
                path: "/i/base.ext4".into(),
                below: None,
                serial: "base".into(),
                read_only: true,
            },
            DiskSpec {
                path: "/v/work.ext4".into(),
                below: None,
                serial: "work".into(),
                read_only: false,
            },
        ],
        net: user(vec![publish(8080, 80)]),
        console_log: "/v/console.log".into(),
        accel,
        user: None,
    }
}

fn user(publish: Vec<Publish>) -> NetSpec {
    NetSpec::User {
        mac: [0x52, 0x54, 0, 0, 0, 0xa],
        egress: true,
        publish,
    }
}

fn publish(host_port: u16, guest_port: u16) -> Publish {
    Publish {
        host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        host_port,
        guest_port,
    }
}

fn host() -> Host {
    Host {
        has_qboot: true,
        tsc_khz: Some(2_600_000),
    }
}

/// One option and its value a line.
fn shown(spec: &VmmSpec, host: &Host) -> String {
    let mut lines = String::new();
    for arg in arguments(spec, host).unwrap() {
        let arg = arg.into_string().unwrap();
        let is_option = arg.starts_with('-');
        lines.push_str(if is_option { "\n" } else { " " });
        lines.push_str(&arg);
    }
    lines
}

fn refused(change: impl FnOnce(&mut VmmSpec)) -> String {
    let mut spec = spec(Accel::Tcg);
    change(&mut spec);
    match arguments(&spec, &host()) {
        Err(error @ EngineError::Invalid { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_translated_machine_is_this_and_no_more() {
    insta::assert_snapshot!(shown(&spec(Accel::Tcg), &host()));
}

#[test]
fn the_translated_machine_on_a_host_with_another_clock_is_this_and_no_more() {
    insta::assert_snapshot!(shown(
        &spec(Accel::Tcg),
        &Host {
            tsc_khz: None,
            ..host()
        }
    ));
}

#[test]
fn the_virtualised_machine_is_this_and_no_more() {
    insta::assert_snapshot!(shown(&spec(Accel::Kvm), &host()));
}

#[test]
fn without_a_network_there_is_no_network_device() {
    let line = shown(
        &VmmSpec {
            net: NetSpec::None,
            ..spec(Accel::Tcg)
        },
        &host(),
    );
    assert!(!line.contains("net"), "{line}");
}

#[test]
fn a_top_is_over_the_layers_that_are_named_here_and_their_formats_are() {
    let mut spec = spec(Accel::Tcg);
    spec.disks[1].below = Some(Below {
        layers: vec!["/l/1,2/work".into(), "/l/2/work".into()],
        bytes: 1 << 30,
    });
    let line = shown(&spec, &host());
    let file = "file.driver=file,file.aio=threads,file.locking=auto,file.filename=";
    for node in [
        format!("driver=raw,node-name=disk1.0,read-only=on,{file}/l/1,,2/work"),
        format!("driver=qcow2,backing=disk1.0,node-name=disk1.1,read-only=on,{file}/l/2/work"),
        format!(
            "driver=qcow2,backing=disk1.1,node-name=disk1,read-only=off,discard=unmap,detect-zeroes=unmap,{file}/v/work.ext4"
        ),
    ] {
        assert!(line.contains(&format!("-blockdev {node}\n")), "{line}");
    }
    spec.disks[1].below = Some(Below {
        layers: Vec::new(),
        bytes: 1,
    });
    assert!(matches!(
        arguments(&spec, &host()),
        Err(EngineError::Invalid { .. })
    ));
}

#[test]
fn a_datagram_link_names_two_sockets_of_the_folder_and_nothing_of_the_hosts_network() {
    let net = NetSpec::Datagrams {
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 65_520,
    };
    for (accel, device) in [
        (
            Accel::Tcg,
            "virtio-net-pci-non-transitional,netdev=net,mac=02:00:00:00:00:01,host_mtu=65520,romfile=",
        ),
        (
            Accel::Kvm,
            "virtio-net-device,netdev=net,mac=02:00:00:00:00:01,host_mtu=65520",
        ),
    ] {
        let line = shown(
            &VmmSpec {
                net: net.clone(),
                ..spec(accel)
            },
            &host(),
        );
        let netdev = "dgram,id=net,local.type=unix,local.path=net.qemu,remote.type=unix,remote.path=net.sock";
        assert!(line.contains(&format!("-netdev {netdev}\n")), "{line}");
        assert!(line.contains(&format!("-device {device}\n")), "{line}");
    }
    let small = NetSpec::Datagrams {
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 100,
    };
    assert!(refused(|s| s.net = small).starts_with("mtu"));
}

#[test]
fn without_egress_the_network_is_restricted() {
    let net = NetSpec::User {
        mac: [2, 0, 0, 0, 0, 1],
        egress: false,
        publish: vec![],
    };
    let line = shown(
        &VmmSpec {
            net,
            ..spec(Accel::Tcg)
        },
        &host(),
    );
    assert!(
        line.contains("-netdev user,id=net,ipv6=off,restrict=on\n"),
        "{line}"
    );
}

#[test]
fn options_that_depend_on_the_host_or_on_one_processor_are_left_out_elsewhere() {
    let two = VmmSpec {
        vcpu: 2,
        ..spec(Accel::Tcg)
    };
    let args = arguments(&two, &Host::default()).unwrap();
    let line = args.join(std::ffi::OsStr::new(" ")).into_string().unwrap();
    for absent in ["qboot", "tsc_early_khz", "tsc=reliable", "noreplace-smp"] {
        assert!(!line.contains(absent), "{absent} in {line}");
    }
    assert!(line.contains("cpus=2,sockets=1,cores=2,threads=1"));
}

#[test]
fn commas_spaces_and_foreign_bytes_in_paths_survive() {
    let path = PathBuf::from(OsString::from_vec(b"/a,,b c,\xff/x".to_vec()));
    let mut odd = spec(Accel::Tcg);
    odd.console_log.clone_from(&path);
    odd.disks[0].path.clone_from(&path);
    odd.kernel.clone_from(&path);
    let args = arguments(&odd, &host()).unwrap();
    assert_eq!(console_log(&args), Some(path.clone()));
    let bytes: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
    assert!(
        bytes.contains(&path.as_os_str().as_bytes()),
        "the kernel's path is no option list"
    );
    assert!(
        bytes
            .iter()
            .any(|arg| arg.ends_with(b"file.filename=/a,,,,b c,,\xff/x"))
    );
}

#[test]
fn only_the_argument_made_for_it_carries_the_token() {
    let args = arguments(&spec(Accel::Tcg), &host()).unwrap();
    let carrying = |token: &str| {
        args.iter()
            .filter(|arg| files::token_of(arg) == Some(token))
            .count()
    };
    assert_eq!(carrying("launch-0001"), 1);
    assert_eq!(carrying("launch-000"), 0, "a prefix is another launch");
    assert_eq!(carrying(""), 0);
}

#[test]
fn bad_numbers_and_names_are_refused_by_their_field() {
    assert_eq!(refused(|s| s.vcpu = 0), "vcpu \"0\" must be 1 to 255");
    assert!(refused(|s| s.vcpu = 256).starts_with("vcpu"));
    assert!(refused(|s| s.memory_mib = 31).starts_with("memory_mib \"31\""));
    for name in ["", "a,b", "A", &"a".repeat(64)] {
        assert!(refused(|s| s.vm_name = name.into()).starts_with("vm_name"));
    }
}

#[test]
fn relative_paths_and_nul_bytes_are_refused() {
    assert_eq!(
        refused(|s| s.kernel = "k".into()),
        "kernel \"k\" must be an absolute path"
    );
    assert!(refused(|s| s.console_log = "/a\0b".into()).contains("NUL"));
    assert!(refused(|s| s.disks[1].path = "w".into()).starts_with("disk"));
}

#[test]
fn disk_serials_are_short_plain_and_different() {
    for serial in ["", "a,b", "twenty-one-characters", "base"] {
        assert!(refused(|s| s.disks[1].serial = serial.into()).starts_with("disk serial"));
    }
    assert!(refused(|s| s.disks = vec![s.disks[0].clone(); 6]).starts_with("disks"));
}

#[test]
fn published_ports_are_real_and_used_once() {
    assert!(refused(|s| s.net = user(vec![publish(0, 80)])).contains("port 0"));
    assert!(refused(|s| s.net = user(vec![publish(80, 0)])).contains("port 0"));
    assert!(refused(|s| s.net = user(vec![publish(80, 1), publish(80, 2)])).contains("twice"));
    let six = Publish {
        host_ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        ..publish(80, 80)
    };
    assert!(refused(|s| s.net = user(vec![six])).contains("IPv6"));
    let multicast = NetSpec::User {
        mac: [1, 0, 0, 0, 0, 0],
        egress: false,
        publish: vec![],
    };
    assert!(refused(|s| s.net = multicast).starts_with("mac"));
}

#[test]
fn kernel_words_are_words_and_the_line_is_not_cut_by_the_kernel() {
    for word in ["", "a b", "a\nb", "ä"] {
        assert!(refused(|s| s.cmdline_extra = vec![word.into()]).starts_with("cmdline_extra"));
    }
    let long = refused(|s| s.cmdline_extra = vec!["x".repeat(2000)]);
    assert!(long.contains("longer than 2047 bytes"), "{long}");
}
