//! Fetch of one blob: locked, resumed, verified, kept.
//!
//! ```text
//! there? ─► done      another fetcher holds the part? ─► wait, look again
//!    └─► lock the part ─► hash its bytes ─► request the rest ─► … ─► size, digest ─► Cache::finish
//!                                              └── interrupted: pause, request from there on
//! ```

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Instant;

use banger_oci::Digest;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use crate::cache::{Cache, LOCK_TICK};
use crate::error::RegistryError;
use crate::http::{Ask, Patience, host_of, transfer};
use crate::retry::Retry;
use crate::session::Session;
use crate::watch::{BlobProgress, Watch};

/// Bytes of a part that are hashed at a time; other tasks run in between.
const STEP: usize = 1 << 20;
/// Shortest time between two progress reports of a blob, in milliseconds.
const TELL_MS: u128 = 100;

/// A blob that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Fetches `wanted` into the cache, unless it is there.
pub(crate) async fn fetch(
    session: &Session,
    cache: &Cache,
    wanted: Wanted,
    watch: &dyn Watch,
) -> Result<(), RegistryError> {
    let mut teller = Teller::new(wanted, watch);
    loop {
        if there(cache, wanted)? {
            teller.finished();
            return Ok(());
        }
        let Some(file) = cache.try_part(wanted.digest)? else {
            // Another fetcher has it: report the length of its part.
            let len = std::fs::metadata(cache.part(wanted.digest)).map_or(0, |part| part.len());
            teller.tell(len);
            tokio::time::sleep(LOCK_TICK).await;
            continue;
        };
        if there(cache, wanted)? {
            // It was finished just before this lock was taken: the locked part is new and empty.
            cache.drop_part(wanted.digest)?;
            continue;
        }
        let download = Download {
            session,
            cache,
            wanted,
            teller: &mut teller,
        };
        download.run(file).await?;
        teller.finished();
        return Ok(());
    }
}

/// Tells whether the blob is there. A blob of another size was changed after it was verified, or the manifest is
/// wrong: fetching it again finds that out.
fn there(cache: &Cache, wanted: Wanted) -> Result<bool, RegistryError> {
    match std::fs::metadata(cache.blob(wanted.digest)) {
        Ok(metadata) if metadata.len() == wanted.size => Ok(true),
        Ok(_) => cache.forget(wanted.digest).map(|()| false),
        Err(_) => Ok(false),
    }
}

/// The local part of a blob, and the hash of its bytes so far.
struct Part {
    file: File,
    hash: Sha256,
    len: u64,
    /// True when some bytes come from an earlier fetch: if the digest is wrong, the registry may not be at fault.
    old: bool,
}

struct Download<'a, 'w> {
    session: &'a Session,
    cache: &'a Cache,
    wanted: Wanted,
    teller: &'a mut Teller<'w>,
}

impl Download<'_, '_> {
    async fn run(mut self, file: File) -> Result<(), RegistryError> {
        let mut part = self.resume(file).await?;
        loop {
            self.complete(&mut part).await?;
            let found = Digest::of_hash(part.hash.clone().finalize().into());
            if found == self.wanted.digest {
                return self.keep(part.file).await;
            }
            if !part.old {
                self.cache.drop_part(self.wanted.digest)?;
                return Err(RegistryError::Digest {
                    what: self.wanted.digest.to_string(),
                    found,
                });
            }
            self.restart(&mut part)?;
        }
    }

    async fn keep(&self, file: File) -> Result<(), RegistryError> {
        let (cache, digest) = (self.cache.clone(), self.wanted.digest);
        let kept = tokio::task::spawn_blocking(move || cache.finish(digest, &file)).await;
        kept.unwrap_or(Err(RegistryError::Cancelled))
    }

    /// Hashes the bytes that an earlier fetch left.
    async fn resume(&mut self, mut file: File) -> Result<Part, RegistryError> {
        let mut part = Part {
            hash: Sha256::new(),
            len: 0,
            old: false,
            file: file.try_clone().map_err(|source| self.io("open", source))?,
        };
        let len = file
            .metadata()
            .map_err(|source| self.io("inspect", source))?
            .len();
        if len > self.wanted.size {
            self.restart(&mut part)?;
            return Ok(part);
        }
        let mut buffer = vec![0; STEP];
        loop {
            let read = file
                .read(&mut buffer)
                .map_err(|source| self.io("read", source))?;
            if read == 0 {
                break;
            }
            part.hash.update(&buffer[..read]);
            part.len += read as u64;
            self.teller.tell(part.len);
            tokio::task::yield_now().await;
        }
        part.old = part.len > 0;
        Ok(part)
    }

