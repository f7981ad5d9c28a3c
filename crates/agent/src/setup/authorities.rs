//! Authorities of the host in the guest's files of trust:
//!
//! ```text
//!  bundles   /etc/ssl/certs/ca-certificates.crt, …   those that it lacks, between two lines of ours, at its end
//!  folder    /etc/ssl/certs/banger-DIGEST.pem  ◄── HASH.N    the same ones, by the names that OpenSSL looks for
//!  tools     /usr/local/share/ca-certificates/banger-DIGEST.crt, …    what the host's administrator has added
//! ```
//!
//! The third is for `update-ca-certificates` and its like, which write the first two anew, as packages do. What a user has put into any
//! of them stays. Every start makes them what the host says then; a start without authorities, and a guest whose root is only read, has
//! nothing of this left.
//!
//! A guest that cannot have them is a guest nevertheless: what stands against it is told on the console.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use banger_authorities::{Certificate, read_pem};
use banger_guest::Authorities;
use banger_guest::limits::MAX_AUTHORITIES;

use super::files::Place;
use super::root::SYSTEM_MOUNT;
use crate::console::say;

mod bundle;
mod folder;

use folder::{Folder, PUBLIC};

/// Bundles, in the order in which they are looked for: of Debian, Alpine and Arch; of Fedora; of BSDs and of OpenSSL itself. The
/// first is made where there is none.
const BUNDLES: [&str; 3] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/cert.pem",
];
/// OpenSSL's folder of authorities.
const HASHED: &str = "etc/ssl/certs";
/// Folders in which an administrator puts authorities: of Debian and Alpine, of Fedora, of Arch. The first is made where there is
/// none.
const TOOLS: [&str; 3] = [
    "usr/local/share/ca-certificates",
    "etc/pki/ca-trust/source/anchors",
    "etc/ca-certificates/trust-source/anchors",
];
/// Beginning of the names of our files.
const OURS: &str = "banger-";
/// Largest bundle that is read, bytes.
const BUNDLE_MAX: u64 = 4 << 20;
/// Certificates of it that are looked at.
const BUNDLE_MOST: usize = 10_000;
/// Certificates of one name in the folder.
const SAME_NAME_MAX: usize = 100;
/// Bundle of this guest, wherever it is: what variables of commands can name. Made at every start, in `/run`.
const LINK: (&str, &str) = ("run/banger", "ca-bundle.pem");
/// File beside the overlay: the guest has authorities of the host, and these are those that tools were told of.
const MEMORY: &str = "authorities.pem";

/// Gives the guest these authorities, and takes away those of earlier starts.
pub fn apply(root: &Path, wanted: Option<&Authorities>) {
    if let Err(error) = try_apply(root, Path::new(SYSTEM_MOUNT), wanted) {
        say(format_args!(
            "the host's authorities are not (all) trusted here: {error}"
        ));
    }
}

fn try_apply(root: &Path, memory: &Path, wanted: Option<&Authorities>) -> io::Result<()> {
    let memory = Folder::at(&Place::open(memory)?, ".")?;
    let before = memory.read(MEMORY, BUNDLE_MAX)?.map(|(pem, _)| pem);
    if wanted.is_none() && before.is_none() {
        return Ok(());
    }
    let of = |pem: &[u8]| read_pem(pem, MAX_AUTHORITIES).certificates;
    let before = of(&before.unwrap_or_default());
    let [trusted, added] = match wanted {
        Some(wanted) => [&wanted.trusted, &wanted.added].map(|pem| of(pem.as_bytes())),
        None => [Vec::new(), Vec::new()],
    };
    // First: whatever a start that is cut off has put is taken away by another one. What tools were told of before is still theirs
    // until this one is through.
    let both = before.iter().chain(&added).map(Certificate::pem);
    memory.put(MEMORY, both.collect::<String>().as_bytes(), PUBLIC)?;

    let place = Place::open(root)?;
    let lacked = in_bundles(&place, &trusted, &before)?;
    in_folder(&place, &lacked)?;
    for_tools(&place, &added)?;

    match wanted {
        Some(_) => {
            let now = added.iter().map(Certificate::pem);
            memory.put(MEMORY, now.collect::<String>().as_bytes(), PUBLIC)
        }
        None => memory.remove(MEMORY),
    }
}

