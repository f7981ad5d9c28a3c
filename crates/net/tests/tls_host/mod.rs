//! A host that speaks HTTP/1.1 over TLS, and tells the test what it was asked.

#![allow(clippy::unwrap_used, dead_code)] // a test may stop at the first surprise, and each uses its part

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The certificate that it shows, for `api.example` and `localhost`.
#[derive(Debug, Clone, Copy)]
pub enum Certificate {
    /// One of the tests' authority.
    Good,
    /// One that nobody has signed.
    OfNobody,
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Serves at every address of a port; with the requests as they come, whole. `/events` waits for `go_on` in its middle.
pub fn serve(port: u16, certificate: Certificate, go_on: Receiver<()>) -> Receiver<String> {
    let (certificate, key) = match certificate {
        Certificate::Good => (
            &include_bytes!("../tls/server.der")[..],
            &include_bytes!("../tls/server.key")[..],
        ),
        Certificate::OfNobody => (
            &include_bytes!("../tls/stranger.der")[..],
            &include_bytes!("../tls/stranger.key")[..],
        ),
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.to_vec())],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec())),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    let (tell, asked) = channel();
    let go_on = Arc::new(Mutex::new(go_on));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let (tell, go_on) = (tell.clone(), Arc::clone(&go_on));
            std::thread::spawn(move || talk(StreamOwned::new(tls, stream), &tell, &go_on));
        }
    });
    asked
}

fn talk(mut stream: Stream, tell: &Sender<String>, go_on: &Mutex<Receiver<()>>) {
    while let Some(head) = until(&mut stream, b"\r\n\r\n") {
        let text = String::from_utf8(head).unwrap();
        if text.contains("expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).unwrap();
        if text.contains("transfer-encoding: chunked") {
            body = until(&mut stream, b"0\r\n\r\n").unwrap();
        }
        let path = text.split([' ', '?']).nth(1).unwrap().to_owned();
        let is_head = text.starts_with("HEAD ");
        let _ = tell.send(text + std::str::from_utf8(&body).unwrap());
        let mut say = |text: &str| {
            stream.write_all(text.as_bytes()).unwrap();
            stream.flush().unwrap();
        };
        match path.as_str() {
            "/events" => {
                say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
                go_on.lock().unwrap().recv().unwrap();
                say("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
            }
            "/away" => say(
                "HTTP/1.1 302 Found\r\nLocation: https://cdn.example/x\r\nContent-Length: 0\r\n\r\n",
            ),
            "/home" => say(
                "HTTP/1.1 302 Found\r\nLocation: https://api.example/x\r\nContent-Length: 0\r\n\r\n",
            ),
            "/large" => {
                say(&format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    3 << 20
                ));
                say(&"b".repeat(3 << 20));
            }
            _ if is_head => say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
            _ => say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nword"),
        }
    }
}

/// Bytes up to this end; `None`: it has ended before.
fn until(stream: &mut Stream, end: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return None,
        }
    }
    Some(bytes)
}
