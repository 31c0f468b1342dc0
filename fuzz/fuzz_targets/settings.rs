//! A configuration file (§2): it is refused with words or accepted, and never tells a secret.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use rolecall::settings::{ConfigSources, Layers, OfflineSettings, Settings};

/// Given through the environment, so that it is in no input.
const CANARY: &str = "canary-Zu7ahgh8oWeiNg9A";

thread_local! {
    static FILE: RefCell<(std::fs::File, PathBuf)> = RefCell::new(rolecall_fuzz::memory_file());
}

fuzz_target!(|content: &[u8]| {
    FILE.with_borrow_mut(|(file, path)| {
        file.set_len(0).expect("empty it");
        file.rewind().expect("rewind");
        file.write_all(content).expect("write");
        let sources = ConfigSources {
            files: vec![path.clone()],
            environment: vec![
                ("ROLECALL__OPSERA__TOKEN".into(), CANARY.into()),
                ("ROLECALL__OPA__KEY_SECRET".into(), CANARY.into()),
                (
                    "ROLECALL__NOTIFY__WEBHOOK_URL".into(),
                    format!("https://example.com/{CANARY}").into(),
                ),
            ],
            candidates: Vec::new(),
        };
        let tell = || match Settings::load(&sources) {
            Ok(loaded) => format!("{:?} {:?}", loaded.settings, loaded.warnings),
            Err(errors) => format!("{errors}\n{errors:?}"),
        };
        let told = tell();
        assert_eq!(told, tell(), "two readings agree");
        assert!(!told.contains(CANARY), "{told}");
        if let Ok(layers) = Layers::read(&sources) {
            let shown = format!("{:?}", layers.effective());
            assert!(!shown.contains(CANARY), "{shown}");
        }
        if Settings::load(&sources).is_ok() {
            assert!(
                OfflineSettings::load(&sources).is_ok(),
                "a part of what is accepted is accepted"
            );
        }
    });
});
