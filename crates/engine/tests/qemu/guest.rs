//! Guests of a few instructions that do one thing and need no kernel: ELF files that QEMU boots by their PVH entry.
//!
//! The CPU enters in 32-bit protected mode with flat segments (Xen `docs/misc/pvh.pandoc`).

/// Load address of the guest: above the first MiB, which belongs to the firmware.
const LOAD_ADDRESS: u32 = 0x10_0000;
/// The note that names the entry point: owner "Xen", type `XEN_ELFNOTE_PHYS32_ENTRY`.
const PHYS32_ENTRY: u32 = 18;

/// A guest that waits for ever.
pub fn idle() -> Vec<u8> {
    elf(&[0xf4, 0xeb, 0xfd]) // hlt; jmp back
}

/// A guest that writes `text` to its serial port and then runs the code `then`.
pub fn says(text: &str, then: &[u8]) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code.extend(then);
    elf(&code)
}

/// A guest that writes to its serial port for ever.
pub fn floods() -> Vec<u8> {
    // mov dx, 0x3f8; mov al, 'x'; again: out dx, al; jmp again
    elf(&[0x66, 0xba, 0xf8, 0x03, 0xb0, b'x', 0xee, 0xeb, 0xfd])
}

/// Code for a reset by a triple fault.
pub const RESET: &[u8] = &[
    0x31, 0xc0, 0x50, 0x50, // xor eax, eax; push eax; push eax
    0x0f, 0x01, 0x1c, 0x24, // lidt [esp]: an empty table
    0xcc, // int3
];

/// Code to power off: the sleep register of a microvm's event device (QEMU `hw/acpi/generic_event_device.c`, `SLP_EN`
/// and S5), then the PM1 control register of a q35 (`hw/acpi/ich9.c`); only one of them exists.
pub const POWER_OFF: &[u8] = &[
    0xc6, 0x05, 0x00, 0x02, 0xa0, 0xfe, 0x34, // mov byte [0xfea00200], 0x34
    0x66, 0xba, 0x04, 0x06, // mov dx, 0x604
    0x66, 0xb8, 0x00, 0x20, // mov ax, 0x2000
    0x66, 0xef, // out dx, ax
    0xf4, 0xeb, 0xfd, // hlt; jmp back
];

fn elf(code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 64 + 2 * 56;
    const NOTE: u32 = 20;
    // A stack of its own, below the code.
    let mut text = vec![0xbc];
    text.extend(LOAD_ADDRESS.to_le_bytes()); // mov esp, LOAD_ADDRESS
    text.extend(code);
    let entry = LOAD_ADDRESS + HEADERS + NOTE;
    let size = u64::from(HEADERS + NOTE) + text.len() as u64;

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2u16, 62] {
        file.extend(half.to_le_bytes()); // executable, x86-64
    }
    file.extend(1u32.to_le_bytes());
    for long in [u64::from(entry), 64, 0] {
        file.extend(long.to_le_bytes()); // entry, program headers, no sections
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    program_header(&mut file, 1, 0, u64::from(LOAD_ADDRESS), size); // PT_LOAD
    let note = u64::from(HEADERS);
    program_header(
        &mut file,
        4,
        note,
        u64::from(LOAD_ADDRESS + HEADERS),
        u64::from(NOTE),
    ); // PT_NOTE
    for word in [4, 4, PHYS32_ENTRY] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"Xen\0");
    file.extend(entry.to_le_bytes());
    file.extend(text);
    file
}

fn program_header(file: &mut Vec<u8>, kind: u32, offset: u64, address: u64, size: u64) {
    file.extend(kind.to_le_bytes());
    file.extend(7u32.to_le_bytes());
    for long in [offset, address, address, size, size, 4] {
        file.extend(long.to_le_bytes());
    }
}

/// A guest that counts for ever in its memory from `'a'` on, and writes each number to its serial port as it comes to it.
pub fn counts() -> Vec<u8> {
    const NUMBER: [u8; 4] = 0x20_0000_u32.to_le_bytes();
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    code.extend([0xc6, 0x05]); // mov byte [NUMBER], 'a' - 1
    code.extend(NUMBER);
    code.push(b'a' - 1);
    let again = code.len();
    code.extend([0xfe, 0x05]); // inc byte [NUMBER]
    code.extend(NUMBER);
    code.push(0xa0); // mov al, [NUMBER]
    code.extend(NUMBER);
    code.push(0xee); // out dx, al
    code.push(0xb9); // mov ecx, a while
    code.extend(0x0400_0000_u32.to_le_bytes());
    code.extend([0x49, 0x75, 0xfd]); // dec ecx; jnz back
    let back = again as i64 - (code.len() as i64 + 2);
    code.extend([0xeb, back as u8]); // jmp again
    elf(&code)
}
