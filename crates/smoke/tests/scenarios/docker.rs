//! Containers in a guest: Docker's own daemon, podman and buildah without root, and what else needs a kernel that is whole. One guest
//! for all of it, whose image is built from Debian's archive: minutes in emulation, hence a target of its own.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use banger_smoke::{BOOT, Sandbox, eventually, step};

use crate::published::free_port;

const NAME: &str = "lab";
const BUILD: Duration = Duration::from_secs(900);
const LONG: Duration = Duration::from_secs(400);

struct Lab {
    sandbox: Sandbox,
    port: u16,
}

impl Lab {
    fn with(&self, user: &str, script: &str) -> String {
        let words = ["exec", "-u", user, NAME, "--", "sh", "-ec", script];
        let finished = self.sandbox.banger(&words).deadline(LONG).ok();
        finished.out().trim().to_owned()
    }

    fn root(&self, script: &str) -> String {
        self.with("root", script)
    }

    /// Answer to a request for `/` at the host's port; empty when nobody answers.
    fn fetch(&self) -> String {
        let mut answer = Vec::new();
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_end(&mut answer);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The root of a container that is busybox alone, as `docker import` takes it, in the guest.
fn bring_busybox(lab: &Lab) {
    let folder = lab.sandbox.folder().join("busybox");
    let script = "mkdir -p bin www && cp $(command -v busybox) bin/busybox && for name in sh uname cat wget httpd echo sleep id; do ln -s busybox bin/$name; done
         echo from a container > www/index.html && tar --owner 0 --group 0 -cf ../busybox.tar .";
    std::fs::create_dir(&folder).unwrap();
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(made.success());
    let archive = lab.sandbox.folder().join("busybox.tar");
    let to = format!("{NAME}:/srv/busybox.tar");
    lab.sandbox
        .banger(&["cp", archive.to_str().unwrap(), &to])
        .ok();
}

#[test]
#[ignore = "minutes, and an image from Debian's archive: make docker-scenario"]
fn containers_of_docker_and_podman_work_in_a_guest() {
    let sandbox = Sandbox::new();
    step("the image is built from Debian's packages", || {
        sandbox
            .banger(&["image", "build", "debian-docker"])
            .deadline(BUILD)
            .ok();
    });
    let port = free_port();
    let publish = format!("{port}:8080");
    let words = [
        "vm",
        "create",
        "--name",
        NAME,
        "--image",
        "debian-docker",
        "--vcpu",
        "2",
        "--memory",
        "2G",
        "--allow",
        "none",
        "--publish",
        &publish,
    ];
    sandbox.banger(&words).deadline(BOOT).ok();
    let lab = Lab { sandbox, port };
    bring_busybox(&lab);
    docker(&lab);
    rootless(&lab);
    kernel(&lab);
}

fn docker(lab: &Lab) {
    step("dockerd starts", || {
        lab.root("until docker info >/dev/null 2>&1; do sleep 0.5; done");
        let info = lab.root("docker info 2>&1");
        assert!(
            info.contains("Storage Driver: overlay2") && !info.contains("WARNING"),
            "{info}"
        );
    });
    step("a container runs", || {
        lab.root("docker import /srv/busybox.tar bb >/dev/null");
        assert_eq!(lab.root("docker run --rm bb /bin/echo inside"), "inside");
    });
    step("a container has the limits that it was given", || {
        let limits = "docker run --rm --memory 64m --cpus 0.5 bb /bin/cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max";
        assert_eq!(lab.root(limits), "67108864\n50000 100000");
    });
    step("containers of one network find each other by name", || {
        lab.root("docker network create inner >/dev/null");
        lab.root("docker run -d --name web --network inner -p 8080:80 bb /bin/busybox httpd -f -p 80 -h /www >/dev/null");
        let got = "docker run --rm --network inner bb /bin/wget -qO- http://web/";
        assert_eq!(lab.root(got), "from a container");
    });
    step("a container's port is reached from the host", || {
        eventually("the container answers", Duration::from_secs(30), || {
            lab.fetch().contains("from a container").then_some(())
        });
    });
    step("an image is built", || {
        lab.root("mkdir -p /srv/b && printf 'FROM bb\\nRUN echo built > /made\\nCMD [\"/bin/cat\", \"/made\"]\\n' > /srv/b/Dockerfile && docker build -t made /srv/b >/dev/null 2>&1");
        assert_eq!(lab.root("docker run --rm made"), "built");
    });
    step("Compose brings services up and down", || {
        lab.root("docker rm -f web >/dev/null");
        lab.root("printf 'version: \"3\"\\nservices:\\n  web:\\n    image: bb\\n    command: /bin/busybox httpd -f -p 80 -h /www\\n    ports: [\"8080:80\"]\\n' > /srv/b/docker-compose.yml && cd /srv/b && docker-compose up -d 2>&1");
        eventually("the service answers", Duration::from_secs(30), || {
            lab.fetch().contains("from a container").then_some(())
        });
        lab.root("cd /srv/b && docker-compose down 2>&1");
    });
}

fn rootless(lab: &Lab) {
    let dev = |script: &str| {
        let script = format!("export XDG_RUNTIME_DIR=/run/user/$(id -u); {script}");
        lab.with("dev", &script)
    };
    step(
        "an ordinary user's podman runs a container, with overlays",
        || {
            lab.root("systemctl stop docker docker.socket && useradd -m -s /bin/bash dev && loginctl enable-linger dev");
            lab.root("until [ -S /run/user/$(id -u dev)/bus ]; do sleep 0.2; done");
            dev("podman import /srv/busybox.tar bb >/dev/null 2>&1");
            assert_eq!(dev("podman run --rm bb /bin/id -u 2>/dev/null"), "0");
            assert_eq!(
                dev("podman info --format '{{.Store.GraphDriverName}}' 2>/dev/null"),
                "overlay"
            );
        },
    );
    step("its port is reached from the host", || {
        dev(
            "podman run -d --name web -p 8080:80 bb /bin/busybox httpd -f -p 80 -h /www >/dev/null 2>&1",
        );
        eventually("the container answers", Duration::from_secs(60), || {
            lab.fetch().contains("from a container").then_some(())
        });
        dev("podman rm -f web >/dev/null 2>&1");
    });
    step("buildah builds without root", || {
        dev(
            "mkdir -p ~/b && printf 'FROM localhost/bb\\nRUN echo built > /made\\nCMD [\"/bin/cat\", \"/made\"]\\n' > ~/b/Dockerfile && buildah bud -t made ~/b >/dev/null 2>&1",
        );
        assert_eq!(dev("podman run --rm made 2>/dev/null"), "built");
    });
}

fn kernel(lab: &Lab) {
    step("a swap file", || {
        lab.root("fallocate -l 64M /root/swap && chmod 600 /root/swap && mkswap /root/swap >/dev/null && swapon /root/swap && grep -q /root/swap /proc/swaps && swapoff /root/swap");
    });
    step("devices and networks that are modules", || {
        lab.root("ip tuntap add dev tun7 mode tun && ip link add wg0 type wireguard && ip link add br7 type bridge");
        lab.root("nft add table inet seven && nft list tables | grep -q seven");
        lab.root("modprobe zram && [ -b /dev/zram0 ]");
        lab.root("truncate -s 8M /srv/disk && mkfs.ext4 -q /srv/disk && mount -o loop /srv/disk /mnt && umount /mnt");
        lab.root("modprobe fuse && [ -c /dev/fuse ] && modprobe nfs");
    });
}
