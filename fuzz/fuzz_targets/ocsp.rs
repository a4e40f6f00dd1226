#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| veloflux_fuzz::ocsp(input));
