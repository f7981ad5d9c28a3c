//! The guest kernel's command line, and the cost of it and of the machine to a translated guest.
//!
//! Measured with QEMU 7.2 (TCG) on 2 shared cores: Debian's 6.1 cloud kernel as vmlinux, 2 GiB, one virtual CPU, three disks,
//! network, serial port, an initramfs of 3 MiB. CPU seconds of the whole QEMU process until the first line of `/init`, the least of
//! 5 or 6 runs taken in turns (on an idle machine the wall clock shows the same number). Rows are from different runs: compare
//! within a row.
//!
//! | change | before | after | taken |
//! |---|---|---|---|
//! | `-cpu max` to `max,-erms,-fsrm` | 1.97 | 1.81 | yes: clears memory faster later too (touching 128 MiB 0.70 → 0.30 s, 64 MiB of /dev/zero 0.15 → 0.03 s, 300 forks 0.59 → 0.43 s) |
//! | `noreplace-smp` | 1.97 | 1.78 | yes, with one CPU |
//! | both, and `tsc_early_khz=` | 1.92 | 1.62 | yes |
//! | then `-bios qboot.rom` for SeaBIOS | 1.62 | 1.48 | yes |
//! | `swiotlb=noforce`, with 3 GiB | 1.90 | 1.48 | yes |
//! | all of these: 2 GiB; 3 GiB; 2 GiB and two CPUs | 2.03; 2.29; 2.49 | 1.48; 1.48; 2.07 | yes |
//! | machine `microvm` for `q35` | 1.60 | 1.45 | no: see `Board` |
//! | `nolapic_timer` | 1.62 | 1.53 | no: an idle guest would wake 37 times a second, and on microvm timers stop |
//! | `mitigations=off` | 1.58 | 1.62 | kept: there is no such CPU to guard, but it saves no time either |
//! | `-smap,-mpx,-umip` (and `-pku`, see below); with `-avx,-avx2,-xsave` | 1.62 | 1.61; 1.60 | no: programs want them |
//! | `-pku,-pks`, the whole of `vm run --rm -- true` in wall clock | 2.11 | 2.04 | yes: the TLB survives a change of process |
//! | 2 GiB of memory to 1; to 4 (with bounce buffers) | 1.40 | 1.36; 1.73 | the caller's choice |
//! | `sata,smbus,smm=off`; `init_on_alloc=0`; `rodata=off`; `retain_initrd`; small hash tables; `initcall_blacklist=`; `tb-size=` 64, 256; `max_ports=31` | 1.62 | ± 0.06 | no, or for other reasons |
//! | initramfs packed with lz4; with zstd | 1.40 | 1.38; 1.49 | no |
//!
//! With two CPUs and without `tsc=reliable` the guest's clock is `acpi_pm`, a device access each time; with it, `tsc`.

use super::check::invalid;
use crate::{Accel, EngineError, VmmSpec};

/// Linux on x86 cuts longer lines: `COMMAND_LINE_SIZE` is 2048 bytes with the closing NUL.
const LENGTH_MAX_BYTES: usize = 2047;

/// For every guest: one serial console, silent until something is wrong; a panic ends the VM at once.
const ALWAYS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "audit=0",
    "cryptomgr.notests",
    "8250.nr_uarts=1",
    "random.trust_cpu=on",
    // Virtio reaches all memory. Otherwise Linux reserves 64 MiB as soon as some memory lies above 4 GiB, and a
    // translated guest clears them byte by byte for 0.4 s.
    "swiotlb=noforce",
];

/// For translated guests: no guards against the speculation of a CPU that does not exist, and no waits for exact
/// hardware.
const TCG: &[&str] = &[
    "mitigations=off",
    "nokaslr",
    "i8042.noaux",
    "no_timer_check",
];

/// Joins the engine's own words and the caller's, which may override them.
pub(super) fn compose(spec: &VmmSpec, tsc_khz: Option<u32>) -> Result<String, EngineError> {
    let mut line = ALWAYS.join(" ");
    let mut add = |word: &str| {
        line.push(' ');
        line.push_str(word);
    };
    if spec.accel == Accel::Tcg {
        TCG.iter().for_each(|word| add(word));
        if spec.vcpu == 1 {
            // Otherwise Linux removes the lock prefixes from its own code, one write into translated code at a time.
            add("noreplace-smp");
        }
        if let Some(khz) = tsc_khz {
            add(&format!("tsc_early_khz={khz}"));
            // All virtual CPUs read the host's counter. Without this word Linux distrusts it as soon as there are two,
            // and reads the time from a device.
            add("tsc=reliable");
        }
    }
    for word in &spec.cmdline_extra {
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "must be one word of printable ASCII";
            return Err(invalid("cmdline_extra", word, reason));
        }
        add(word);
    }
    if line.len() > LENGTH_MAX_BYTES {
        let reason =
            format!("makes the kernel's command line longer than {LENGTH_MAX_BYTES} bytes");
        return Err(invalid(
            "cmdline_extra",
            spec.cmdline_extra.join(" "),
            reason,
        ));
    }
    Ok(line)
}