/// Adds authorities to the bundles; gives those that the first one lacks.
fn in_bundles(
    place: &Place,
    trusted: &[Certificate],
    before: &[Certificate],
) -> io::Result<Vec<Certificate>> {
    let there: Vec<&str> = BUNDLES
        .into_iter()
        .filter(|path| place.leads_somewhere(path))
        .collect();
    let paths = match there.is_empty() {
        true if trusted.is_empty() => return Ok(Vec::new()),
        true => &BUNDLES[..1],
        false => &there[..],
    };
    let mut lacked = None;
    for path in paths {
        let of_this =
            in_bundle(place, path, trusted, before).map_err(|error| named(path, error))?;
        lacked.get_or_insert(of_this);
    }
    let links = Folder::at(place, LINK.0)?;
    links.remove(LINK.1)?;
    if !trusted.is_empty() {
        links.link(LINK.1, &format!("/{}", paths[0]))?;
    }
    Ok(lacked.unwrap_or_default())
}

fn in_bundle(
    place: &Place,
    path: &str,
    trusted: &[Certificate],
    before: &[Certificate],
) -> io::Result<Vec<Certificate>> {
    let (folder, name) = Folder::of_file(place, path)?;
    let (old, owner) = folder
        .read(&name, BUNDLE_MAX)?
        .unwrap_or((Vec::new(), PUBLIC));
    let own = bundle::without_ours(&old, before);
    let known: HashSet<_> = read_pem(&own, BUNDLE_MOST)
        .certificates
        .into_iter()
        .collect();
    let lacked = trusted.iter().filter(|one| !known.contains(*one));
    let lacked: Vec<_> = lacked.cloned().collect();
    let new = bundle::with_ours(own, &lacked);
    if new.trim_ascii().is_empty() {
        // It was ours alone.
        folder.remove(&name)?;
    } else if new != old {
        folder.put(&name, &new, owner)?;
    }
    Ok(lacked)
}

/// Makes the folder have these, and none of ours but these.
fn in_folder(place: &Place, lacked: &[Certificate]) -> io::Result<()> {
    if lacked.is_empty() && !place.leads_somewhere(HASHED) {
        return Ok(());
    }
    let fill = || {
        let folder = Folder::at(place, HASHED)?;
        let wanted: HashSet<String> = lacked.iter().map(pem_name).collect();
        // Links of ours are made anew: their numbers follow from what else is there now.
        for name in folder.names()? {
            let stale = name.starts_with(OURS) && name.ends_with(".pem") && !wanted.contains(&name);
            let link = folder.link_target(&name)?;
            let to_ours = link.is_some_and(|target| target.starts_with(OURS.as_bytes()));
            if stale || to_ours {
                folder.remove(&name)?;
            }
        }
        for certificate in lacked {
            let name = pem_name(certificate);
            folder.put(&name, certificate.pem().as_bytes(), PUBLIC)?;
            let hash = certificate.subject_hash();
            for number in 0..SAME_NAME_MAX {
                if folder.link(&format!("{hash:08x}.{number}"), &name)? {
                    break;
                }
            }
        }
        Ok(())
    };
    fill().map_err(|error| named(HASHED, error))
}

/// Tells the tools that write bundles anew of these, and of no others of ours.
fn for_tools(place: &Place, added: &[Certificate]) -> io::Result<()> {
    let there: Vec<&str> = TOOLS
        .into_iter()
        .filter(|path| place.leads_somewhere(path))
        .collect();
    let paths = match there.is_empty() {
        true if added.is_empty() => return Ok(()),
        true => &TOOLS[..1],
        false => &there[..],
    };
    let fill = |path: &str| {
        let folder = Folder::at(place, path)?;
        let name = |one: &Certificate| format!("{OURS}{}.crt", one.short_digest());
        let wanted: HashSet<String> = added.iter().map(name).collect();
        for name in folder.names()? {
            if name.starts_with(OURS) && name.ends_with(".crt") && !wanted.contains(&name) {
                folder.remove(&name)?;
            }
        }
        for certificate in added {
            folder.put(&name(certificate), certificate.pem().as_bytes(), PUBLIC)?;
        }
        Ok(())
    };
    paths
        .iter()
        .try_for_each(|path| fill(path).map_err(|error| named(path, error)))
}

fn pem_name(certificate: &Certificate) -> String {
    format!("{OURS}{}.pem", certificate.short_digest())
}

fn named(path: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("/{path}: {error}"))
}

#[cfg(test)]
mod tests;
