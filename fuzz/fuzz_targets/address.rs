//! Any text as an address (I1, I6): a wrong key takes one person for another.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use rolecall::domain::{Address, Matching};

fuzz_target!(|text: &str| {
    let Ok(address) = Address::parse(text) else {
        return;
    };
    let again = Address::parse(address.as_str()).expect("a canonical address is an address");
    assert_eq!(again, address, "canonical form is stable");
    assert!(!address.local_part().is_empty());
    assert_eq!(
        address.as_str(),
        format!("{}@{}", address.local_part(), address.domain().as_str())
    );
    for ignore_plus_tag in [false, true] {
        let matching = Matching::new(ignore_plus_tag, BTreeMap::new());
        let key = matching.opsera_key(&address);
        assert_eq!(key, matching.opsera_key(&again));
        assert_eq!(
            key,
            matching.opa_key(&address),
            "without aliases, both sides agree"
        );
        assert_eq!(key.domain().as_str(), address.domain().as_str());
        let _ = key.skeleton();
    }
});
