//! Pulls models into a folder and says how long each took:
//! `cargo run --release -p genie-models --example pull -- FOLDER NAME…`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use genie_models::{
    ModelName, ModelStore, NetworkSettings, PullEvent, PullOptions, PullProgress, Registry,
};

struct Lines(Mutex<u64>);

impl PullProgress for Lines {
    fn event(&self, event: PullEvent<'_>) {
        match event {
            PullEvent::Downloaded { done, total } => {
                let Ok(mut shown) = self.0.lock() else {
                    return;
                };
                // One line for every 100 MB.
                if done / 100_000_000 != *shown {
                    *shown = done / 100_000_000;
                    println!("  {} of {} MB", done / 1_000_000, total / 1_000_000);
                }
            }
            PullEvent::Hashed { .. } => {}
            PullEvent::SourceFailed { kind, error } => println!("  {kind} failed: {error}"),
            other => println!("  {other:?}"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let store = ModelStore::open(folder, Registry::builtin()?, NetworkSettings::from_env()?)?;
    for name in arguments {
        let name: ModelName = name.parse()?;
        println!("{name}");
        let start = Instant::now();
        let progress = Lines(Mutex::new(0));
        let cancel = AtomicBool::new(false);
        let model = store.pull(&name, PullOptions::default(), &progress, &cancel)?;
        println!("  {} in {:.1?}", model.hash, start.elapsed());
    }
    Ok(())
}
