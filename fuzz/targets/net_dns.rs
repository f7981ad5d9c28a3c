//! Messages of DNS: a guest's questions, and answers of name servers.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(query) = banger_net::dns::parse_query(bytes) {
        let addresses = [[192, 0, 2, 1].into(), [0; 16].into()];
        for answer in [
            query.refused("words"),
            query.addresses(&addresses, 60),
            banger_net::dns::cut(&query),
        ] {
            assert!(banger_net::dns::parse_answer(&answer, bytes).is_some());
        }
        let _ = banger_net::dns::parse_answer(bytes, &query.bytes);
    }
    if let Ok(name) = "a.example".parse() {
        let asked = banger_net::dns::make_query(&name, 1.into());
        let _ = banger_net::dns::parse_answer(&banger_net::dns::with_id(bytes, 0), &asked);
    }
});
