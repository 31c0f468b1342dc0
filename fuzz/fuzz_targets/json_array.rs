//! Opsera's listing, cut anywhere: a lost element is a lost account, an invented end is a short
//! listing (G0).
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolecall::clients::fuzzing::split_array;
use serde_json::Value;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, body) = input;
    // serde_json refuses what is nested deeper than 128, and an element is one level less deep.
    if body
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count()
        > 100
    {
        return;
    }
    let whole = split_array([body]);
    let pieces = split_array(body.chunks(usize::from(size).max(1)));
    assert_eq!(whole, pieces, "where the body is cut makes no difference");

    if let Ok(Value::Array(expected)) = serde_json::from_slice::<Value>(body) {
        let elements = whole.expect("a JSON array is an array");
        let parsed: Vec<Value> = elements
            .iter()
            .map(|element| serde_json::from_slice(element).expect("an element of it is JSON"))
            .collect();
        assert_eq!(parsed, expected);
    } else if let Ok(elements) = whole {
        // It may have cut something that is no JSON. Then one of the elements must be no JSON
        // either, or the listing would count as complete.
        let all_good = elements
            .iter()
            .all(|element| serde_json::from_slice::<Value>(element).is_ok());
        assert!(!all_good, "not a JSON array, and taken for one");
    }
});
