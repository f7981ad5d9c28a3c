//! A registry on loopback that behaves as a test tells it to.

#![allow(dead_code)] // each test file is its own crate and uses some

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use banger_oci::{Digest, Platform, Reference};
use banger_registry::{
    BlobProgress, Cache, CredentialFiles, Fetched, RegistryError, Request, Watch, fetch,
};

/// A request, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub body: String,
}

/// Answer of the mock.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub enum Body {
    Whole(Vec<u8>),
    /// These bytes for ever.
    Endless(Vec<u8>),
    /// As many bytes as said, but then the connection breaks.
    Cut(Vec<u8>, usize),
    /// A byte now and then.
    Crawl(Vec<u8>, Duration),
    /// In one chunk, without a length before.
    Chunked(Vec<u8>),
    /// Headers, then nothing.
    Silence,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::of(200, Body::Whole(body.into()))
    }
    pub fn status(status: u16) -> Self {
        Self::of(status, Body::Whole(Vec::new()))
    }
    pub fn of(status: u16, body: Body) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

pub type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

pub struct Mock {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    listening: Option<thread::JoinHandle<()>>,
}

impl Mock {
    pub fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let listening = thread::spawn({
            let (asked, over) = (Arc::clone(&asked), Arc::clone(&over));
            let handler: Arc<Handler> = Arc::new(handler);
            move || {
                for stream in listener.incoming() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (asked, over, handler) =
                        (Arc::clone(&asked), Arc::clone(&over), Arc::clone(&handler));
                    thread::spawn(move || serve(stream.unwrap(), &asked, &over, &*handler));
                }
            }
        });
        Self {
            address,
            asked,
            over,
            listening: Some(listening),
        }
    }

    /// Serves an image under `a/b`, tag `v1`.
    pub fn serving(image: Image) -> Self {
        Self::start(move |asked| image.answer(asked))
    }

    pub fn reference(&self) -> Reference {
        format!("{}/a/b:v1", self.address).parse().unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Number of requests whose path contains `part`.
    pub fn count(&self, part: &str) -> usize {
        self.asked()
            .iter()
            .filter(|a| a.path.contains(part))
            .count()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Asked>>, over: &AtomicBool, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        asked.lock().unwrap().push(request.clone());
        if write_reply(&stream, handler(&request), over).is_none() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    // A TLS greeting is no text: the probe for TLS ends here.
    reader.read_line(&mut line).ok().filter(|&len| len > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&len| len > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let len = headers
        .get("content-length")
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        method,
        path,
        authorization: headers.remove("authorization"),
        range: headers.remove("range"),
        body: String::from_utf8(body).unwrap(),
    })
}

/// Writes an answer; `None` when the connection cannot be used any more.
fn write_reply(mut stream: &TcpStream, reply: Reply, over: &AtomicBool) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = match &reply.body {
        Body::Whole(bytes) | Body::Crawl(bytes, _) => {
            format!("Content-Length: {}\r\n", bytes.len())
        }
        Body::Cut(_, len) => format!("Content-Length: {len}\r\n"),
        Body::Chunked(_) | Body::Endless(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
        Body::Silence => "Content-Length: 100000\r\n".to_owned(),
    };
    stream
        .write_all(format!("{head}{length}\r\n").as_bytes())
        .ok()?;
    match reply.body {
        Body::Whole(bytes) => stream.write_all(&bytes).ok(),
        Body::Cut(bytes, _) => stream.write_all(&bytes).ok().and(None),
        Body::Chunked(bytes) => {
            let chunk = [
                format!("{:x}\r\n", bytes.len()).as_bytes(),
                &bytes,
                b"\r\n0\r\n\r\n",
            ]
            .concat();
            stream.write_all(&chunk).ok()
        }
        Body::Endless(bytes) => loop {
            let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
            stream.write_all(&chunk).ok()?;
        },
        Body::Crawl(bytes, pause) => {
            for byte in bytes {
                if over.load(Ordering::SeqCst) {
                    return None;
                }
                stream.write_all(&[byte]).ok()?;
                thread::sleep(pause);
            }
            Some(())
        }
        Body::Silence => {
            // Until the client gives up.
            let _ = stream.read(&mut [0; 1]);
            None
        }
    }
}

