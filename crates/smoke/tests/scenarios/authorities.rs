//! `[guest] ca_certificates`: guests that trust what their host does. Steps for a guest that another scenario boots, whose image has
//! OpenSSL, curl, git and Python.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use banger_smoke::{Sandbox, step};

/// A company of one server.
pub struct Company {
    folder: PathBuf,
}

impl Company {
    /// Makes its authority and the certificate of its server, and has guests trust it. Before the daemon starts.
    pub fn found(sandbox: &Sandbox) -> Self {
        let company = Self {
            folder: sandbox.folder().join("company"),
        };
        fs::create_dir(&company.folder).unwrap();
        let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 \
             -subj '/O=Example  Company/CN=Its ROOT' -keyout ca.key -out ca.crt
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key -out server.csr
             echo subjectAltName=DNS:localhost > names
             openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -extfile names -out server.crt
             cat server.key >> server.crt
             # Whoever keeps both in one file must not give the key away.
             cat ca.key ca.crt > both.pem";
        let made = Command::new("sh")
            .args(["-ec", script])
            .current_dir(&company.folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        company.guests_trust(sandbox, company.folder.join("both.pem").to_str().unwrap());
        company
    }

    /// Writes the configuration; a daemon that runs reads it when it starts again.
    pub fn guests_trust(&self, sandbox: &Sandbox, whom: &str) {
        let config = format!("[guest]\nca_certificates = \"{whom}\"\n");
        fs::write(sandbox.banger_home().join("config.toml"), config).unwrap();
    }

    /// Its server, in a guest.
    fn serve(&self, sandbox: &Sandbox, name: &str) {
        let server = self.folder.join("server.crt");
        let to = format!("{name}:/root/server.pem");
        sandbox.banger(&["cp", server.to_str().unwrap(), &to]).ok();
        let server = [
            "exec",
            "--detach",
            name,
            "--",
            "openssl",
            "s_server",
            "-accept",
            "4433",
            "-cert",
            "/root/server.pem",
            "-www",
        ];
        sandbox.banger(&server).ok();
        sandbox.in_guest(
            name,
            "for i in $(seq 100); do curl -sk https://localhost:4433/ >/dev/null && exit; sleep 0.2; done; exit 1",
        );
    }

    /// Programs of a guest trust the company.
    pub fn is_trusted(&self, sandbox: &Sandbox, name: &str) {
        let guest = |script: &str| sandbox.in_guest(name, &format!("set -e; {script}"));
        let browse = "curl -fsS https://localhost:4433/ >/dev/null; \
             python3 -c 'import urllib.request as r; r.urlopen(\"https://localhost:4433/\").read()'";
        step(
            "programs of the guest trust an authority of the host's choice",
            || {
                self.serve(sandbox, name);
                guest(browse);
                // Refused for what it serves, not for who it is.
                let git = guest("git ls-remote https://localhost:4433/x 2>&1 && exit 1; true");
                assert!(!git.contains("certificate"), "{git}");
                guest("test -s $NODE_EXTRA_CA_CERTS && test -s $REQUESTS_CA_BUNDLE");
            },
        );
        step("OpenSSL finds it in the folder, by its name", || {
            guest("openssl verify -no-CAfile -CApath /etc/ssl/certs /root/server.pem");
        });
        step(
            "a bundle that is written anew from the folders of the guest's tools has it",
            || {
                // As update-ca-certificates does, which takes minutes for its links in emulation.
                guest(
                    "cat $(find -L /usr/share/ca-certificates /usr/local/share/ca-certificates -name '*.crt') \
                 > /etc/ssl/certs/ca-certificates.crt",
                );
                guest(browse);
            },
        );
        step("no key leaves the host with the certificates", || {
            let keys =
                guest("grep -rl 'PRIVATE KEY' /etc/ssl /usr/local/share/ca-certificates || true");
            assert_eq!(keys, "");
        });
    }

    /// Programs of a guest whose host trusts it no more do not either, and have what the host's own bundle has.
    pub fn is_trusted_no_more(&self, sandbox: &Sandbox, name: &str) {
        step(
            "what the host trusts no more goes at the next start",
            || {
                self.serve(sandbox, name);
                let refused = "curl -sS https://localhost:4433/ 2>&1; echo $?; \
                 openssl verify -no-CAfile -CApath /etc/ssl/certs /root/server.pem 2>&1 || true";
                let refused = sandbox.in_guest(name, refused);
                assert!(
                    refused.contains("60\n") && refused.contains("error 20"),
                    "{refused}"
                );
                let mine = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap();
                let first = mine.lines().nth(1).unwrap();
                sandbox.in_guest(
                    name,
                    &format!("grep -q '{first}' /etc/ssl/certs/ca-certificates.crt"),
                );
            },
        );
    }
}
