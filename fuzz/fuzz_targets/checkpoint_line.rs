//! A checkpoint file (§8): what is taken for a checkpoint is what the program would have written.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use rolecall::audit::read_checkpoints;

thread_local! {
    // In memory, unlinked, and opened anew by its name in /proc.
    static FILE: RefCell<(std::fs::File, PathBuf)> = RefCell::new(rolecall_fuzz::memory_file());
}

fuzz_target!(|content: &[u8]| {
    FILE.with_borrow_mut(|(file, path)| {
        file.set_len(0).expect("empty it");
        file.rewind().expect("rewind");
        file.write_all(content).expect("write");
        let Ok(checkpoints) = read_checkpoints(path) else {
            return;
        };
        let text = String::from_utf8_lossy(content);
        let mut last = 0;
        for checkpoint in &checkpoints {
            let line = checkpoint.line();
            assert!(
                text.split('\n').any(|written| written == line),
                "{line:?} is not in the file"
            );
            assert!(
                checkpoint.head.entries >= last,
                "in the order of the entries"
            );
            last = checkpoint.head.entries;
        }
    });
});