    fn restart(&self, part: &mut Part) -> Result<(), RegistryError> {
        part.file
            .set_len(0)
            .and_then(|()| part.file.seek(SeekFrom::Start(0)))
            .map_err(|source| self.io("cut", source))?;
        (part.hash, part.len, part.old) = (Sha256::new(), 0, false);
        Ok(())
    }

    /// Requests the missing bytes until none are missing.
    async fn complete(&mut self, part: &mut Part) -> Result<(), RegistryError> {
        let mut retry = Retry::new(&self.session.patience);
        while part.len < self.wanted.size {
            let before = part.len;
            let result = self.rest(part).await;
            if part.len > before + Patience::LEAST {
                retry.progressed();
            }
            if let Err(error) = result {
                retry.pause(error).await?;
            }
        }
        Ok(())
    }

    /// Requests all missing bytes once.
    async fn rest(&mut self, part: &mut Part) -> Result<(), RegistryError> {
        let what = format!("layer {}", self.wanted.digest);
        let asking = Ask {
            what: &what,
            accept: None,
            from: (part.len > 0).then_some(part.len),
        };
        let path = format!("blobs/{}", self.wanted.digest);
        let (url, response) = self.session.get(&path, &asking).await?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && starts_at(&response) == Some(part.len);
        if !goes_on && part.len > 0 {
            self.restart(part)?;
        }
        if !goes_on && response.status() != StatusCode::OK {
            return Err(RegistryError::Status {
                what,
                host: host_of(&url),
                // The registry ignored the range or sent another one: a retry from the start may work.
                status: 503,
                detail: "not the range that was asked for".to_owned(),
                again: None,
            });
        }
        if let Some(len) = response.content_length()
            && len != self.wanted.size - part.len
        {
            return Err(self.size(part.len.saturating_add(len)));
        }
        self.body(part, response, &url, &what).await
    }

    async fn body(
        &mut self,
        part: &mut Part,
        mut response: Response,
        url: &Url,
        what: &str,
    ) -> Result<(), RegistryError> {
        let patience = self.session.patience;
        let (mut since, mut then) = (Instant::now(), part.len);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|source| transfer(what, url, source))?
        {
            let len = part.len + chunk.len() as u64;
            if len > self.wanted.size {
                return Err(self.size(len));
            }
            part.file
                .write_all(&chunk)
                .map_err(|source| self.io("write", source))?;
            part.hash.update(&chunk);
            part.len = len;
            self.teller.tell(len);
            if since.elapsed() > patience.crawl {
                if len - then < Patience::LEAST {
                    return Err(RegistryError::TooSlow {
                        what: what.to_owned(),
                        host: host_of(url),
                    });
                }
                (since, then) = (Instant::now(), len);
            }
        }
        match part.len == self.wanted.size {
            true => Ok(()),
            false => Err(self.size(part.len)),
        }
    }

    fn size(&self, found: u64) -> RegistryError {
        RegistryError::Size {
            digest: self.wanted.digest,
            found,
            announced: self.wanted.size,
        }
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> RegistryError {
        RegistryError::cache(action, &self.cache.part(self.wanted.digest), source)
    }
}

/// Offset of a partial answer in its blob (`bytes 100-199/200`).
fn starts_at(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = value.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

/// Reports progress at a limited rate.
struct Teller<'w> {
    watch: &'w dyn Watch,
    wanted: Wanted,
    told: Option<Instant>,
}

impl<'w> Teller<'w> {
    fn new(wanted: Wanted, watch: &'w dyn Watch) -> Self {
        Self {
            watch,
            wanted,
            told: None,
        }
    }

    fn tell(&mut self, done: u64) {
        if self
            .told
            .is_none_or(|told| told.elapsed().as_millis() >= TELL_MS)
        {
            self.told = Some(Instant::now());
            self.say(done, false);
        }
    }

    fn finished(&mut self) {
        self.say(self.wanted.size, true);
    }

    fn say(&self, done: u64, finished: bool) {
        self.watch.progress(BlobProgress {
            digest: self.wanted.digest,
            done,
            total: self.wanted.size,
            finished,
        });
    }
}
