//! A bzImage or vmlinux.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = banger_kernel::unpack(bytes.to_vec(), &|| false);
});
