//! The `.modinfo` section of a module: `key=value` strings (`include/linux/moduleparam.h`, `scripts/mod/modpost.c`).

use crate::elf::Elf;
use banger_module_index::module_name;

use crate::error::KernelError;

/// Debian's largest has 60 KiB (aliases).
const MODINFO_MAX_BYTES: usize = 4 << 20;

/// Description of a module by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModInfo {
    /// Names of the modules that must be loaded before it.
    pub(crate) depends: Vec<String>,
    /// Names that should be loaded before it when they exist (`softdep=pre: …`).
    pub(crate) soft_depends: Vec<String>,
    /// The release of the kernel that it was built for.
    pub(crate) release: Option<String>,
    /// Other names that it is asked for by: patterns of devices, file systems, protocols.
    pub(crate) aliases: Vec<String>,
    /// Its soft dependencies as they are written.
    pub(crate) softdeps: Vec<String>,
    /// Modules that it may use when they happen to be there, as they are written.
    pub(crate) weakdeps: Vec<String>,
}

impl ModInfo {
    /// Reads the section of a module's ELF bytes.
    pub(crate) fn parse(module: &str, bytes: &[u8]) -> Result<Self, KernelError> {
        let section = section(module, bytes, b".modinfo")?;
        let failed = |why: &str| KernelError::Module {
            module: module.to_owned(),
            why: why.to_owned(),
        };
        let section = section.ok_or_else(|| failed("it has no .modinfo section"))?;
        if section.len() > MODINFO_MAX_BYTES {
            return Err(failed("its .modinfo section is absurdly large"));
        }
        Ok(Self::from_section(section))
    }

    fn from_section(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            let Some((key, value)) = entry.split_once('=') else {
                continue;
            };
            match key {
                "depends" => info.depends.extend(
                    value
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(module_name),
                ),
                "softdep" => {
                    info.soft_depends.extend(before(value));
                    info.softdeps.push(value.to_owned());
                }
                "weakdep" => info.weakdeps.push(value.to_owned()),
                "alias" => info.aliases.push(value.to_owned()),
                "vermagic" => info.release = value.split(' ').next().map(str::to_owned),
                _ => {}
            }
        }
        info
    }
}

/// The names of the symbols that a module exports (`include/linux/export.h`), in the order of its ELF section.
pub(crate) fn exported_symbols(module: &str, bytes: &[u8]) -> Result<Vec<String>, KernelError> {
    let section = section(module, bytes, b"__ksymtab_strings")?.unwrap_or_default();
    if section.len() > MODINFO_MAX_BYTES {
        return Err(KernelError::Module {
            module: module.to_owned(),
            why: "its names of symbols are absurdly large".to_owned(),
        });
    }
    let names = section.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

fn section<'a>(
    module: &str,
    bytes: &'a [u8],
    name: &[u8],
) -> Result<Option<&'a [u8]>, KernelError> {
    let elf = |source| KernelError::Elf {
        what: format!("module {module}"),
        source,
    };
    Elf::parse(bytes).map_err(elf)?.section(name).map_err(elf)
}

/// `pre: a b post: c` → a, b.
fn before(softdep: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_pre = false;
    for word in softdep.split_whitespace() {
        match word {
            "pre:" => in_pre = true,
            "post:" => in_pre = false,
            name if in_pre => names.push(module_name(name)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_and_release_are_read() {
        let info = ModInfo::from_section(
            b"alias=fs-ext4\0softdep=pre: crc32c-intel post: later\0\0depends=jbd2,crc16,mb-cache\0vermagic=6.1.0-56-amd64 SMP \0rubbish\0",
        );
        assert_eq!(info.depends, ["jbd2", "crc16", "mb_cache"]);
        assert_eq!(info.soft_depends, ["crc32c_intel"]);
        assert_eq!(info.release.as_deref(), Some("6.1.0-56-amd64"));
    }

    #[test]
    fn a_file_that_is_no_module_names_itself() {
        let error = ModInfo::parse("virtio_blk", b"rubbish").unwrap_err();
        assert_eq!(
            error.to_string(),
            "module virtio_blk is not a usable ELF file"
        );
        let error = ModInfo::parse("virtio_blk", &crate::fixture::elf((".text", b"code"), None))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "module virtio_blk: it has no .modinfo section"
        );
    }
}