/// An image of three layers, as a registry has it.
#[derive(Clone)]
pub struct Image {
    pub layers: Vec<Vec<u8>>,
    pub blobs: HashMap<String, Vec<u8>>,
    pub manifest: Vec<u8>,
    /// Document behind the tag.
    pub tagged: Vec<u8>,
}

impl Image {
    /// Layers of these sizes, of incompressible bytes; their contents do not matter.
    pub fn new(sizes: &[usize]) -> Self {
        let layers: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(index, &len)| noise(index as u64 + 1, len))
            .collect();
        let ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"{}\"", Digest::of(layer)))
            .collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"diff_ids":[{}]}}}}"#,
            ids.join(",")
        );
        let descriptors: Vec<String> = layers.iter().map(|layer| descriptor(layer)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(config.as_bytes()),
            descriptors.join(",")
        )
        .into_bytes();
        let mut blobs: HashMap<String, Vec<u8>> = layers
            .iter()
            .map(|layer| (Digest::of(layer).to_string(), layer.clone()))
            .collect();
        blobs.insert(
            Digest::of(config.as_bytes()).to_string(),
            config.into_bytes(),
        );
        Self {
            layers,
            blobs,
            tagged: manifest.clone(),
            manifest,
        }
    }

    pub fn layer(&self, index: usize) -> Digest {
        Digest::of(&self.layers[index])
    }

    /// Answer of a correct registry.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let Some((kind, name)) = asked
            .path
            .strip_prefix("/v2/a/b/")
            .and_then(|rest| rest.split_once('/'))
        else {
            return Reply::status(404);
        };
        match kind {
            "manifests" if name == "v1" => Reply::ok(self.tagged.clone()).header(
                "Docker-Content-Digest",
                Digest::of(&self.tagged).to_string(),
            ),
            "manifests" if name == Digest::of(&self.manifest).to_string() => {
                Reply::ok(self.manifest.clone())
            }
            "blobs" => match self.blobs.get(name) {
                Some(bytes) => part_of(bytes, asked),
                None => Reply::status(404),
            },
            _ => Reply::status(404),
        }
    }
}

/// A blob, or the range of it of the request.
pub fn part_of(bytes: &[u8], asked: &Asked) -> Reply {
    let from = asked.range.as_ref().map(|range| {
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap()
    });
    match from {
        None => Reply::ok(bytes),
        Some(from) => Reply::of(206, Body::Whole(bytes[from..].to_vec())).header(
            "Content-Range",
            format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
        ),
    }
}

pub fn descriptor(bytes: &[u8]) -> String {
    format!(
        r#"{{"digest":"{}","size":{}}}"#,
        Digest::of(bytes),
        bytes.len()
    )
}

/// Bytes that look random (xorshift).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Records progress; asks to stop after so many bytes.
#[derive(Default)]
pub struct Told {
    pub layers: Mutex<Vec<(Digest, u64)>>,
    pub warnings: Mutex<Vec<String>>,
    pub progress: Mutex<Vec<BlobProgress>>,
    pub stop_after: Option<u64>,
    pub stop: AtomicBool,
}

impl Watch for Told {
    fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
    fn layers(&self, layers: &[(Digest, u64)]) {
        *self.layers.lock().unwrap() = layers.to_vec();
    }
    fn progress(&self, progress: BlobProgress) {
        if self.stop_after.is_some_and(|limit| progress.done >= limit) {
            self.stop.store(true, Ordering::SeqCst);
        }
        self.progress.lock().unwrap().push(progress);
    }
}

pub fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub fn pull(mock: &Mock, cache: &Cache) -> Result<Fetched, RegistryError> {
    pull_with(mock, cache, &CredentialFiles::default(), &Told::default())
}

pub fn pull_with(
    mock: &Mock,
    cache: &Cache,
    credentials: &CredentialFiles,
    watch: &dyn Watch,
) -> Result<Fetched, RegistryError> {
    let (reference, platform) = (mock.reference(), amd64());
    let request = Request::new(&reference, &platform, credentials).impatient();
    fetch(&request, cache, watch)
}

pub fn cache(dir: &Path) -> Cache {
    Cache::open(&dir.join("oci")).unwrap()
}

/// Names of the files in a folder of the cache.
pub fn names(cache: &Cache, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(cache.dir().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The whole chain of an error, as the command line shows it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
